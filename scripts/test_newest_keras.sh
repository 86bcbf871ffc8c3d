#!/usr/bin/env bash
# Run the tests of what the losses use of Keras against the newest Keras: the private names, who
# trains the parameters of a loss, and the model that needs nothing private.
# It is installed into a folder of its own, which stands before the project's environment.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh || exit 1
uv=uv
"$uv" --version >/dev/null 2>&1 || uv=.venv-uv/bin/uv
newest=$(mktemp -d)
trap 'rm -rf "$newest"' EXIT
"$uv" pip install --quiet --python .venv/bin/python --no-deps --target "$newest" --upgrade keras ||
  { echo "test_newest_keras: the newest Keras could not be fetched. Check the network." >&2; exit 1; }
export PYTHONPATH="$newest:$PWD${PYTHONPATH:+:$PYTHONPATH}"
.venv/bin/python -c 'import keras; print("Keras", keras.__version__, "in", keras.__path__[0])' || exit 1
.venv/bin/python -m pytest -q -p no:napari -p no:npe2 -p no:napari-plugin-engine -p no:pytest-qt \
  -p no:xvfb -p no:cacheprovider -n auto --dist load "$@" \
  tests/keras_robust/losses/test_keras_private.py tests/keras_robust/losses/test_ownership.py \
  tests/keras_robust/models/test_model.py
