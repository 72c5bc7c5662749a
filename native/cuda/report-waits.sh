#!/bin/bash
# Counts the waits for products in the wgmma kernels of a library or object, as they were assembled.
#
#   report-waits.sh LIBRARY
#
# hopper.cu waits twice for all products (before their results are used, and behind the loop) and, where exponentials overlap
# with products, once for all but the last group. Some versions of ptxas do not trust the latter and put a wait for all
# products in front of the exponentials (its message C7517; 12.5.40 does so, 12.4.131 does not), which then overlap with nothing of
# their own warps'. A kernel with more than two waits for all products makes the exit code 1; a library without sm_90a is fine.
set -euo pipefail

(($# == 1)) || { echo "usage: report-waits.sh LIBRARY" >&2; exit 2; }
[[ -r $1 ]] || { echo "report-waits: error: cannot read $1" >&2; exit 2; }
source "$(dirname "${BASH_SOURCE[0]}")/tool-paths.sh"
cuobjdump=$(find_tool cuobjdump)
filter=$(find_tool cu++filt)

# Only the device code of sm_90a: taking a whole library apart takes a minute.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
library=$(realpath "$1")
# It fails where there is no device code at all.
listed=$("$cuobjdump" --list-elf "$library" 2>&1) ||
    [[ $listed == *"does not contain device code"* ]] || { echo "report-waits: error: cuobjdump: $listed" >&2; exit 2; }
[[ $listed == *sm_90a* ]] || { echo "report-waits: no device code for sm_90a"; exit 0; }
(cd "$work" && "$cuobjdump" --extract-elf sm_90a "$library" > /dev/null) ||
    { echo "report-waits: error: cuobjdump cannot extract sm_90a from $library" >&2; exit 2; }
shopt -s nullglob
elves=("$work"/*.cubin)
((${#elves[@]} > 0)) || { echo "report-waits: error: cuobjdump has extracted nothing" >&2; exit 2; }

# Lines "Function : NAME" and "WARPGROUP.DEPBAR.LE gsb0, 0xN", N the groups that may go on.
for elf in "${elves[@]}"; do "$cuobjdump" --dump-sass "$elf"; done | grep -E 'Function : |WARPGROUP\.DEPBAR' | "$filter" | awk '
    function tell() {
        if (all + some == 0) return
        bad = all > 2
        printf "waits for all products: %d, for all but the last: %d  %s%s\n", all, some, name, bad ? "  <-- put in by ptxas" : ""
        kernels++
        serialized += bad
    }
    /Function : /      { tell(); all = some = 0; name = $0; sub(/^.*Function : /, "", name) }
    /gsb0, 0x0/        { all++ }
    /gsb0, 0x[1-9a-f]/ { some++ }
    END {
        tell()
        if (!kernels) print "report-waits: no wgmma kernels"
        else if (!serialized) print "report-waits: " kernels " kernels wait as they are written"
        else { print "report-waits: " serialized " of " kernels " kernels wait before their exponentials" > "/dev/stderr"; exit 1 }
    }'
