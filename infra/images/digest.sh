#!/usr/bin/env bash
# Print one sha256 over every file that the image or its test depends on. README.md is left out: it is
# built in, as the package's description, and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."

git ls-files -z --cached --others --exclude-standard -- \
  .dockerignore components gtrans gtrans_core infra/images pipelines pyproject.toml requirements.lock tests/image \
  ':!infra/images/tested.sha256' ':!gtrans/components' ':!gtrans/pipelines' |
  sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
