#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All fuzz targets side by side, a process each, for as long as is wanted:
#
#   tests/fuzz/long.sh [--each N] TARGETS_DIR SECONDS OUT [TARGET...]    run those of TARGETS_DIR (build-fuzz/tests/fuzz, or what --pack wrote)
#   tests/fuzz/long.sh --pack TARGETS_DIR DIR                            make DIR: the targets with every library that they load, for another machine
#
# OUT gets a folder a target: what the corpus of the tree grew to (corpus/), what made it fail (found/), libFuzzer's words (log.1 ...).
# With --each 6 six processes a target share its corpus: each takes over what another has found.
# After a failure a process goes on with the time that is left; a later call with the same OUT goes on where this one ended.  At the
# end, which may come early by SIGTERM or SIGINT, there is one line a target, of all calls together, also in OUT/summary, and the
# status is 1 where anything failed.  To see a failure again: TARGET OUT/NAME/found/FILE; to keep it: into corpus/NAME.
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

# fuzz TARGET SECONDS OUT LOG: one process of a target, until its time is over or it is told to stop.
fuzz ()
{
  local name=${1##*/fuzz-} ends=$((SECONDS + $2)) out=$3 log=$4 command left status pid='' stopped=''
  find_command "$1"
  trap 'stopped=1; [ -z "$pid" ] || kill -INT "$pid" 2>/dev/null || true' TERM INT
  while left=$((ends - SECONDS)); [ -z "$stopped" ] && [ "$left" -gt 0 ] && [ "$(ls "$out/found" | wc -l)" -lt $most_failures ]; do
    "${command[@]}" "$out/corpus" "$here/corpus/$name" -max_total_time="$left" -max_len=65536 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 \
      -print_final_stats=1 -verbosity=1 -artifact_prefix="$out/found/" -dict="$here/words.dict" >>"$log" 2>&1 &
    pid=$!
    # A signal ends the waiting; the target still has its last words to say.
    while wait "$pid" && status=0 || status=$?; kill -0 "$pid" 2>/dev/null; do :; done
    [ "$status" != 0 ] && [ -z "$stopped" ] || break
    echo "== ended with status $status" >>"$log"
    # A target that ends at once for a reason of its own (a library that is missing) is not started again for ever.
    grep -q '^#[0-9]' "$log" || break
  done
}

# What the logs in OUT/NAME say of all its runs: seconds, processes, executions, a second, edges covered at the start and at the end,
# failures, slowest input.
summarise ()
{
  local name=$1 out=$2
  awk -v name="$name" -v found="$(ls "$out/found" | wc -l)" -v grown="$(ls "$out/corpus" | wc -l)" '
    FNR == 1 { processes++ }
    /^== ran [0-9]+ s/ { seconds += $3 }
    /^stat::number_of_executed_units/ { runs += $2 }
    /^stat::slowest_unit_time_sec/ { if ($2 > slowest) slowest = $2 }
    /^stat::peak_rss_mb/ { if ($2 > rss) rss = $2 }
    /^#[0-9]+\t.*cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") { if (/INITED/ && first == "") first = $(i + 1); if ($(i + 1) > last) last = $(i + 1) } }
    /^== ended/ { ends++ }
    END { printf "%-12s %6d s %5d %12d %9.0f %6d %6d %7d %6d %6d %5d s %5d MB\n", name, seconds, processes, runs, runs / (seconds ? seconds : 1), first, last,
                 grown, found, ends, slowest, rss
          exit found > 0 || ends > 0 || runs == 0 }' "$out"/log.*
}

if [ "${1-}" = --pack ]; then
  [ $# = 3 ] || die "--pack TARGETS_DIR DIR"
  pack "$2" "$3"
  exit
fi

each=1
if [ "${1-}" = --each ]; then
  each=${2-}
  [[ $each =~ ^[1-9][0-9]*$ ]] || die "--each wants a number of processes"
  shift 2
fi
[ $# -ge 3 ] || die "[--each N] TARGETS_DIR SECONDS OUT [TARGET...]"
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
trap 'kill -TERM $(jobs -p) 2>/dev/null || true' TERM INT
started=$SECONDS
for target in "${targets[@]}"; do
  folder=$out/${target##*/fuzz-}
  mkdir -p "$folder/corpus" "$folder/found"
  for i in $(seq "$each"); do
    fuzz "$target" "$seconds" "$folder" "$folder/log.$i" &
  done
done
while wait || true; [ -n "$(jobs -pr)" ]; do :; done
for target in "${targets[@]}"; do
  echo "== ran $((SECONDS - started)) s" >>"$out/${target##*/fuzz-}/log.1"
done

rc=0
rm -f "$out/failed"
{
  printf '%-12s %8s %5s %12s %9s %6s %6s %7s %6s %6s %7s %8s\n' target time procs runs per-sec cov-0 cov-1 new failed ends slowest rss
  for target in "${targets[@]}"; do
    summarise "${target##*/fuzz-}" "$out/${target##*/fuzz-}" || echo "${target##*/fuzz-}" >>"$out/failed"
  done
} | tee "$out/summary"
[ ! -s "$out/failed" ] || rc=1
exit $rc
