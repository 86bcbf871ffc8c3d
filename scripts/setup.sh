#!/usr/bin/env bash
# Make the project's own environment in .venv; quick when it is already there.
# Nothing outside the checkout changes, except uv's cache of downloads and the system libraries of
# napari's window; see system_libraries.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/system_libraries.sh

fail() { echo "setup: $*" >&2; exit 1; }

find_uv() {
  local candidate
  for candidate in uv .venv-uv/bin/uv "${HOME:-/nonexistent}/.local/bin/uv"; do
    if "$candidate" --version >/dev/null 2>&1; then echo "$candidate"; return 0; fi
  done
  return 1
}

uv_from_pypi() {
  python3 -m venv --clear .venv-uv && .venv-uv/bin/python -m pip install --quiet uv
}

uv_from_installer() {
  local installer=.venv-uv/install.sh
  mkdir -p .venv-uv
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location -o "$installer" https://astral.sh/uv/install.sh
  else
    wget --quiet -O "$installer" https://astral.sh/uv/install.sh
  fi && UV_UNMANAGED_INSTALL="$PWD/.venv-uv/bin" sh "$installer" --quiet
}

if ! uv=$(find_uv); then
  echo "setup: fetching uv into .venv-uv"
  uv_from_pypi >/dev/null 2>&1 || uv_from_installer ||
    fail "uv could not be fetched. Install it (https://docs.astral.sh/uv) and run this again."
  uv=$(find_uv) || fail "uv was fetched into .venv-uv but does not start."
fi

# tensorflow-cpu is the same library without the GPU code, at half the download.
tensorflow=tensorflow
if nvidia-smi -L >/dev/null 2>&1; then
  tensorflow='tensorflow[and-cuda]'
elif [ "$(uname -sm)" = "Linux x86_64" ]; then
  tensorflow=tensorflow-cpu
fi

stamp=$(cat pyproject.toml constraints.txt scripts/setup.sh <(echo "$PWD $tensorflow") | cksum)
if [ "$(cat .venv/.stamp 2>/dev/null)" = "$stamp" ] && .venv/bin/python -c '' 2>/dev/null; then
  exit 0
fi

echo "setup: installing keras-robust, its plugin, tests and documentation tools into .venv ($tensorflow)"
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
# keras-hub asks for tensorflow-text, which only its text models use.
echo "tensorflow-text; python_version < '3'" >"$overrides"
if [ "$tensorflow" = tensorflow-cpu ]; then
  echo "tensorflow; python_version < '3'" >>"$overrides"
fi
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300}
env -u VIRTUAL_ENV "$uv" venv --quiet --clear .venv 2>/dev/null ||
  fail "no Python 3.11, 3.12 or 3.13 was found, and uv could not fetch one."
"$uv" pip install --quiet --python .venv/bin/python --constraints constraints.txt \
  --build-constraints constraints.txt --overrides "$overrides" \
  --editable '.[napari,quality,tune,cluster,dicom,formats,test,docs,jax]' "$tensorflow" ||
  fail "the installation failed. Check the network and run this again: what was fetched is kept."
echo "$stamp" >.venv/.stamp
