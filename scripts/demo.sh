#!/usr/bin/env bash
# Find and repair wrong masks of the packaged images, and write demo/report.html:
# bash scripts/demo.sh [options of keras-robust demo]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Importing TensorFlow takes three times as long in every process that may not keep its modules.
unset PYTHONDONTWRITEBYTECODE
bash scripts/setup.sh
exec .venv/bin/keras-robust demo "$@"
