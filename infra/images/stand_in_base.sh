#!/usr/bin/env bash
# Print the digest name of a base image made from Debian's packages, for a machine that reaches no
# image registry: Debian 12 with Python 3.11, and this machine's certificates, which it may need to
# reach a package registry. For tests; make it as root, with podman and mmdebstrap.
set -euo pipefail

name=localhost/gtrans-stand-in-base:bookworm
certificates=/etc/ssl/certs/ca-certificates.crt

if ! podman image exists "$name"; then
  folder="$(mktemp -d)"
  trap 'rm -rf "$folder"' EXIT
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3-venv \
    --customize-hook="copy-in $certificates $(dirname "$certificates")" \
    bookworm "$folder/base.tar" >&2
  podman import --quiet --change "ENV SSL_CERT_FILE=$certificates" \
    --change "ENV PIP_CERT=$certificates" "$folder/base.tar" "$name" >&2
fi
echo "${name%:*}@$(podman image inspect --format '{{.Digest}}' "$name")"
