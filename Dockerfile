# An image with both commands: nestbox for people, nestbox-runtime for engines.
#
#   docker build -t nestbox .
#   docker run --rm nestbox caps                # what this docker leaves to a container
#   docker run --rm nestbox doctor              # what is missing, and what to change
#   docker run --rm --privileged nestbox run --privileged --rootfs host -- id
#
# nestbox gives what the container around it has: without --privileged that is what docker's
# --cap-add, --device and --security-opt leave. Jobs can build on the image: FROM nestbox.
#
# BASE is any image of Debian 12 or later, or of Ubuntu 24.04 or later:
#
#   docker build --build-arg BASE=ubuntu:24.04 -t nestbox .

ARG BASE=debian:12-slim

FROM ${BASE} AS build
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends python3
WORKDIR /src
COPY bootstrap bootstrap
RUN sh bootstrap/system-packages.sh build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY buildtools buildtools
COPY profiles profiles
COPY scripts scripts
COPY nestbox nestbox
# What installs is not needed to run.
RUN python3 -m venv /opt/nestbox \
    && /opt/nestbox/bin/pip install --quiet --no-cache-dir . \
    && /opt/nestbox/bin/pip uninstall --quiet --yes setuptools pip

FROM ${BASE}
RUN apt-get -qq update \
    && apt-get -qq install -y --no-install-recommends libseccomp2 python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /opt/nestbox /opt/nestbox
ENV PATH=/opt/nestbox/bin:$PATH
ENTRYPOINT ["nestbox"]
CMD ["--help"]
