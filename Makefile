# Two commands are enough on a fresh Debian 12 or Ubuntu 24.04: `make run` and `make test`.

# What `make run` gives to `nestbox run`.
ARGS = --privileged --rootfs host --explain -- grep Cap /proc/self/status
# What `make test` gives to pytest, and `make bench` to the benchmark.
TEST_ARGS =
BENCH_ARGS =
# The engines of `make test-engines`, each with a goal of its own, and what that gives to pytest:
# make test-podman ENGINE_ARGS="--engine-runtime runc" runs the same tests on a peer.
ENGINES = docker podman buildah containerd cri nested
ENGINE_ARGS =
# make test-page PAGE_ARGS="--screenshots docs/guide/pictures" keeps what the browser shows.
PAGE_ARGS =
# make test-vm VM_ARGS="--vm-kernel 5.10 --vm-tests tests/root/oci" tests a part; --vm-quick takes minutes.
VM_ARGS =
# PYTHON=/path/to/python3 chooses the interpreter of the virtual environment.
export PYTHON

VENV := .venv
python := $(VENV)/bin/python

build_files := pyproject.toml setup.py $(wildcard buildtools/*.py)
generated := nestbox/executor/_abi.py nestbox/kernel/_libseccomp.py
python_sources := $(filter-out $(generated),$(shell find nestbox -name '*.py'))
compiled_sources := $(wildcard nestbox/*/*.c nestbox/*/*.h nestbox/*/*_build.py) \
	$(wildcard profiles/*.yaml profiles/seccomp/*.json nestbox/policy/profile_*.py)

# What the goals of this call need from the system, found out before anything is changed.
purposes := build run $(filter test check bench,$(MAKECMDGOALS)) \
	$(if $(filter $(patsubst %,test-%,engines $(ENGINES)),$(MAKECMDGOALS)),test engines) \
	$(if $(filter test-page,$(MAKECMDGOALS)),test page) \
	$(if $(filter test-vm,$(MAKECMDGOALS)),test vm)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-page test-vm test-engines $(ENGINES:%=test-%) check format bench build clean system-packages

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'make run ARGS="--profile minimal --rootfs host -- id"    passes other arguments to nestbox run'
	@echo 'make test TEST_ARGS="tests/plan -x"                      passes other arguments to pytest'

run: build ## install what is missing, build, and launch a container
	@$(VENV)/bin/nestbox run $(ARGS)

test: build $(VENV)/.dev ## install what is missing, build, and run the tests
	@$(python) -m pytest $(TEST_ARGS)

test-page: build $(VENV)/.dev $(VENV)/.page ## look at the page of nestbox doctor in a browser
	@$(python) -m pytest integration/page $(PAGE_ARGS)

test-engines: build $(VENV)/.dev $(VENV)/.engines ## run docker, podman, containerd and CRI on nestbox (as root)
	@$(python) -m pytest $(ENGINES:%=integration/%) $(ENGINE_ARGS)

$(ENGINES:%=test-%): build $(VENV)/.dev $(VENV)/.engines
	@$(python) -m pytest $(@:test-%=integration/%) $(ENGINE_ARGS)

test-vm: build $(VENV)/.dev $(VENV)/.vm ## run tests under other kernels, in virtual machines (as root; hours)
	@$(python) -m pytest integration/vm $(VM_ARGS)

check: build $(VENV)/.dev ## the one definition of clean: linters, types, warnings, analysers, layout
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(python) -m buildtools.lint_c

format: $(VENV)/.dev ## lay out Python and C as `make check` wants it
	@$(VENV)/bin/ruff check --quiet --fix-only .
	@$(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/clang-format -i $(shell find nestbox bench tests -name '*.[ch]')

bench: build ## measure launches, and the commands of engines, against runc, crun and others
	@$(python) -m bench $(BENCH_ARGS)

build: $(VENV)/.bytecode ## build the command, the library and the executor in place

clean: ## remove everything that was built or installed here
	rm -rf $(VENV) build dist nestbox.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf $(generated) nestbox/executor/nestbox-init nestbox/policy/shipped
	find nestbox -name '*.so' -delete
	find nestbox buildtools tests bench -name __pycache__ -prune -exec rm -rf {} +

system-packages:
	@sh bootstrap/system-packages.sh $(purposes)

# Each stamp holds one step of the set-up, so that nothing is done twice.

$(VENV)/.requirements: pyproject.toml bootstrap/venv.sh | system-packages
	@sh bootstrap/venv.sh $(VENV) run
	@touch $@

# After the installation, because two pips at once would disturb each other.
$(VENV)/.dev: $(VENV)/.requirements | $(VENV)/.installed
	@sh bootstrap/venv.sh $(VENV) dev
	@touch $@

$(VENV)/.engines: $(VENV)/.requirements | $(VENV)/.dev
	@sh bootstrap/venv.sh $(VENV) engines
	@touch $@

$(VENV)/.vm: $(VENV)/.requirements | $(VENV)/.dev
	@sh bootstrap/venv.sh $(VENV) vm
	@touch $@

$(VENV)/.page: $(VENV)/.requirements | $(VENV)/.dev
	@sh bootstrap/venv.sh $(VENV) page
	@touch $@

# A change to the build means installing again; a change to a source, building what it is part of.
$(VENV)/.installed: $(VENV)/.requirements $(build_files) $(compiled_sources)
	@$(if $(filter-out $(compiled_sources),$?), \
		$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable ., \
		$(python) setup.py --quiet build_ext --inplace build_executor --inplace build_profiles --inplace)
# Installers drop the option from the first line: isolated from variables and packages of its caller.
	@sed -i -e '1s/ -I$$//' -e '1s/$$/ -I/' $(VENV)/bin/nestbox-runtime
	@touch $@

# PYTHONDONTWRITEBYTECODE would otherwise leave every start of the command to compile all of it again.
$(VENV)/.bytecode: $(VENV)/.installed $(python_sources)
	@$(python) -m compileall -q nestbox
	@touch $@
