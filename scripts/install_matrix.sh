#!/usr/bin/env bash
# Install wheel and sdist as a stranger does, each in a clean environment, and use what is there:
#
#   bash scripts/install_matrix.sh                        everything
#   bash scripts/install_matrix.sh 3.13 "[tune]"          one Python with one extra
#   bash scripts/install_matrix.sh 3.11 "" lowest-direct  the lowest versions that are allowed
#
# Takes what `uv build` left in dist/, or builds it. Each environment adds a row to the file TABLE.
# SKIP="[torch]" leaves out extras; the sdist, which becomes the same wheel, is tried without extras.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv=$(command -v uv || echo "$PWD/.venv-uv/bin/uv")
table=$(realpath -m "${TABLE:-$work/table.md}")
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300} QT_QPA_PLATFORM=offscreen PYTHONWARNINGS=
[ -n "$(ls dist/*.whl dist/*.tar.gz 2>/dev/null)" ] || "$uv" build --quiet
dist=$PWD/dist

one_loss='
import numpy as np
import keras_robust
truth = np.eye(8)[None, ..., None]
found = float(keras_robust.CE()(truth, 0.8 * truth + 0.1))
assert abs(found + np.log(0.9)) < 1e-5, found'
all_commands_of_the_plugin='
from importlib import import_module
from npe2 import PluginManifest
import napari_plugin.view
commands = PluginManifest.from_distribution("keras-robust").contributions.commands
for module, _, name in (command.python_name.partition(":") for command in commands):
    getattr(import_module(module), name)
assert len(commands) > 5'

# Do what an extra is for, which fails without it. The caller is in an empty folder.
use() {
  case "$1" in
    "") keras-robust demo --size 16 --features 2 --epochs 1 -o demo ;;
    "[napari]") python -c "$all_commands_of_the_plugin" ;;
    "[tune]") python -c "from keras_robust.tuning.study import require_optuna as r; r()" ;;
    "[cluster]")
      keras-robust simulate "$sample" --alpha 0.3 --beta 0.5 -o simulated --cluster local
      python -c "import dask_jobqueue, psycopg" ;;
    "[quality]")
      keras-robust audit "$sample" --predictions "$sample/masks" --split test \
        --score softmin --score confident_learning -o audit ;;
    "[dicom]") python -c "import highdicom, pydicom" ;;
    "[formats]")
      keras-robust export "$sample" --format geojson -o exported
      python -c "import SimpleITK, highdicom, pydicom" ;;
    "[jax]") KERAS_BACKEND=jax python -c "$one_loss" ;;
    "[torch]") KERAS_BACKEND=torch python -c "$one_loss" ;;
  esac
}

try() (
  file=$1 python=$2 extra=$3 resolution=$4
  # What a wheel asks for is not direct for uv; what the project's own file asks for is.
  direct=()
  [ "$resolution" = highest ] || direct=(-r pyproject.toml)
  "$uv" venv --quiet --clear --python "$python" "$work/clean"
  "$uv" pip install --quiet --python "$work/clean" --resolution "$resolution" \
    "keras-robust$extra @ file://$file" ${direct[@]+"${direct[@]}"}
  mkdir -p "$work/empty" && cd "$work/empty"
  export PATH="$work/clean/bin:$PATH"
  keras-robust --version
  sample=$(python -c "import keras_robust as kr; print(kr.data.sample_path())")
  keras-robust verify "$sample" --quiet
  use "$extra"
)

row() {
  local file=$1 python=$2 extra=$3 resolution=$4 begin=$SECONDS passed=yes
  echo "== $(basename "$file") $extra, Python $python, $resolution versions"
  set +e
  (set -e; try "$@") >"$work/said" 2>&1
  [ $? -eq 0 ] || { passed=no; failed=1; cat "$work/said"; }
  set -e
  local kind=wheel
  [ "${file##*.}" = whl ] || kind=sdist
  if [ ! -s "$table" ]; then
    echo "| from | Python | extra | versions | Keras, NumPy, TensorFlow | seconds | passed |"
    echo "|---|---|---|---|---|---|---|"
  fi >>"$table"
  echo "| $kind | $python | ${extra:-none} | $resolution | $(versions) | $((SECONDS - begin)) |" \
    "$passed |" | tee -a "$table"
  rm -rf "$work/empty" "$work/clean"
}

versions() {
  "$uv" pip list --quiet --python "$work/clean" --format freeze 2>/dev/null |
    sed -nE 's/^(keras|tensorflow|numpy)==//p' | paste -sd, | sed 's/,/, /g'
}

cells() {
  local python extra file
  for python in 3.11 3.13; do
    for extra in "" "[napari]" "[tune]" "[cluster]" "[quality]" "[dicom]" "[formats]" "[jax]" "[torch]"; do
      case " ${SKIP:-} " in *" $extra "*) [ -z "$extra" ] || continue ;; esac
      echo "$python;$extra;highest"
    done
  done
  echo "3.11;;lowest-direct"
}

failed=0
[ $# -eq 0 ] || echo "$1;${2:-};${3:-highest}" >"$work/cells"
[ $# -gt 0 ] || cells >"$work/cells"
while IFS=';' read -r python extra resolution <&3; do
  for file in "$dist"/*.whl "$dist"/*.tar.gz; do
    [ -n "$extra" ] && [ "${file##*.}" != whl ] || row "$file" "$python" "$extra" "$resolution"
  done
done 3<"$work/cells"
exit $failed
