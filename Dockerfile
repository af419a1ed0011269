# Two images: what runs on every node, and what runs in every meshed pod and beside the API server.
#   docker build --target agent --tag ipseity/agent:0.1.0 .
#   docker build --target mesh  --tag ipseity/mesh:0.1.0 .
# Pin the base by its digest: --build-arg BASE=docker.io/library/debian:bookworm-slim@sha256:... (docs/image.md).
# The interpreter is Debian's own in both: python3-bpfcc is built for it.
ARG BASE=docker.io/library/debian:bookworm-slim

# What is needed to put wheels into a tree, and nobody runs.
FROM ${BASE} AS build
# hadolint ignore=DL3008 # security updates of one Debian release
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY deploy/image ./deploy/image
RUN echo hatchling > build.txt \
 && python3 deploy/image/pick.py requirements.lock build.txt > build.lock \
 && python3 -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes --only-binary=:all: -r build.lock
COPY ipseity ./ipseity
COPY agent ./agent
COPY injector ./injector
COPY bpf ./bpf
COPY comparisons ./comparisons
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM build AS agent-tree
RUN python3 deploy/image/pick.py requirements.lock deploy/image/agent.txt > agent.lock \
 && python3 -m venv --without-pip --system-site-packages /usr/lib/ipseity \
 && /build/bin/pip --python /usr/lib/ipseity/bin/python install --no-cache-dir --no-deps --require-hashes --only-binary=:all: -r agent.lock \
 && /build/bin/pip --python /usr/lib/ipseity/bin/python install --no-cache-dir --no-deps /wheel/*.whl \
 && python3 deploy/image/trim.py /usr/lib/ipseity \
 && mkdir /usr/lib/ipseity/share \
 && cp deploy/image/relay.py deploy/image/mount_bpffs.py agent.lock /usr/lib/ipseity/share

FROM build AS mesh-tree
RUN python3 deploy/image/pick.py requirements.lock deploy/image/mesh.txt > mesh.lock \
 && python3 -m venv --without-pip /usr/lib/ipseity \
 && /build/bin/pip --python /usr/lib/ipseity/bin/python install --no-cache-dir --no-deps --require-hashes --only-binary=:all: -r mesh.lock \
 && /build/bin/pip --python /usr/lib/ipseity/bin/python install --no-cache-dir --no-deps /wheel/*.whl \
 && python3 deploy/image/trim.py /usr/lib/ipseity \
 && mkdir /usr/lib/ipseity/share \
 && cp mesh.lock /usr/lib/ipseity/share

# What a container needs of Debian, and no more: no package manager, no Perl, no log-in. dpkg goes on knowing what there
# is, for scanners. No file may change who one is. The image is a copy, so that what was taken out is not in a layer below.
FROM ${BASE} AS agent-system
# hadolint ignore=DL3008 # security updates of one Debian release
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 python3-bpfcc \
 && rm -rf /var/lib/apt/lists/*
COPY deploy/image/bare.sh /
RUN sh /bare.sh

FROM ${BASE} AS mesh-system
# nft writes the redirect of a pod; Envoy comes with the wheels.
# hadolint ignore=DL3008 # security updates of one Debian release
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 nftables \
 && rm -rf /var/lib/apt/lists/*
COPY deploy/image/bare.sh /
RUN sh /bare.sh

FROM scratch AS agent
# hadolint ignore=DL3067 # see above: what was taken out must not stay below
COPY --from=agent-system / /
COPY --from=agent-tree /usr/lib/ipseity /usr/lib/ipseity
LABEL org.opencontainers.image.title="ipseity agent" \
      org.opencontainers.image.description="Names both ends of every flow of a node, from the kernel's own evidence" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
# Root, without root's powers: the pod's capabilities are what it may (docs/security.md).
# hadolint ignore=DL3002 # see above
USER 0
ENTRYPOINT ["ipseity"]
CMD ["agent", "run"]

FROM scratch AS mesh
# hadolint ignore=DL3067 # see above
COPY --from=mesh-system / /
COPY --from=mesh-tree /usr/lib/ipseity /usr/lib/ipseity
LABEL org.opencontainers.image.title="ipseity mesh" \
      org.opencontainers.image.description="Control plane and sidecar: a pod's identity is its service account" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"
USER 2103:2103
ENTRYPOINT ["ipseity"]
CMD ["control-plane", "run"]
