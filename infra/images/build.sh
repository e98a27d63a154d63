#!/usr/bin/env bash
# Build the image with podman or docker: BASE=NAME@sha256:... [BUILD_FLAGS=...] infra/images/build.sh
# Prints the image's name. Called by `make image` and `make image-serve`, which set the other variables.
set -euo pipefail
cd "$(dirname "$0")/../.."

engine="$(command -v podman || command -v docker || true)"
if [ -z "$engine" ]; then
  echo "error: neither podman nor docker is installed: apt-get install podman" >&2
  exit 1
fi
if [[ ! "${BASE:-}" =~ @sha256:[0-9a-f]{64}$ ]]; then
  echo "error: BASE='${BASE:-}': give a Debian image with Python 3.11 or 3.12 by its digest," \
    "BASE=NAME@sha256:... (a tag may be another image tomorrow)" >&2
  exit 1
fi
flags=(${BUILD_FLAGS:-})
# OCI's own format has no health check.
[ "$(basename "$engine")" = docker ] || flags+=(--format docker)

"$engine" build "${flags[@]}" --file infra/images/Containerfile --tag "$IMAGE" \
  --build-arg BASE="$BASE" \
  --build-arg EXTRAS="$EXTRAS" \
  --build-arg UV_VERSION="$UV_VERSION" \
  --build-arg VERSION="$VERSION" \
  --build-arg GIT_SHA="$(git describe --always --dirty --abbrev=40 --exclude='*')" \
  --build-arg LOCK_SHA256="$(sha256sum requirements.lock | cut -d' ' -f1)" \
  --build-arg SOURCE_SHA256="$(infra/images/digest.sh)" \
  . >&2
echo "$IMAGE"
