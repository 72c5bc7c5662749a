#!/usr/bin/env bash
# Builds, tests and times the CUDA backend on a machine with a GPU, nvcc, CMake and Python with PyTorch.
#
#   bench/gpu/run.sh [OUT] [--quick] [--prebuilt DIR]
#
# OUT (default $OUT, else artifacts/bench-gpu): gpu.json, gpu.png, log.txt.
# --prebuilt DIR: lib/libtwintail.so and bin/twintail_tests from there, for machines without OpenBLAS's headers and
#   GoogleTest; by default artifacts/build/release where those are missing. The CUDA backend is always built here.
# Takes at most nine minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${OUT:-$root/artifacts/bench-gpu}
quick=() prebuilt=
while (($# > 0)); do
  case $1 in
    --quick) quick=(--quick) ;;
    --prebuilt) prebuilt=${2:?--prebuilt needs a folder}; shift ;;
    -*) echo "usage: run.sh [OUT] [--quick] [--prebuilt DIR]" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
die() { echo "bench/gpu/run.sh: error: $*" >&2; exit 1; }

mkdir -p "$out"
exec > >(tee "$out/log.txt") 2>&1
export PATH=$PATH:/usr/local/cuda/bin
for tool in nvidia-smi nvcc cmake python3; do
  command -v "$tool" > /dev/null || die "no $tool on this machine: it needs a GPU with its driver, nvcc, CMake and Python with PyTorch"
done
nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader || die "nvidia-smi sees no GPU"
python3 -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)' || die "PyTorch is missing or sees no GPU"
nvcc --version | tail -n 2
compgen -G "$root/native/cuda/*.cu" > /dev/null || compgen -G "$root/native/cuda/*/*.cu" > /dev/null || die "native/cuda has no kernels"

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
architectures=$capability
[[ $capability == 90 ]] && architectures="90;90a"

# ---- build
build=$root/artifacts/build/gpu
jobs=$(nproc)
generator=()
command -v ninja > /dev/null && generator=(-G Ninja)
if [[ -z $prebuilt ]] && ! echo '#include <cblas.h>
#include <gtest/gtest.h>' | c++ -x c++ -std=c++17 -fsyntax-only - 2> /dev/null; then
  prebuilt=$root/artifacts/build/release
fi
if [[ -n $prebuilt ]]; then
  [[ -f $prebuilt/lib/libtwintail.so && -x $prebuilt/bin/twintail_tests ]] ||
    die "no cblas.h or gtest/gtest.h here, and no lib/libtwintail.so and bin/twintail_tests in $prebuilt"
  cmake -S "$root/native/cuda" -B "$build" "${generator[@]}" -DTWINTAIL_TESTS=OFF "-DTWINTAIL_CUDA_ARCHITECTURES=$architectures"
  core=$prebuilt
else
  cmake -S "$root" -B "$build" "${generator[@]}" -DTWINTAIL_SIMT=OFF -DTWINTAIL_BENCH=OFF "-DTWINTAIL_CUDA_ARCHITECTURES=$architectures"
  core=$build
fi
cmake --build "$build" --parallel "$jobs"
library=$core/lib/libtwintail.so
export TWINTAIL_CUDA_PLUGIN=$build/lib/libtwintail_cuda.so
export LD_LIBRARY_PATH=$core/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
[[ -f $TWINTAIL_CUDA_PLUGIN ]] || die "the build made no libtwintail_cuda.so"
echo "---- built in $SECONDS s"

# ---- tests on the device
failed=()
run() {
  local name=$1 limit=$2 code=0
  shift 2
  timeout "$limit" "$@" || code=$?
  echo "---- $name: exit code $code, after $SECONDS s"
  ((code == 0)) || failed+=("$name")
}
tests=$core/bin/twintail_tests
# GoogleTest succeeds when a filter leaves nothing over.
"$tests" --gtest_list_tests --gtest_filter='*Cuda*' | grep -q . || die "no op test runs on the device (see TWINTAIL_CUDA_PLUGIN above)"
run "op tests" 120 "$tests" --gtest_filter='*Cuda*' --gtest_brief=1
losses='*SampledSoftmax*Cuda*:*Contrastive*Cuda*'
run "losses, plain kernels" 60 env TWINTAIL_CUDA_KERNELS=plain "$tests" --gtest_filter="$losses" --gtest_brief=1
hopper=()
if [[ $capability == 90 ]]; then
  before=${#failed[@]}
  run "losses, wgmma kernels" 60 env TWINTAIL_CUDA_KERNELS=hopper "$tests" --gtest_filter="$losses" --gtest_brief=1
  # A kernel that fails takes its process's GPU context with it: only what passed is timed.
  ((${#failed[@]} > before)) || hopper=(--hopper)
fi
if command -v compute-sanitizer > /dev/null; then
  # A few tests of every op: the tools slow kernels down a hundredfold.
  subset=${TWINTAIL_SANITIZER_FILTER:-*SampledSoftmax*Cuda*:*Contrastive*Cuda*:*Gather*Cuda*:*Update*Cuda*}
  for tool in memcheck racecheck; do
    run "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 99 "$tests" --gtest_filter="$subset" --gtest_brief=1
  done
else
  echo "no compute-sanitizer here: memcheck and racecheck are left out"
fi

# ---- times
cd "$root/bench/gpu"
left=$((520 - SECONDS))
((left > 30)) || left=30
run bench "$left" python3 bench.py --library "$library" --plugin "$TWINTAIL_CUDA_PLUGIN" --out "$out" \
  --seconds "$((left * 6 / 10))" "${quick[@]}" "${hopper[@]}"
[[ ! -f $out/gpu.json ]] || run plot 30 python3 plot.py "$out/gpu.json"

((${#failed[@]} == 0)) || die "failed: ${failed[*]}"
