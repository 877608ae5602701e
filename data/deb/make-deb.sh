#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian package of a build that was configured with --prefix=/usr -Dfrom_build_folder=false:
#
#   make-deb.sh BUILD_DIR OUT_DIR       prints the package's path
#
# needs dpkg-dev.  Schemas, icon caches and the desktop's database are brought up to date by Debian's own triggers, so the package
# has no scripts.  Dates are those of the last commit: the same sources and tools give the same bytes.
set -euo pipefail
[ $# = 2 ] || { sed -n '3,8p' "$0"; exit 2; }
source=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/make-deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/debian/zimage-studio
umask 022

export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}
version=$(meson introspect "$build" --projectinfo | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')

meson install -C "$build" --no-rebuild --quiet --destdir "$root" >&2
[ -x "$root/usr/bin/zimage" ] || { echo "make-deb.sh: $build is not configured for --prefix=/usr" >&2; exit 1; }
programs=$(find "$root" -type f \( -path '*/bin/*' -o -name '*.so' \))
module=$(find "$root" -name zie-cuda.so)
strip --strip-unneeded --remove-section=.comment --remove-section=.note $programs

# What a Debian package says of itself: changes, licences, compressed manuals.
cat > "$work/debian/changelog" <<CHANGELOG
zimage-studio ($version) stable; urgency=low

  * The first version.

 -- The Z-Image Studio engineers <maintainers@example.com>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
doc=$root/usr/share/doc/zimage-studio
gzip -9nc "$work/debian/changelog" > "$doc/changelog.gz"
"$source/data/deb/copyright.sh" ${module:+with-cuda} > "$doc/copyright"
rm "$doc/COPYING"                       # Debian has this text, and the copyright file says where
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
find "$root/usr/share/man" -name '*.1' -exec gzip -9n {} +

# Which libraries of Debian it needs, and in which versions, the programs themselves say.
cp "$source/data/deb/control.in" "$work/debian/control"
[ -z "$module" ] || sed -i 's,^Section: graphics,Section: non-free/graphics,' "$work/debian/control"    # NVIDIA's runtime is in it
cd "$work"
dpkg-shlibdeps --warnings=0 -Tsubstvars $programs
mkdir "$root/DEBIAN"
dpkg-gencontrol -pzimage-studio -Tsubstvars "-P$root" "-O$root/DEBIAN/control"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)

find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=$out/zimage-studio_${version}_$(dpkg --print-architecture).deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >&2
echo "$package"
