# Sourced by report-*.sh: where the tools of the toolkit of `nvcc` are ($CUDACXX, the private prefix, PATH).

find_tool() {
    local nvcc=${CUDACXX:-} candidate here
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    for candidate in "${nvcc:+$(dirname "$nvcc")/$1}" "$here/../../artifacts/toolkit/cuda-12.4/bin/$1" \
        "$(type -P "$1")" "/usr/local/cuda/bin/$1"; do
        if [[ -n $candidate && -x $candidate ]]; then
            echo "$candidate"
            return
        fi
    done
    echo "$(basename "$0" .sh): error: no $1 (install-toolkit.sh brings it)" >&2
    exit 2
}
