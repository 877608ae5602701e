#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command in a private desktop: its own X server (Xvfb), window manager, D-Bus session with the
# accessibility bus, and empty home and settings.  Everything ends with the command.
#
# usage: ui-session.sh [-g WxHx24] [-o OUTDIR] [-f] COMMAND [ARG...]
#   -f  for a Flatpak: portals too (file dialogs of a sandboxed app come from xdg-desktop-portal-gtk), with
#       XDG_RUNTIME_DIR=/run/user/UID in a mount namespace of its own, the only place where the document
#       portal's paths are the same inside and outside the sandbox (root; xdg-desktop-portal-gtk, fuse3)
#   ui-session.sh python3 tests/ui/test_generate.py        (the test starts the app: see uidrive.py)
#   ui-session.sh -- bash -c 'build/app/zimage-studio & sleep 3; tests/ui/screenshot.sh now.png'
# needs the Debian packages xvfb openbox dbus-daemon at-spi2-core xdotool imagemagick python3-pyatspi
#   gir1.2-atspi-2.0 adwaita-icon-theme fonts-cantarell librsvg2-common
geom=1280x900x24 out= flat=0 all=("$@")
while getopts +g:o:fh o; do case $o in g) geom=$OPTARG;; o) out=$OPTARG;; f) flat=1;; *) sed -n '3,13p' "$0"; exit 2;; esac; done
shift $((OPTIND-1)); [ $# -gt 0 ] || { sed -n '3,13p' "$0"; exit 2; }
if [ $flat = 1 ] && [ -z "$UI_PRIVATE" ]; then UI_PRIVATE=1 exec unshare -m --propagation private "$0" "${all[@]}"; fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/ui-session.XXXXXX"); mkdir -p "$tmp"/{home,run,config,cache,data}; chmod 700 "$tmp/run"
exec 7>"$tmp/display"
Xvfb -displayfd 7 -screen 0 "$geom" -nolisten tcp +extension GLX >"$tmp/xvfb.log" 2>&1 & xvfb=$!
trap 'kill $xvfb 2>/dev/null; wait $xvfb 2>/dev/null; rm -rf "$tmp"' EXIT
for _ in $(seq 100); do [ -s "$tmp/display" ] && break; kill -0 $xvfb 2>/dev/null || break; sleep .05; done
[ -s "$tmp/display" ] || { cat "$tmp/xvfb.log" >&2; exit 1; }
export DISPLAY=:$(cat "$tmp/display") HOME=$tmp/home XDG_RUNTIME_DIR=$tmp/run XDG_CONFIG_HOME=$tmp/config XDG_CACHE_HOME=$tmp/cache XDG_DATA_HOME=$tmp/data
export LC_ALL=${UI_LOCALE:-C.UTF-8} GDK_BACKEND=x11 GSK_RENDERER=${GSK_RENDERER:-cairo} GSETTINGS_BACKEND=${GSETTINGS_BACKEND:-memory}
export GTK_A11Y=atspi NO_AT_BRIDGE=0 GTK_THEME=${GTK_THEME-} UI_OUT=${out:-$PWD}
[ -n "$GTK_THEME" ] || unset GTK_THEME
if [ $flat = 1 ]; then
  export XDG_RUNTIME_DIR=/run/user/$(id -u) XDG_CURRENT_DESKTOP=GNOME
  mkdir -p "$XDG_RUNTIME_DIR"; mount -t tmpfs -o mode=700 tmpfs "$XDG_RUNTIME_DIR"; unset GTK_A11Y
fi
unset WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS
# openbox gives windows focus as a real desktop does; without a window manager a second window gets none
dbus-run-session -- bash -c 'openbox --sm-disable >/dev/null 2>&1 & wm=$!; sleep .3; "$@"; rc=$?; kill $wm 2>/dev/null; exit $rc' ui "$@" 2> >(grep -v -E '^dbus-daemon\[|RealtimeKit|PipeWire|pw\.conf|xdg-desktop-portal|Ignoring invalid max threads|Error in GetItems|^ *$' >&2) | grep -v '^SpiRegistry daemon'
exit ${PIPESTATUS[0]}
