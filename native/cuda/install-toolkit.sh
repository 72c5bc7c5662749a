#!/bin/bash
# Installs a compiler-only CUDA 12.4 toolkit (nvcc, headers, CUB, static runtime; no driver) into a private prefix.
#
#   install-toolkit.sh [PREFIX]          default: <repository>/artifacts/toolkit/cuda-12.4 (git-ignored)
#
# The packages come from the non-free component of Debian trixie, found through this machine's own Debian source (or
# TWINTAIL_DEBIAN_MIRROR) with a private apt state: apt's sources, lists and dpkg's database stay untouched, no package
# script runs, root is not needed. 1.0 GB is downloaded, about 210 MB stay. A finished prefix is left as it is.
# The toolkit is under NVIDIA's licence (PREFIX/licenses): it is installed, never committed.
# Exit codes: 0 ready, 1 failed, 2 this machine cannot do it (the message says what is missing).
set -euo pipefail

readonly VERSION=12.4 SUITE=trixie NEED_MB=2600 HOST_CXX=g++-12
readonly PACKAGES=(nvidia-cuda-toolkit nvidia-cuda-dev libcudart12 libnvtoolsext1 libcu++-dev libcub-dev libthrust-dev)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
work=

say() { echo "install-toolkit: $*"; }
die() { local code=$1; shift; echo "install-toolkit: error: $*" >&2; exit "$code"; }
cleanup() { [[ -z $work ]] || rm -rf "$work"; }
trap cleanup EXIT

is_ready() {                     # the stamp is written last, so a killed installation is never taken for a finished one
    [[ -f $1/.complete && $(< "$1/.complete") == "$VERSION" && -x $1/bin/nvcc ]] &&
        "$1/bin/nvcc" --version 2> /dev/null | grep -q "release $VERSION"
}

check_machine() {
    [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] || die 2 "needs Linux on x86-64, this is $(uname -s) on $(uname -m)"
    local tool missing=()
    for tool in apt-get apt-config dpkg-deb tar xz awk flock; do
        command -v "$tool" > /dev/null || missing+=("$tool")
    done
    ((${#missing[@]} == 0)) ||
        die 2 "missing: ${missing[*]}. On a system without apt install CUDA $VERSION or later from NVIDIA and set CUDACXX to its nvcc"
    command -v "$HOST_CXX" > /dev/null ||
        die 2 "missing: $HOST_CXX, the host compiler that CUDA $VERSION accepts (apt-get install $HOST_CXX)"
    local free_mb
    free_mb=$(df -Pm "$(dirname "$prefix")" | awk 'NR == 2 { print $4 }')
    ((free_mb >= NEED_MB)) || die 2 "needs $NEED_MB MB free beside $prefix, found $free_mb MB"
}

# Writes the one source that the private apt uses: this machine's Debian mirror and key, with another suite and component.
write_source() {
    local out=$1 uri=${TWINTAIL_DEBIAN_MIRROR:-} key=/usr/share/keyrings/debian-archive-keyring.gpg files=()
    shopt -s nullglob
    files=(/etc/apt/sources.list.d/*.sources)
    if [[ -z $uri && ${#files[@]} -gt 0 ]]; then
        uri=$(awk 'BEGIN { RS = ""; FS = "\n" }
                   /(^|\n)Enabled:[ ]*no/ { next }
                   { u = s = ""
                     for (i = 1; i <= NF; i++) { if ($i ~ /^URIs:/) u = $i; if ($i ~ /^Suites:/) s = $i }
                     sub(/^URIs:[ ]*/, "", u); split(u, one, " ")
                     if (one[1] ~ /\/debian\/?$/ && s !~ /security/) { print one[1]; exit } }' "${files[@]}")
    fi
    files=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list)
    if [[ -z $uri ]]; then
        uri=$(cat "${files[@]}" 2> /dev/null | sed -E 's/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?/deb /' |
              awk '$1 == "deb" && $2 ~ /\/debian\/?$/ { print $2; exit }')
    fi
    [[ -n $uri ]] || die 2 "no Debian mirror in /etc/apt: set TWINTAIL_DEBIAN_MIRROR to one (http://.../debian)"
    [[ -f $key ]] || die 2 "missing: $key (apt-get install debian-archive-keyring)"
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main non-free\nArchitectures: amd64\nSigned-By: %s\n' \
           "$uri" "$SUITE" "$key" > "$out"
}

download() {
    mkdir -p "$work"/{parts,state/lists/partial,cache/archives/partial,debs}
    write_source "$work/parts/cuda.sources"
    local options=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts"
                   -o Dir::State="$work/state" -o Dir::State::Lists="$work/state/lists" -o Dir::State::status=/dev/null
                   -o Dir::Cache="$work/cache" -o Dir::Cache::archives="$work/cache/archives"
                   -o APT::Architecture=amd64 -o APT::Sandbox::User="$(id -un)"
                   -o Acquire::Languages=none -o Acquire::Retries=3)
    local index  # what apt-file, appstream and others have added to apt's own lists
    for index in $(apt-config dump | awk -F:: '/^Acquire::IndexTargets::deb::/ { sub(/ .*/, "", $4); print $4 }' | sort -u); do
        [[ $index == Packages ]] || options+=(-o "Acquire::IndexTargets::deb::$index::DefaultEnabled=false")
    done
    say "reading the package lists of $SUITE"
    apt-get "${options[@]}" -qq update || die 1 "apt-get update failed (is there a network?)"
    local found
    found=$(apt-cache "${options[@]}" show nvidia-cuda-toolkit 2> /dev/null | awk '$1 == "Version:" { print $2; exit }')
    [[ $found == "$VERSION".* ]] || die 1 "the mirror has nvidia-cuda-toolkit '${found:-none}', expected $VERSION.*"
    say "downloading ${#PACKAGES[@]} packages, 1.0 GB"
    (cd "$work/debs" && apt-get "${options[@]}" -q=2 download "${PACKAGES[@]}") || die 1 "download failed"
}

unpack() {                       # unpack PACKAGE [tar arguments]; the archive goes as soon as it is read
    local deb
    deb=$(echo "$work/debs/$1"_*.deb)
    shift
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tree" "$@"
    rm "$deb"
}

# Debian spreads the toolkit over /usr; this puts it into the layout that nvcc, CMake and clang --cuda-path expect.
lay_out() {
    local tree=$work/tree/usr out=$1 lib=./usr/lib/x86_64-linux-gnu name
    mkdir -p "$work/tree"
    unpack nvidia-cuda-toolkit ./usr
    # Of nvidia-cuda-dev's 2.5 GB of libraries only the small ones that a link needs are written.
    unpack nvidia-cuda-dev --wildcards ./usr/include "$lib/libcudart_static.a" "$lib/libcudadevrt.a" "$lib/libculibos.a" \
        "$lib/libcudart.so" "$lib/libnvToolsExt.so" "$lib/stubs/libcuda.so"
    for name in "${PACKAGES[@]:2}"; do unpack "$name" ./usr; done
    mkdir -p "$out"/{bin/crt,nvvm/bin,nvvm/libdevice,include,lib64/stubs,licenses}
    local private=$tree/lib/nvidia-cuda-toolkit
    mv "$private/bin/nvcc" "$tree"/bin/{ptxas,fatbinary,cudafe++,nvlink,bin2c,cuobjdump,nvdisasm,cu++filt,nvprune} "$out/bin/"
    mv "$private"/bin/crt/* "$out/bin/crt/"
    mv "$private/bin/cicc" "$out/nvvm/bin/"
    mv "$private"/libdevice/*.bc "$out/nvvm/libdevice/"
    cp -a "$tree/include/." "$out/include/"
    cp -a "$work/tree/$lib"/lib{cudart,cudadevrt,culibos,nvToolsExt}* "$out/lib64/"
    cp -a "$work/tree/$lib/stubs/." "$out/lib64/stubs/"
    cp "$tree/share/doc/nvidia-cuda-toolkit/copyright" "$out/licenses/"
    cat > "$out/bin/nvcc.profile" <<'PROFILE'
TOP              = $(_HERE_)/..
NVVM_BRANCH      = nvvm
LD_LIBRARY_PATH += $(TOP)/lib:
PATH            += $(TOP)/$(NVVM_BRANCH)/bin:$(_HERE_):
INCLUDES        +=  "-I$(TOP)/include" $(_SPACE_)
LIBRARIES        =+ $(_SPACE_) "-L$(TOP)/lib$(_TARGET_SIZE_)/stubs" "-L$(TOP)/lib$(_TARGET_SIZE_)"
CUDAFE_FLAGS    +=
PTXAS_FLAGS     +=
PROFILE
}

# A toolkit counts as good when it compiles and links a kernel for the oldest and the newest target.
self_check() {
    local root=$1 dir=$work/check
    mkdir -p "$dir"
    printf '%s\n' '#include <cub/device/device_radix_sort.cuh>' '#include <cuda_bf16.h>' \
        '__global__ void twice(float* x) { x[threadIdx.x] *= 2.0f; }' \
        'int main() { int n = 0; return cudaGetDeviceCount(&n) == cudaSuccess ? 0 : 0 * n; }' > "$dir/check.cu"
    "$root/bin/nvcc" -ccbin "$HOST_CXX" -std=c++17 -Werror all-warnings -gencode arch=compute_75,code=sm_75 \
        -gencode arch=compute_90a,code=sm_90a -o "$dir/check" "$dir/check.cu" > "$dir/log" 2>&1 && "$dir/check" ||
        { cat "$dir/log" >&2; die 1 "the unpacked toolkit does not compile a kernel (output above)"; }
}

prefix=${1:-$HERE/../../artifacts/toolkit/cuda-$VERSION}
[[ $prefix != -* ]] || die 1 "usage: install-toolkit.sh [PREFIX]"
mkdir -p "$(dirname "$prefix")" || die 1 "cannot create $(dirname "$prefix")"
prefix=$(cd "$(dirname "$prefix")" && pwd)/$(basename "$prefix")
if is_ready "$prefix"; then
    say "CUDA $VERSION is ready in $prefix"
    exit 0
fi
check_machine
exec 9> "$prefix.lock"
flock 9                          # two builds at once: the second waits, then finds the first one's result
if is_ready "$prefix"; then
    say "CUDA $VERSION is ready in $prefix"
    exit 0
fi
work=$(mktemp -d "$prefix.work.XXXXXX")
download
say "unpacking"
lay_out "$work/out"
self_check "$work/out"
echo "$VERSION" > "$work/out/.complete"
rm -rf "$prefix"
mv "$work/out" "$prefix"
say "CUDA $VERSION is ready in $prefix ($(du -sm "$prefix" | cut -f1) MB)"
