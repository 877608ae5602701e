#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All fuzz targets side by side, a process each, for as long as is wanted:
#
#   tests/fuzz/long.sh TARGETS_DIR SECONDS OUT [TARGET...]    run those of TARGETS_DIR (build-fuzz/tests/fuzz, or what --pack wrote)
#   tests/fuzz/long.sh --pack TARGETS_DIR DIR                 make DIR: the targets with every library that they load, for another machine
#
# OUT gets a folder a target: what the corpus of the tree grew to (corpus/), what made it fail (found/), libFuzzer's words (log).
# After a failure the target goes on with the time that is left; a later call with the same OUT goes on where this one ended.  At the
# end there is one line a target, of all calls together, also in OUT/summary, and the status is 1 where anything failed.  To see a
# failure again: TARGET OUT/NAME/found/FILE; to keep it: into corpus/NAME.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

most_failures=25      # of one target: what fails at once, again and again, shall not fill the disk

die () { printf 'long.sh: %s\n' "$*" >&2; exit 1; }

# The dynamic loader comes too, so that the machine's own C library may be older than ours.
pack ()
{
  local from=$1 to=$2 target
  mkdir -p "$to/lib"
  for target in "$from"/fuzz-*; do
    [ -f "$target" ] && [ -x "$target" ] || continue
    strip --strip-debug -o "$to/${target##*/}" "$target"
    ldd "$target" | sed -nE 's/^.*=> (\/[^ ]+) .*$/\1/p; s/^\s*(\/[^ ]*\/ld-linux[^ ]*) .*$/\1/p'
  done | sort -u | while read -r library; do
    cp -L "$library" "$to/lib/"
  done
  ls "$to"/fuzz-* >/dev/null 2>&1 || die "there are no targets in $from (ninja -C build-fuzz fuzzers)"
  du -sh "$to"
}

# The command that starts TARGET, in the array command.
find_command ()
{
  local loader
  command=("$1")
  for loader in "${1%/*}"/lib/ld-linux*; do
    [ ! -f "$loader" ] || command=("$loader" --library-path "${1%/*}/lib" "$1")
  done
}

# fuzz TARGET SECONDS OUT: one target, until its time is over.
fuzz ()
{
  local name=${1##*/fuzz-} ends=$((SECONDS + $2)) out=$3 command left
  find_command "$1"
  mkdir -p "$out/corpus" "$out/found"
  while left=$((ends - SECONDS)); [ "$left" -gt 0 ] && [ "$(ls "$out/found" | wc -l)" -lt $most_failures ]; do
    # A target that ends at once for a reason of its own (a library that is missing) is not started again for ever.
    "${command[@]}" "$out/corpus" "$here/corpus/$name" -max_total_time="$left" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 \
      -print_final_stats=1 -verbosity=1 -artifact_prefix="$out/found/" -dict="$here/words.dict" >>"$out/log" 2>&1 && break
    echo "== ended with status $?" >>"$out/log"
    grep -q '^#[0-9]' "$out/log" || break
  done
}

# What OUT/NAME/log says of all its runs: executions, a second, edges covered at the start and at the end, failures, slowest input.
summarise ()
{
  local name=$1 out=$2
  awk -v name="$name" -v found="$(ls "$out/found" | wc -l)" -v grown="$(ls "$out/corpus" | wc -l)" '
    /^== for [0-9]+ s/ { seconds += $3 }
    /^stat::number_of_executed_units/ { runs += $2 }
    /^stat::slowest_unit_time_sec/ { if ($2 > slowest) slowest = $2 }
    /^stat::peak_rss_mb/ { if ($2 > rss) rss = $2 }
    /^#[0-9]+\t.*cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") { if (/INITED/ && first == "") first = $(i + 1); last = $(i + 1) } }
    /^== ended/ { ends++ }
    END { printf "%-12s %6d s %12d %9.0f %6d %6d %7d %6d %6d %5d s %5d MB\n", name, seconds, runs, runs / seconds, first, last, grown, found, ends, slowest, rss
          exit found > 0 || ends > 0 || runs == 0 }' "$out/log"
}

if [ "${1-}" = --pack ]; then
  [ $# = 3 ] || die "--pack TARGETS_DIR DIR"
  pack "$2" "$3"
  exit
fi

[ $# -ge 3 ] || die "TARGETS_DIR SECONDS OUT [TARGET...]"
targets_dir=$(readlink -f "$1") seconds=$2
mkdir -p "$3"
out=$(readlink -f "$3")
shift 3
export FUZZ_DATADIR=$here/../../data ASAN_OPTIONS=detect_leaks=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}

targets=()
for target in "$targets_dir"/fuzz-*; do
  [ -f "$target" ] && [ -x "$target" ] || continue
  [ $# = 0 ] || [[ " $* " = *" ${target##*/fuzz-} "* ]] || continue
  targets+=("$target")
done
[ ${#targets[@]} -gt 0 ] || die "there are no targets in $targets_dir (ninja -C build-fuzz fuzzers)"

cd "$out"             # what a target leaves beside itself
for target in "${targets[@]}"; do
  mkdir -p "$out/${target##*/fuzz-}"
  echo "== for $seconds s" >>"$out/${target##*/fuzz-}/log"
  fuzz "$target" "$seconds" "$out/${target##*/fuzz-}" &
done
wait

rc=0
rm -f "$out/failed"
{
  printf '%-12s %8s %12s %9s %6s %6s %7s %6s %6s %7s %8s\n' target time runs per-sec cov-0 cov-1 new failed ends slowest rss
  for target in "${targets[@]}"; do
    summarise "${target##*/fuzz-}" "$out/${target##*/fuzz-}" || echo "${target##*/fuzz-}" >>"$out/failed"
  done
} | tee "$out/summary"
[ ! -s "$out/failed" ] || rc=1
exit $rc
