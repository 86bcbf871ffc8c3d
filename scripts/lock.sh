#!/usr/bin/env bash
# Resolve constraints.txt anew: the versions that the tests run with, on Python 3.11 to 3.13.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
# As in setup.sh: only text models of keras-hub use it.
echo "tensorflow-text; python_version < '3'" >"$overrides"
echo tensorflow-cpu |
  uv pip compile pyproject.toml - --extra test --extra docs --extra jax \
    --extra napari --extra quality --extra tune --extra cluster --extra dicom --extra formats --upgrade --quiet \
    --overrides "$overrides" --universal --python-version 3.11 --no-annotate --no-header \
    --output-file constraints.txt
