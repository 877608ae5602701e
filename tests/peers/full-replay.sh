#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Replays records of diffusers at full size and holds our error to theirs:
#
#   full-replay.sh REPLAY CHECKPOINT RECORD-F32 RECORD-BF16 [OUT-FOLDER] [-- more options of replay]
#
# REPLAY is BUILD/tests/tools/replay, CHECKPOINT what make_random_checkpoint.py writes without --tiny (20 GB; 25 minutes of one
# core), the records those of
#
#   dump_reference.py CHECKPOINT RECORD --width 256 --height 256 --steps 2 --dtype f32|bf16
#
# made where diffusers in float32 fits (50 GB).  Passes when, in float32 and in bf16, freely and fed, no tensor is farther from
# the float32 record than 1.25 times the bf16 record is, and anonymous memory stayed within 4 GB.  Needs python3 with torch and
# safetensors (PYTHON names it).
set -eu

if [ $# -lt 4 ]; then
  sed -n '3,14s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
replay=$1 checkpoint=$2 f32=$3 bf16=$4
shift 4
out=$(mktemp -d)
if [ $# -gt 0 ] && [ "$1" != -- ]; then
  rmdir "$out"
  out=$1
  mkdir -p "$out"
  shift
fi
[ $# -gt 0 ] && shift
python=${PYTHON:-python3}

for dtype in f32 bf16; do
  for feed in "" --feed; do
    name=$dtype$feed
    echo "== replay --dtype $dtype $feed"
    "$replay" "$checkpoint" "$f32" "$out/$name.safetensors" --dtype $dtype $feed "$@" 2> "$out/$name.log" || { cat "$out/$name.log"; exit 1; }
    tail -n 2 "$out/$name.log"
  done
done

exec "$python" - "$f32" "$bf16" "$out" <<'PYTHON'
import math
import re
import sys

from safetensors.torch import load_file

LIMIT, MEMORY = 1.25, 4096.0          # of the bf16 record's own error; MiB
ref, low = load_file(sys.argv[1]), load_file(sys.argv[2])


def error(a, b):
    a, b = a.double(), b.double()
    return ((b - a).norm() / a.norm().clamp_min(1e-30)).item()


runs = ["f32", "f32--feed", "bf16", "bf16--feed"]
ours = {r: load_file("%s/%s.safetensors" % (sys.argv[3], r)) for r in runs}
bad = False
print("%-14s %10s" % ("error against", "the bf16") + "".join(" %12s" % r.replace("--", " ") for r in runs))
print("%-14s %10s" % ("the f32 record", "record"))
for k in sorted(ref):
    own = error(ref[k], low[k])
    if k in ("ids", "noise", "sigmas", "timesteps") or k.endswith(".t") or not own:
        continue
    e = [error(ref[k], ours[r][k]) if k in ours[r] else math.nan for r in runs]
    wrong = [not x <= LIMIT * own for x in e]
    bad |= any(wrong)
    print("%-14s %10.2e" % (k, own) + "".join(" %11.2e%s" % (x, "!" if w else " ") for x, w in zip(e, wrong)))
for r in runs:
    with open("%s/%s.log" % (sys.argv[3], r)) as f:
        used = float(re.search(r"anonymous memory ([0-9.]+) MiB", f.read()).group(1))
    bad |= used > MEMORY
    print("%s: anonymous memory %.0f MiB of %.0f" % (r.replace("--", " "), used, MEMORY))
print("failed" if bad else "passed")
sys.exit(bad)
PYTHON
