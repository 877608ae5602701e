#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs a package on a clean Debian 12 and runs it there: everything it needs has to be named in it.
#
# usage: debian12-deb.sh PACKAGE.deb ROOT         ROOT is unpacked once; then, inside it, the window too:
#   tests/ui/ui-session.sh /usr/bin/python3 tests/ui/test_walk.py tests/flatpak/in-root.sh ROOT zimage-studio
# needs, as root, the Debian packages mmdebstrap and bubblewrap; a minute or two, 700 MB.
set -euo pipefail
[ $# = 2 ] && [ -f "$1" ] || { sed -n '3,7p' "$0"; exit 2; }
[ "$(id -u)" = 0 ] || { echo "$0: run it as root (mmdebstrap --mode=root)" >&2; exit 1; }
package=$(readlink -f "$1") root=$2

# The mirror this machine already uses.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "$0: no Debian mirror in this machine's apt sources (apt-get update first?)" >&2; exit 1; }
if [ ! -d "$root/usr" ]; then
  mmdebstrap --mode=root --variant=apt bookworm "$root" "$mirror" 2>"$root.log" || { tail -n 20 "$root.log" >&2; rm -rf "$root"; exit 1; }
  rm -f "$root.log"
fi

# In a mount namespace, so that no mount is left behind.
inside ()
{
  unshare -m --propagation private sh -c 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"' "$root" \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
cp "$package" "$root/tmp/package.deb"
cp /etc/resolv.conf "$root/etc/resolv.conf"
inside apt-get -q update >/dev/null
inside apt-get -q -y --no-install-recommends install --reinstall /tmp/package.deb >"$root/tmp/apt.log" 2>&1 || { tail -n 20 "$root/tmp/apt.log" >&2; exit 1; }

inside zimage --version
inside zimage devices
inside sh -c 'cd /tmp && zimage generate --prompt "a red apple on a blue background" --seed 7 --output apple.png'
inside zimage inspect /tmp/apple.png
inside zimage-studio --help >/dev/null
inside zimage-studio --version
# The CUDA module loads where nothing of NVIDIA's is, and asks for nothing of it; its runtime's terms come along.
if [ -n "$(inside find /usr/lib -name zie-cuda.so)" ]; then
  inside zimage devices | grep -q '^cuda .*driver' || { echo "the CUDA module does not load" >&2; exit 1; }
  ! inside dpkg-query -W -f '${Depends} ${Recommends}' zimage-studio | grep -iE 'nvidia|cuda|cublas|cudnn' || { echo "it depends on NVIDIA's packages" >&2; exit 1; }
  inside grep -q '^License: NVIDIA-CUDA' /usr/share/doc/zimage-studio/copyright || { echo "NVIDIA's terms are missing" >&2; exit 1; }
fi
inside test -f /usr/share/glib-2.0/schemas/gschemas.compiled
missing=$(inside dpkg --verify zimage-studio)
[ -z "$missing" ] || { echo "not as the package has it: $missing" >&2; exit 1; }
inside apt-get -q -y purge zimage-studio >/dev/null 2>&1
left=$(inside find / -xdev -path /proc -prune -o -iname '*zimage*' -print | grep -v '^/tmp/\|^/root/\|^/var/cache\|^/var/log' || true)
[ -z "$left" ] || { echo "left after removing it: $left" >&2; exit 1; }
inside dpkg -i /tmp/package.deb >/dev/null          # for the window's test
echo "ok: $(basename "$package") installs on Debian 12, runs there, and goes without leaving anything"
