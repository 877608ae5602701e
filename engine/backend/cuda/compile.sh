#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: compile.sh REPORT NVCC ARGUMENTS...: compiles, and keeps what ptxas says of each kernel in REPORT.
report=$1
shift
"$@" 2>"$report" || { cat "$report" >&2; exit 1; }
grep -E 'warning|error' "$report" >&2
exit 0
