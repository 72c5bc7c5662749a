#!/usr/bin/env bash
# Builds, tests and times the CUDA backend on a machine with a GPU, nvcc, CMake and Python with PyTorch.
#
#   bench/gpu/run.sh [OUT] [options]
#
# OUT (default $OUT, else artifacts/bench-gpu): gpu.json, gpu.png, gather.png, step.png, log.txt.
# --quick           smaller sizes
# --prebuilt DIR    lib/libtwintail.so and bin/twintail_tests from there, for machines without OpenBLAS's headers and GoogleTest;
#                   by default artifacts/build/release where those are missing
# --plugin FILE     a libtwintail_cuda.so built elsewhere (needs a --prebuilt of the same sources; neither nvcc nor CMake)
# --skip A,B        leave out: tests, sanitizer, managed, losses, gather, step, epochs
# --cli PATH        the program `twintail` of a self-contained publish: the epoch on goodbooks, what C# costs
# --goodbooks DIR   split.csv.gz and items.csv.gz; by default shared/data/goodbooks in or beside the repository
# --managed DIR     a self-contained publish of src/Sdk.Tests, run on this machine
# Takes at most nine minutes: every group has its share of what is left, and what a group did not get done is told.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${OUT:-$root/artifacts/bench-gpu}
quick=() prebuilt= plugin= skip= cli= goodbooks= managed=
while (($# > 0)); do
  case $1 in
    --quick) quick=(--quick) ;;
    --prebuilt | --plugin | --skip | --cli | --goodbooks | --managed)
      [[ -n ${2:-} ]] || { echo "run.sh: error: $1 needs a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift
      ;;
    -*) sed -n '3,15p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
die() { echo "bench/gpu/run.sh: error: $*" >&2; exit 1; }
skipped() { [[ ,$skip, == *,$1,* ]]; }
for name in ${skip//,/ }; do
  [[ " tests sanitizer managed losses gather step epochs " == *" $name "* ]] || die "--skip: no group is called '$name'"
done
for name in prebuilt plugin cli goodbooks managed; do
  [[ -z ${!name} ]] && continue
  [[ -e ${!name} ]] || die "--$name: there is no ${!name}"
  declare "$name=$(realpath "${!name}")"
done
out=$(realpath -m "$out")
for folder in "$root/shared/data/goodbooks" "$root/../shared/data/goodbooks"; do
  [[ -n $goodbooks || ! -d $folder ]] || goodbooks=$folder
done

mkdir -p "$out"
exec > >(tee "$out/log.txt") 2>&1
export PATH=$PATH:/usr/local/cuda/bin
tools=(nvidia-smi python3)
[[ -n $plugin ]] || tools+=(nvcc cmake)
for tool in "${tools[@]}"; do
  command -v "$tool" > /dev/null || die "no $tool on this machine: it needs a GPU with its driver, nvcc, CMake and Python with PyTorch"
done
nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader || die "nvidia-smi sees no GPU"
python3 -c 'import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)' || die "PyTorch is missing or sees no GPU"
[[ -n $plugin ]] || nvcc --version | tail -n 2
compgen -G "$root/native/cuda/*.cu" > /dev/null || compgen -G "$root/native/cuda/*/*.cu" > /dev/null || die "native/cuda has no kernels"

capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
architectures=$capability
[[ $capability == 90 ]] && architectures="90;90a"

# ---- build
build=$root/artifacts/build/gpu
jobs=$(nproc)
generator=()
command -v ninja > /dev/null && generator=(-G Ninja)
if [[ -z $prebuilt && -n $plugin ]] || { [[ -z $prebuilt ]] && ! echo '#include <cblas.h>
#include <gtest/gtest.h>' | c++ -x c++ -std=c++17 -fsyntax-only - 2> /dev/null; }; then
  prebuilt=$root/artifacts/build/release
fi
if [[ -n $prebuilt ]]; then
  [[ -f $prebuilt/lib/libtwintail.so && -x $prebuilt/bin/twintail_tests ]] ||
    die "no cblas.h or gtest/gtest.h here, and no lib/libtwintail.so and bin/twintail_tests in $prebuilt"
  [[ -n $plugin ]] || cmake -S "$root/native/cuda" -B "$build" "${generator[@]}" -DTWINTAIL_TESTS=OFF "-DTWINTAIL_CUDA_ARCHITECTURES=$architectures"
  core=$prebuilt
else
  cmake -S "$root" -B "$build" "${generator[@]}" -DTWINTAIL_SIMT=OFF -DTWINTAIL_BENCH=OFF "-DTWINTAIL_CUDA_ARCHITECTURES=$architectures"
  core=$build
fi
[[ -n $plugin ]] || cmake --build "$build" --parallel "$jobs"
library=$core/lib/libtwintail.so
export TWINTAIL_CUDA_PLUGIN=$build/lib/libtwintail_cuda.so
[[ -z $plugin ]] || TWINTAIL_CUDA_PLUGIN=$plugin
export TWINTAIL_LIBRARY=$library # for the C# programs, which come with a core of their own
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
hopper=()
test_kernels() {
  # GoogleTest succeeds when a filter leaves nothing over.
  "$tests" --gtest_list_tests --gtest_filter='*Cuda*' | grep -q . || die "no op test runs on the device (see TWINTAIL_CUDA_PLUGIN above)"
  run "op tests" 120 "$tests" --gtest_filter='*Cuda*' --gtest_brief=1
  local losses='*SampledSoftmax*Cuda*:*Contrastive*Cuda*'
  run "losses, plain kernels" 60 env TWINTAIL_CUDA_KERNELS=plain "$tests" --gtest_filter="$losses" --gtest_brief=1
  if [[ $capability == 90 ]]; then
    local before=${#failed[@]}
    run "losses, wgmma kernels" 60 env TWINTAIL_CUDA_KERNELS=hopper "$tests" --gtest_filter="$losses" --gtest_brief=1
    # A kernel that fails takes its process's GPU context with it: only what passed is timed.
    ((${#failed[@]} > before)) || hopper=(--hopper)
  fi
}
sanitize() {
  if ! command -v compute-sanitizer > /dev/null; then
    echo "no compute-sanitizer here: memcheck and racecheck are left out"
    return
  fi
  # A few tests of every op: the tools slow kernels down a hundredfold.
  local subset=${TWINTAIL_SANITIZER_FILTER:-*SampledSoftmax*Cuda*:*Contrastive*Cuda*:*Gather*Cuda*:*Update*Cuda*} tool
  for tool in memcheck racecheck; do
    run "$tool" 45 compute-sanitizer --tool "$tool" --error-exitcode 99 "$tests" --gtest_filter="$subset" --gtest_brief=1
  done
}
test_managed() {
  # An NUnit program on Microsoft.Testing.Platform.
  local program=$managed/Twintail.Tests
  [[ -x $program ]] || die "--managed: there is no program Twintail.Tests in $managed"
  run "managed tests" 90 "$program" --progress off --no-ansi --filter "${TWINTAIL_MANAGED_FILTER:-FullyQualifiedName~Cuda}"
}
if skipped tests; then echo "op tests are left out"; else test_kernels; fi
if skipped sanitizer; then echo "compute-sanitizer is left out"; else sanitize; fi
if [[ -z $managed ]] || skipped managed; then echo "managed tests are left out"; else test_managed; fi

# ---- times: a process and a share of the time for each group, so that one that fails costs no other its results
cd "$root/bench/gpu"
end=525
rm -f "$out/gpu.json"
declare -A weight=([losses]=3 [gather]=2 [step]=3 [epochs]=3)
groups=()
sum=0
for group in losses gather step epochs; do
  skipped "$group" || { groups+=("$group"); sum=$((sum + weight[$group])); }
done
for group in "${groups[@]}"; do
  left=$((end - SECONDS))
  share=$((left * weight[$group] / sum))
  sum=$((sum - weight[$group]))
  if ((share < 15)); then
    echo "---- $group: no time is left"
    failed+=("$group (no time)")
    continue
  fi
  more=()
  if [[ $group == epochs ]]; then
    [[ -z $cli ]] || more+=(--cli "$cli")
    [[ -z $goodbooks ]] || more+=(--goodbooks "$goodbooks")
  fi
  # No new case begins after the first 60 % of a share.
  run "$group" "$share" python3 bench.py --group "$group" --library "$library" --plugin "$TWINTAIL_CUDA_PLUGIN" --out "$out" \
    --seconds "$((share * 6 / 10))" "${quick[@]}" "${hopper[@]}" "${more[@]}"
done
[[ ! -f $out/gpu.json ]] || run plot 20 python3 plot.py "$out/gpu.json"

((${#failed[@]} == 0)) || die "failed: ${failed[*]}"
