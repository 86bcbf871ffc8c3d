#!/usr/bin/env bash
# What napari's window needs of a Linux system: libraries of Qt and OpenGL, and Xvfb for its tests.
# Installs what is missing where it may (apt-get as root or with sudo that asks no password), and
# otherwise says what is missing. Never fails: all but the plugin works without.
set -uo pipefail
[ "$(uname -s)" = Linux ] || exit 0

known=$(/sbin/ldconfig -p 2>/dev/null || ldconfig -p 2>/dev/null)
missing=()
while read -r library package; do
  [[ $known == *"$library"* ]] || missing+=("$package")
done <<'LIBRARIES'
libEGL.so.1 libegl1
libGL.so.1 libgl1
libGLX_mesa.so.0 libglx-mesa0
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-xinerama.so.0 libxcb-xinerama0
LIBRARIES
command -v Xvfb >/dev/null || missing+=(xvfb)
[ ${#missing[@]} -eq 0 ] && exit 0

say() {
  echo "setup: napari's window needs system libraries: sudo apt-get install ${missing[*]}" >&2
  exit 0
}

command -v apt-get >/dev/null || say
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  sudo -n true 2>/dev/null || say
  as_root=(sudo -n)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq >/dev/null 2>&1
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
  "${missing[@]}" >/dev/null 2>&1 || say
