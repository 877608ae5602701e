#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes a stand-in for org.gnome.Platform and org.gnome.Sdk out of Debian packages, puts both in a
# local ostree repository and installs them for the current user, so that
#   flatpak-builder, flatpak install and flatpak run
# can be tried where no Flatpak remote can be reached.  It is a TEST runtime: an app built against it
# still has to be built once against the real one before it is published.
#
# usage: make-standin-runtime.sh [-s SUITE] [-b BRANCH] [-d DIR] [-p "EXTRA SDK PACKAGES"] [-r "EXTRA PLATFORM PACKAGES"] [-l "LOCALES"] [-k]
#   -s  Debian suite to take packages from     (default trixie: GTK 4.18, libadwaita 1.7; the only one tried)
#   -b  branch the runtime pretends to be      (default 48, the GNOME release with GTK 4.18)
#   -d  work folder                            (default ./standin; DIR/repo is the repository)
#   -p, -r  further packages in the SDK / in the platform (and so in the SDK too)
#   -l  UTF-8 locales to generate              (default "de_DE fr_FR")
#   -k  keep the unpacked roots (DIR/sdk, DIR/platform: useful as a build root of their own)
# needs, as root, the Debian packages mmdebstrap flatpak flatpak-builder ostree elfutils (flatpak-builder strips with its eu-strip)
# FLATPAK_USER_DIR is honoured: set it to keep the installation out of the home folder.
set -euo pipefail
suite=trixie branch=48 dir=./standin extra_sdk= extra_plat= locales="de_DE fr_FR" keep=0
while getopts s:b:d:p:r:l:kh o; do case $o in
  s) suite=$OPTARG;; b) branch=$OPTARG;; d) dir=$OPTARG;; p) extra_sdk=$OPTARG;; r) extra_plat=$OPTARG;;
  l) locales=$OPTARG;; k) keep=1;; *) sed -n '3,17p' "$0"; exit 2;; esac; done
[ "$(id -u)" = 0 ] || { echo "$0: run it as root (mmdebstrap --mode=root)" >&2; exit 1; }
for c in mmdebstrap flatpak ostree; do command -v $c >/dev/null || { echo "$0: $c is missing" >&2; exit 1; }; done
mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
arch=$(flatpak --default-arch); multi=$(gcc -print-multiarch 2>/dev/null || echo "$arch-linux-gnu")
# the mirror this machine already uses
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | grep -v security | head -1)
[ -n "$mirror" ] || { echo "$0: no Debian mirror in this machine's apt sources (apt-get update first?)" >&2; exit 1; }

platform_pkgs="libgtk-4-1 libadwaita-1-0 libjson-glib-1.0-0 libsoup-3.0-0 glib-networking libsecret-1-0 libpng16-16t64 libwebp7 libwebpmux3
  gsettings-desktop-schemas dconf-gsettings-backend adwaita-icon-theme hicolor-icon-theme shared-mime-info librsvg2-common
  fonts-cantarell fonts-dejavu-core fontconfig libgl1-mesa-dri libgl1 libegl1 libglx-mesa0 libgles2 libglib2.0-bin
  ca-certificates dbus-bin at-spi2-core bash coreutils libgomp1 libopenblas0-pthread locales"
[ "$suite" = bookworm ] && platform_pkgs=${platform_pkgs/libpng16-16t64/libpng16-16}
sdk_pkgs="build-essential pkgconf meson ninja-build cmake git gettext itstool libxml2-utils blueprint-compiler desktop-file-utils appstream appstream-util appstream-compose
  libglib2.0-dev libglib2.0-dev-bin libgtk-4-dev libgtk-4-bin libadwaita-1-dev libjson-glib-dev libsoup-3.0-dev libsecret-1-dev
  libpng-dev libwebp-dev libopenblas-pthread-dev gdb strace python3 elfutils patch unzip bzip2 xz-utils zstd"

root() { # root NAME PACKAGES: unpack a Debian root with these packages
  local out=$dir/$1; shift
  rm -rf "$out"
  mmdebstrap --mode=root --variant=apt --components=main \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/help/*' \
    --include="$(echo "$*" | tr -s ' \n' ',')" "$suite" "$out" "$mirror" 2>"$out.log" || { tail -20 "$out.log" >&2; exit 1; }
}

runtime() { # runtime NAME ID: turn DIR/NAME into the Flatpak layout DIR/NAME.build and commit it
  local src=$dir/$1 id=$2 b=$dir/$1.build l
  for l in $locales; do chroot "$src" localedef -i "$l" -f UTF-8 "$l.UTF-8"; done
  rm -rf "$b"; mkdir -p "$b/files" "$b/var"
  if [ $keep = 1 ]; then cp -a "$src/usr" "$b/usr"; cp -a "$src/etc" "$b/usr/etc"; else mv "$src/usr" "$b/usr"; mv "$src/etc" "$b/usr/etc"; fi
  (cd "$b/usr"
   # flatpak writes these itself; an EMPTY ld.so.conf tells it to generate one with /app/lib and the extensions
   rm -rf etc/{passwd,group,shadow,gshadow,machine-id,hostname,hosts,resolv.conf,host.conf,localtime,timezone,fstab,mtab,ld.so.cache,ld.so.conf.d} etc/*- etc/apt
   : > etc/ld.so.conf
   rm -rf games local src share/{doc,man,info,lintian,bug} etc/systemd etc/init.d etc/cron* etc/rc?.d lib/systemd share/bash-completion
   # flatpak runs ldconfig with PATH=/app/bin:/usr/bin
   [ -e bin/ldconfig ] || ln -s ../sbin/ldconfig bin/ldconfig
   # mount points of the extensions named below
   mkdir -p "lib/$multi/GL" share/runtime/locale
   find . -perm /6000 -type f -exec chmod a-s {} +
   find . \( -type c -o -type b -o -type p -o -type s \) -delete)
  cat > "$b/metadata" <<M
[Runtime]
name=$id
runtime=org.gnome.Platform/$arch/$branch
sdk=org.gnome.Sdk/$arch/$branch

[Environment]
XDG_DATA_DIRS=/app/share:/usr/share:/usr/share/runtime/share:/run/host/user-share:/run/host/share
GI_TYPELIB_PATH=/app/lib/girepository-1.0

[Extension org.freedesktop.Platform.GL]
version=1.4
versions=1.4;1.4-extra
directory=lib/$multi/GL
subdirectories=true
no-autodownload=true
autodelete=false
add-ld-path=lib
merge-dirs=vulkan/icd.d;glvnd/egl_vendor.d;OpenCL/vendors;lib/dri;lib/d3d;lib/gbm;vulkan/explicit_layer.d;vulkan/implicit_layer.d
download-if=active-gl-driver
enable-if=active-gl-driver
M
  flatpak build-export --runtime --no-update-summary --disable-fsync -s "stand-in $id made from Debian $suite" "$dir/repo" "$b" "$branch" >/dev/null
  rm -rf "$b"; [ $keep = 1 ] || rm -rf "$src"
}

t0=$SECONDS; lap() { echo "[$((SECONDS-t0)) s] $*"; }
# same mode as a --user installation, so installing hard-links instead of compressing and copying
[ -d "$dir/repo" ] || ostree init --repo="$dir/repo" --mode=bare-user-only
root platform $platform_pkgs $extra_plat;           lap "platform root: $(du -sh "$dir/platform" | cut -f1)"
runtime platform org.gnome.Platform;                lap "platform committed"
root sdk $platform_pkgs $extra_plat $sdk_pkgs $extra_sdk; lap "SDK root: $(du -sh "$dir/sdk" | cut -f1)"
runtime sdk org.gnome.Sdk;                          lap "SDK committed"
flatpak build-update-repo --no-update-appstream --no-summary-index "$dir/repo" >/dev/null 2>&1 || flatpak build-update-repo "$dir/repo" >/dev/null
flatpak --user remote-add --if-not-exists --no-gpg-verify standin "$dir/repo"
flatpak --user install -y --noninteractive --or-update --reinstall standin org.gnome.Platform//$branch org.gnome.Sdk//$branch
lap "installed; repository $(du -sh "$dir/repo" | cut -f1)"
flatpak --user list --runtime --columns=application,branch,size
