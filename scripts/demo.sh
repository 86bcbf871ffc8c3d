#!/usr/bin/env bash
# Train on noisy masks of the packaged images and write demo/report.html:
# bash scripts/demo.sh [options of keras-robust demo]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
exec .venv/bin/keras-robust demo "$@"
