#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Our kernels under NVIDIA's compute-sanitizer, on a machine with a card: every check program on small shapes, then the demo
# model's picture, with each of its four tools.  A line each; what the tool said of a failure stands below its line.
#
# usage: gpu-sanitize.sh [BUILD [TOOL...]]      BUILD: build/ where left out; TOOL: memcheck racecheck initcheck synccheck
# Ends with 0: all clean, 1: something is not, 77: no card or no compute-sanitizer.
set -u
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
build=$(readlink -f "${1-build}")
[ $# = 0 ] || shift
tools=("${@-}")
[ -n "${tools[0]}" ] || tools=(memcheck racecheck initcheck synccheck)

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null) ||
  { echo "skipped: there is no compute-sanitizer here; it comes with the CUDA toolkit (package cuda-sanitizer)"; exit 77; }
[ -x "$build/engine/cli/zimage" ] || { echo "gpu-sanitize.sh: $build holds no build (./dev build makes one)" >&2; exit 1; }
card=$("$build/engine/cli/zimage" devices | grep '^cuda') || card="cuda  not here: this build has no CUDA"
[[ $card != *"not here"* ]] || { echo "skipped: $card"; exit 77; }
echo "$card"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
n_bad=0

# one TOOL NAME COMMAND...
one ()
{
  local tool=$1 name=$2 rc=0 begin=$SECONDS
  shift 2
  "$sanitizer" --tool "$tool" --error-exitcode 99 --print-limit 5 --target-processes all "$@" >"$folder/log" 2>&1 || rc=$?
  case $rc in
    0) printf '%-10s %-24s ok       %4d s\n' "$tool" "$name" $((SECONDS - begin)) ;;
    77) printf '%-10s %-24s skipped  %s\n' "$tool" "$name" "$(grep -v '^=' "$folder/log" | tail -n 1)" ;;
    *)
      printf '%-10s %-24s FAILED   %4d s, status %d\n' "$tool" "$name" $((SECONDS - begin)) $rc
      grep -E '^=========|FAILED|error' "$folder/log" | head -n 40 | sed 's/^/    /'
      n_bad=$((n_bad + 1)) ;;
  esac
}

for tool in "${tools[@]}"; do
  for name in attention conv elementwise gemm; do
    one "$tool" "$name" "$build/tests/kernels/cuda/cuda-check-$name" --quick
  done
  # Own products: what another's library does is not ours to answer for.
  one "$tool" picture env ZIE_CUDA_GEMM=own "$build/engine/cli/zimage" generate --device cuda --prompt "a red apple" --seed 7 \
    --width 256 --height 256 --steps 2 --output "$folder/picture.png"
  one "$tool" "picture, portable" env ZIE_CUDA_GEMM=mma ZIE_CUDA_CONV=mma ZIE_CUDA_ATTENTION=mma "$build/engine/cli/zimage" generate \
    --device cuda --prompt "a red apple" --seed 7 --width 256 --height 256 --steps 2 --output "$folder/picture.png"
done
[ $n_bad = 0 ] && echo "all clean" && exit 0
echo "$n_bad FAILED"
exit 1
