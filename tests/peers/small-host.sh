#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The full-size model on a host of 16 GB: zimage runs in a memory cgroup of that size, in which the page cache counts, once on the
# CPU and, where there is a card, streaming within a budget of 6 GiB.  Each must end with a picture; what is printed tells the
# group's highest use, its limit's hits and the process's own memory.  Pages of the checkpoint are counted where they are first
# read, so those that are in memory already are let go of before each; in /dev/shm they cannot be, and count elsewhere.
#
# usage: small-host.sh ZIMAGE CHECKPOINT [SIZE [STEPS [LIMIT]]]      256 pixels, 1 step, 16G where left out; as root
# Ends with 0: pictures were made, 1: not, 77: this system lets nobody set a memory cgroup (said in words).
set -u
[ $# -ge 2 ] || { sed -n '3,8p' "$0"; exit 2; }
zimage=$(readlink -f "$1") checkpoint=$(readlink -f "$2") size=${3-256} steps=${4-1} limit=${5-16G}
bytes=$(numfmt --from=iec "$limit") || exit 2

group=
skip () { echo "skipped: $*"; exit 77; }
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  grep -qw memory /sys/fs/cgroup/cgroup.controllers || skip "the memory controller is not there (/sys/fs/cgroup/cgroup.controllers)"
  echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
  group=/sys/fs/cgroup/zimage-small-host
  knob=memory.max peak=memory.peak hits="memory.events"
elif [ -d /sys/fs/cgroup/memory ]; then
  group=/sys/fs/cgroup/memory/zimage-small-host
  knob=memory.limit_in_bytes peak=memory.max_usage_in_bytes hits=memory.failcnt
else
  skip "there are no memory cgroups on this system"
fi
mkdir -p "$group" 2>/dev/null && [ -w "$group/$knob" ] && echo "$bytes" >"$group/$knob" 2>/dev/null || skip "no memory cgroup can be made below ${group%/*} (root is needed)"

[ "$(stat -f -c %T "$checkpoint")" != tmpfs ] || echo "the checkpoint is in memory itself: its pages do not count"
folder=$(mktemp -d)
trap 'rm -rf "$folder"; rmdir "$group" 2>/dev/null' EXIT
n_bad=0

# one NAME ARG...
one ()
{
  local name=$1 rc=0 begin=$SECONDS
  shift
  find -L "$checkpoint" -type f -size +1M -exec dd if={} iflag=nocache count=0 status=none \;
  ( echo $BASHPID >"$group/cgroup.procs" || exit 99
    exec "$zimage" generate -m "$checkpoint" --width "$size" --height "$size" --steps "$steps" --seed 1 --prompt "a red apple" --json -o "$folder/$name.png" "$@"
  ) >"$folder/$name.json" 2>"$folder/$name.log" || rc=$?
  printf '%-10s %s, %d s; group at most %s of %s, hits of its limit: %s; %s\n' "$name" "$([ $rc = 0 ] && echo ok || echo "FAILED with status $rc")" \
    $((SECONDS - begin)) "$(numfmt --to=iec <"$group/$peak" 2>/dev/null || echo unknown)" "$limit" \
    "$(tr '\n' ' ' <"$group/$hits")" "$(grep -o '"peak_memory": {[^}]*}' "$folder/$name.json" | tail -n 1)"
  [ $rc = 0 ] || { n_bad=$((n_bad + 1)); tail -n 3 "$folder/$name.log"; }
}

one cpu --device cpu
if "$zimage" devices | grep '^cuda' | grep -qv 'not here'; then
  one cuda --device cuda --vram-budget 6G
fi
[ $n_bad = 0 ]
