#!/usr/bin/env bash
# Run the tests in the project's own environment: bash scripts/test.sh [pytest arguments]
#
# In two parts: TensorFlow and the OpenGL of napari's window end in a segmentation fault where they
# meet in one process. Paths among the arguments choose which; without any, both run. Tests of the
# library share the processors by file; -n 0 runs them in one process.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Importing TensorFlow takes three times as long in every process that may not keep its modules.
unset PYTHONDONTWRITEBYTECODE
bash scripts/setup.sh || exit 1

library=() plugin=() options=()
for argument in "$@"; do
  case "$argument" in
    -*) options+=("$argument") ;;
    napari_plugin* | ./napari_plugin* | tests/napari_plugin* | ./tests/napari_plugin*)
      plugin+=("$argument") ;;
    *) if [ -e "${argument%%::*}" ]; then library+=("$argument"); else options+=("$argument"); fi ;;
  esac
done
if [ ${#library[@]} -eq 0 ] && [ ${#plugin[@]} -eq 0 ]; then
  library=(tests/keras_robust)
  plugin=(tests/napari_plugin)
fi

of_the_library() {
  .venv/bin/python -m pytest -p no:napari -p no:npe2 -p no:napari-plugin-engine -p no:pytest-qt \
    -p no:xvfb -n auto --dist loadfile --no-loadscope-reorder \
    ${options[@]+"${options[@]}"} "${library[@]}"
}

of_the_plugin() {
  if [ -z "${DISPLAY:-}" ] && ! command -v Xvfb >/dev/null; then
    export QT_QPA_PLATFORM=offscreen # no window is ever shown then
  fi
  exec .venv/bin/python -m pytest ${options[@]+"${options[@]}"} "${plugin[@]}"
}

codes=()
if [ ${#library[@]} -gt 0 ] && [ ${#plugin[@]} -gt 0 ]; then
  # The plugin's tests, which use one processor, run beside the others; they are shown after them.
  shown=$(mktemp)
  of_the_plugin >"$shown" 2>&1 &
  beside=$!
  trap 'kill "$beside" 2>/dev/null; cat "$shown"; rm -f "$shown"' EXIT
  of_the_library
  codes+=($?)
  wait "$beside"
  codes+=($?)
elif [ ${#library[@]} -gt 0 ]; then
  of_the_library
  codes+=($?)
elif [ ${#plugin[@]} -gt 0 ]; then
  (of_the_plugin)
  codes+=($?)
fi
# 5: no test was chosen, which is right for one of the two, as with -k.
chosen=0
for code in "${codes[@]}"; do
  [ "$code" -eq 0 ] || [ "$code" -eq 5 ] || exit "$code"
  [ "$code" -eq 5 ] || chosen=1
done
[ $chosen -eq 1 ] || exit 5
