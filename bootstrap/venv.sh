#!/bin/sh
# Makes the virtual environment and installs what nestbox depends on into it.
#
# Usage: venv.sh DIRECTORY PURPOSE    (run: to build and run; dev: the tools for tests and checks)
#
# The requirements stand in pyproject.toml alone. Those of the build are installed as
# well, because the parts in C are rebuilt in place when their sources change.
set -eu

here=$(dirname "$0")
venv=$1
purpose=$2

# An interrupted set-up leaves a directory without pip.
if [ ! -x "$venv/bin/pip" ]; then
	"$(sh "$here/python.sh")" -m venv --clear "$venv"
fi

requirements=$("$venv/bin/python" - "$purpose" <<'EOF'
import sys, tomllib

with open("pyproject.toml", "rb") as file:
    settings = tomllib.load(file)
project = settings["project"]
if sys.argv[1] == "run":
    wanted = settings["build-system"]["requires"] + project["dependencies"]
else:
    wanted = project["optional-dependencies"][sys.argv[1]]
print("\n".join(wanted))
EOF
)
echo "$requirements" >"$venv/$purpose-requirements.txt"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$venv/$purpose-requirements.txt"

# It makes every start of the interpreter prepare for building with distutils, at 0.7 ms each;
# setuptools does the same by itself when it is imported.
rm -f "$venv"/lib/python3*/site-packages/distutils-precedence.pth
