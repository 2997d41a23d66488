"""`docker build`: every RUN is a container."""

from __future__ import annotations

from integration.engines.dockerd import IMAGE

DOCKERFILE = f"""
FROM {IMAGE}
RUN echo "made by $(id -u)" >/made && mkdir /work && chown worker /work
USER worker
WORKDIR /work
RUN id -un >who && pwd >where
COPY given given
ENV COLOUR=blue
ENTRYPOINT ["sh", "-c", "cat /made who where given; echo $COLOUR"]
"""


def _build(docker, directory, text, *, check=True):
    (directory / "Dockerfile").write_text(text)
    (directory / "given").write_text("given\n")
    return docker("build", "--network=none", "--tag=built:1", directory, check=check)


def test_built_and_run(docker, tmp_path):
    _build(docker, tmp_path, DOCKERFILE)
    assert docker.run("built:1").out == "made by 0\nworker\n/work\ngiven\nblue\n"
    docker("rmi", "built:1")


def test_a_failing_step_stops_the_build_with_its_status(docker, tmp_path):
    text = f"FROM {IMAGE}\nRUN echo first\nRUN echo second && exit 42\n"
    done = _build(docker, tmp_path, text, check=False)
    assert done.status != 0
    assert "returned a non-zero code: 42" in done.err
    assert docker("ps", "--quiet").out == ""


def test_a_run_with_shell_form_exec_form_and_arguments(docker, tmp_path):
    text = f'FROM {IMAGE}\nARG WORD\nRUN echo $WORD >/one\nRUN ["sh", "-c", "echo two >/two"]\n'
    (tmp_path / "Dockerfile").write_text(text)
    docker("build", "--network=none", "--build-arg=WORD=one", "--tag=built:2", tmp_path)
    assert docker.run("built:2", "cat", "/one", "/two").out == "one\ntwo\n"
    docker("rmi", "built:2")
