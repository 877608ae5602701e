#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Saves the X display ($DISPLAY) or one window as PNG.  usage: screenshot.sh OUT.png [WINDOW TITLE]
# needs Debian's imagemagick (import) and, for a title, xdotool
set -e
[ $# -ge 1 ] || { sed -n '3,4p' "$0"; exit 2; }
win=root; [ -z "$2" ] || win=$(xdotool search --onlyvisible --name "$2" | tail -1)
import -silent -window "$win" "$1"; identify -format '%f %wx%h\n' "$1"
