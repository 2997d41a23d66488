# An image in which nestbox is installed.
#
#   docker build -t nestbox .
#   docker run --rm nestbox caps                # what this docker leaves to a container
#   docker run --rm nestbox doctor              # what is missing, and what to change
#   docker run --rm --privileged nestbox run --privileged --rootfs host -- id
#
# nestbox gives what the container around it has: without --privileged that is what docker's
# --cap-add, --device and --security-opt leave. Jobs can build on the image: FROM nestbox.

FROM debian:12-slim AS build
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends python3
WORKDIR /src
COPY bootstrap bootstrap
RUN sh bootstrap/system-packages.sh build
COPY pyproject.toml setup.py README.md LICENSE ./
COPY buildtools buildtools
COPY profiles profiles
COPY nestbox nestbox
RUN python3 -m venv /opt/nestbox && /opt/nestbox/bin/pip install --quiet --no-cache-dir .

FROM debian:12-slim
RUN apt-get -qq update \
    && apt-get -qq install -y --no-install-recommends libseccomp2 python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/nestbox /opt/nestbox
ENV PATH=/opt/nestbox/bin:$PATH
ENTRYPOINT ["nestbox"]
CMD ["--help"]
