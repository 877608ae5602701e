#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unpacks a Debian 13 (GTK 4.18, libadwaita 1.7) with everything `dev` needs to build and to drive the window, so that
# both generations of GTK can be tested on a Debian 12.  Nothing of the machine itself changes.
#
# usage: debian13-root.sh DIR        then:
#   tests/flatpak/in-root.sh DIR meson setup build-gtk418
#   tests/flatpak/in-root.sh DIR meson test -C build-gtk418 --suite app --suite ui
# needs, as root, the Debian packages mmdebstrap and bubblewrap; a minute or two, 1.5 GB.  Does nothing where DIR is such a
# root already, with all that `dev` names today.
set -euo pipefail
[ $# = 1 ] && [[ $1 != -* ]] || { sed -n '3,11p' "$0"; exit 2; }
[ "$(id -u)" = 0 ] || { echo "$0: run it as root (mmdebstrap --mode=root)" >&2; exit 1; }
command -v mmdebstrap >/dev/null || { echo "$0: mmdebstrap is missing" >&2; exit 1; }

root=$1 part=$1.part
top=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
mkdir -p "$(dirname "$root")"

# The one list of packages is dev's.
eval "$(sed -n '/^packages_build=(/,/)$/p; /^packages_test=(/,/)$/p' "$top/dev")"
packages=$(IFS=,; echo "${packages_build[*]},${packages_test[*]},gsettings-desktop-schemas,dconf-gsettings-backend,fonts-droid-fallback")
if [ -e "$root" ]; then
  [ -f "$root/etc/packages-of-dev" ] || { echo "$0: $root is there, and not made by this script" >&2; exit 1; }
  [ "$(cat "$root/etc/packages-of-dev")" != "$packages" ] || exit 0
  rm -rf "$root"
fi

# The mirror this machine already uses.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "$0: no Debian mirror in this machine's apt sources (apt-get update first?)" >&2; exit 1; }

rm -rf "$part"
mmdebstrap --mode=root --variant=apt --components=main --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/help/*' \
  --include="$packages" \
  trixie "$part" "$mirror" 2>"$part.log" || { tail -n 20 "$part.log" >&2; rm -rf "$part"; exit 1; }
rm -f "$part.log"
echo "$packages" > "$part/etc/packages-of-dev"
mv "$part" "$root"
echo "$root: $(du -sh "$root" | cut -f1)"
