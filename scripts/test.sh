#!/usr/bin/env bash
# Run the tests in the project's own environment: bash scripts/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Importing TensorFlow takes three times as long in every process that may not keep its modules.
unset PYTHONDONTWRITEBYTECODE
bash scripts/setup.sh
exec .venv/bin/python -m pytest "$@"
