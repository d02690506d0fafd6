# syntax=docker/dockerfile:1
#
#   docker build -t kubelatch .
#   docker run --rm -p 127.0.0.1:8001:8001 kubelatch --demo --address=0.0.0.0
#
# docs/containers.md has the rest.

# Both stages are Debian 13 with Python 3.13, so that what one installs runs in the other. The
# digest of today's image: docker buildx imagetools inspect python:3.13-slim-trixie
FROM python:3.13-slim-trixie@sha256:ffb752e139c0a19692a43af8d8523b274222dd68eebad5d583b45c2201c6e30a AS build

# 0: pure Python, without a compiler.
ARG KUBELATCH_COMPILE=1
# hadolint ignore=DL3008
RUN if [ "$KUBELATCH_COMPILE" = 1 ]; then apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; fi
COPY deploy/image/requirements.txt deploy/image/compile.txt /
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --only-binary=:all: \
      --target=/app --requirement=/requirements.txt
COPY pyproject.toml hatch_build.py README.md LICENSE /src/
COPY bin /src/bin
COPY docs/kubelatch.1 /src/docs/
COPY proxy /src/proxy
RUN python3 -m pip install --no-cache-dir --no-compile --require-hashes --only-binary=:all: \
      --target=/build --requirement=/compile.txt \
 && PYTHONPATH=/build python3 -m pip install --no-cache-dir --no-compile --no-build-isolation \
      --no-deps --target=/app /src
COPY deploy/image/__main__.py LICENSE /app/
# Sources of compiled modules are never read. The bytecode is trusted as it is: nobody can write
# there, and the times of files mean nothing in an image.
RUN find /app -regex '.*\.\(pyx\|pxd\|pxi\|pyi\|c\|h\|cpp\|hpp\)' -delete \
 && rm -rf /app/bin /app/share \
 && python3 -m compileall -q --invalidation-mode=unchecked-hash /app

# No shell, no package manager; certificates, time zones and Python are there.
FROM gcr.io/distroless/python3-debian13:nonroot@sha256:0e52dfee02b1aba142e77b004f6ea11210b79456b51f10d70e9bd631cbc21d98

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubelatch" \
      org.opencontainers.image.description="The Kubernetes API on localhost, with the latch on" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="gcr.io/distroless/python3-debian13:nonroot"

COPY --from=build /app /app

# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 8001
STOPSIGNAL SIGTERM
# What Docker's health check asks; it ends nowhere but in this container.
ENV KUBELATCH_ADMIN_ADDRESS=127.0.0.1:8002
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s \
  CMD ["/usr/bin/python3", "-I", "/app", "wait", "--timeout=3s"]
# -I: neither the environment nor the working directory says what is imported.
ENTRYPOINT ["/usr/bin/python3", "-I", "/app"]
