#!/bin/bash
# Prints registers, stack, shared memory and local memory of every kernel in a library or object.
#
#   report-resources.sh LIBRARY [HOT [LEAST]]
#
# HOT: an extended regular expression. A kernel whose name matches it and that keeps anything in local
# memory or on the stack (spilled registers, arrays indexed at run time) makes the exit code 1. Without HOT
# nothing fails.
# LEAST: NAME=REGISTERS. A kernel whose name contains NAME, of an architecture with a letter (sm_90a), and fewer registers makes the exit code 1, too: one that
# hands registers from one warpgroup to another (setmaxnreg) waits for ever where the block began with too few.
# cuobjdump and cu++filt are found by tool-paths.sh.
set -euo pipefail

(($# >= 1 && $# <= 3)) || { echo "usage: report-resources.sh LIBRARY [HOT [LEAST]]" >&2; exit 2; }
library=$1
hot=${2:-}
least=${3:-}
[[ -z $least || $least =~ ^[^=]+=[0-9]+$ ]] || { echo "report-resources: error: LEAST is NAME=REGISTERS, not $least" >&2; exit 2; }
[[ -r $library ]] || { echo "report-resources: error: cannot read $library" >&2; exit 2; }

source "$(dirname "${BASH_SOURCE[0]}")/tool-paths.sh"
cuobjdump=$(find_tool cuobjdump)
filter=$(find_tool cu++filt)

# cuobjdump prints "arch = sm_80" before the functions of a cubin, and for each
#   Function NAME:
#    REG:40 STACK:0 SHARED:512 LOCAL:0 CONSTANT[0]:384 ...
# It fails when there is no device code at all.
dump=$("$cuobjdump" --dump-resource-usage "$library" 2>&1) ||
    [[ $dump == *"does not contain device code"* ]] ||
    { echo "report-resources: error: cuobjdump: $dump" >&2; exit 2; }
"$filter" <<< "$dump" | awk -v hot="$hot" -v least="$least" '
    BEGIN { split(least, few, "=") }
    /^arch = /    { arch = $3 }
    / Function /  { functions++; name = $0; sub(/^.* Function /, "", name); sub(/:[ ]*$/, "", name) }
    /REG:/ {
        reg = stack = shared = local = 0
        for (i = 1; i <= NF; i++) {
            split($i, field, ":")
            if (field[1] == "REG") reg = field[2]
            if (field[1] == "STACK") stack = field[2]
            if (field[1] == "SHARED") shared = field[2]
            if (field[1] == "LOCAL") local = field[2]
        }
        if (!header++) printf "%-8s %5s %7s %8s %7s  %s\n", "arch", "regs", "stack", "shared", "local", "kernel"
        bad = hot != "" && name ~ hot && (stack > 0 || local > 0)
        short = least != "" && arch ~ /a$/ && index(name, few[1]) > 0 && reg < few[2] + 0
        printf "%-8s %5d %7d %8d %7d  %s%s%s\n", arch, reg, stack, shared, local, name, bad ? "  <-- spills" : "", short ? "  <-- too few registers" : ""
        kernels++
        spills += bad
        shorts += short
    }
    END {
        if (functions != kernels) { print "report-resources: error: output of cuobjdump not understood" > "/dev/stderr"; exit 2 }
        if (!kernels) print "report-resources: no kernels"
        if (spills) print "report-resources: " spills " hot kernels spill" > "/dev/stderr"
        if (shorts) print "report-resources: " shorts " kernels begin with fewer registers than " least > "/dev/stderr"
        if (spills || shorts) exit 1
    }'
