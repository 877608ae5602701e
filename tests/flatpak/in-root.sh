#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command inside an unpacked Debian root (for instance DIR/sdk left by make-standin-runtime.sh -k),
# so that code can be compiled and run with GTK 4.18 / libadwaita 1.7 on a Debian 12 machine.
# No mount is left behind; the X display, the session bus and /tmp are this machine's, so a window opened
# inside can be driven from outside:   ui-session.sh python3 test.py  with  ui.start(['in-root.sh', ROOT, 'build13/app/zimage-studio'])
#
# usage: in-root.sh ROOT COMMAND [ARG...]        needs Debian's bubblewrap
#   in-root.sh standin/sdk meson setup build13 && in-root.sh standin/sdk ninja -C build13
# The current folder (its git top level, or the folder itself) is writable inside at the same path.
set -e
[ $# -ge 2 ] || { sed -n '3,11p' "$0"; exit 2; }
root=$(cd "$1" && pwd); shift
top=$(git rev-parse --show-toplevel 2>/dev/null || pwd)
exec bwrap --bind "$root" / --proc /proc --dev /dev --bind /tmp /tmp --bind "$top" "$top" --tmpfs /run \
  ${XDG_RUNTIME_DIR:+--bind-try "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR"} \
  --setenv PATH /usr/bin:/usr/sbin:/bin --unsetenv PYENV_ROOT --unsetenv LD_LIBRARY_PATH --unsetenv LIBRARY_PATH \
  --die-with-parent --chdir "$PWD" "$@"
