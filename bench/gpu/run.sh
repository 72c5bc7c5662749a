#!/usr/bin/env bash
# Builds, tests and times the CUDA backend on a machine with a GPU, nvcc, CMake and Python with PyTorch.
#
#   bench/gpu/run.sh [OUT] [options]
#
# OUT (default $OUT, else artifacts/bench-gpu) gets NAME.json, NAME-losses.png, NAME-gather.png, NAME-step.png, NAME-tests.log and
# NAME.log, where NAME says the device, its driver and the toolkit.
# --quick           smaller sizes
# --prebuilt DIR    lib/libtwintail.so and bin/twintail_tests from there, for machines without OpenBLAS's headers and GoogleTest;
#                   by default artifacts/build/release where those are missing. Its lib/libtwintail_cuda.so stands in where the build here
#                   fails
# --plugin FILE     a libtwintail_cuda.so built elsewhere (needs a --prebuilt of the same sources; neither nvcc nor CMake)
# --skip A,B        leave out: tests, sanitizer, managed, losses, hopper, gather, step, epochs
# --cli PATH        the program `twintail` of a self-contained publish, or an archive with it (.tar.xz, .tar.gz, .tar.zst): the epoch on
#                   goodbooks, what C# costs
# --goodbooks DIR   split.csv.gz and items.csv.gz; by default shared/data/goodbooks in or beside the repository
# --managed PATH    a self-contained publish of src/Sdk.Tests or an archive with it, run on this machine. It has the program `twintail`, too:
#                   one archive does for both options
# Takes at most nine minutes (budget.sh): the layouts of fragments first, then times, then what is slow. Every part has its share of what
# is left, and what a part did not get done is told. A part that fails stops no other.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/bench/gpu/budget.sh"
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
    -*) sed -n '3,/^set /{/^#/p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
die() { echo "bench/gpu/run.sh: error: $*" >&2; exit 1; }
skipped() { [[ ,$skip, == *,$1,* ]]; }
for name in ${skip//,/ }; do
  [[ " tests sanitizer managed losses hopper gather step epochs " == *" $name "* ]] || die "--skip: no group is called '$name'"
done
for name in prebuilt plugin cli goodbooks managed; do
  [[ -z ${!name} ]] && continue
  [[ -e ${!name} ]] || die "--$name: there is no ${!name}"
  declare "$name=$(realpath "${!name}")"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# published FILE PROGRAM...: where one of the programs is in the file or folder; an archive is unpacked, once.
published() {
  local file=$1 folder=$1 program found
  shift
  case $file in
    *.tar.xz | *.tar.gz | *.tar.zst | *.txz | *.tgz)
      folder=$work/$(cksum <<< "$file" | tr ' ' -)
      [[ -d $folder ]] || { mkdir "$folder" && within 60 tar -C "$folder" -xf "$file" >&2; } || die "cannot unpack $file"
      ;;
    *) [[ -d $file ]] || { echo "$file"; return; } ;;
  esac
  for program; do
    found=$(find "$folder" -maxdepth 3 -type f -name "$program" -perm -u+x -print -quit)
    [[ -z $found ]] || { echo "$found"; return; }
  done
  die "there is no program $1 in $file"
}
[[ -z $cli ]] || cli=$(published "$cli" twintail Twintail.Cli)
[[ -z $managed ]] || managed=$(published "$managed" Twintail.Tests)
out=$(realpath -m "$out")
for folder in "$root/shared/data/goodbooks" "$root/../shared/data/goodbooks"; do
  [[ -n $goodbooks || ! -d $folder ]] || goodbooks=$folder
done

export PATH=$PATH:/usr/local/cuda/bin
tools=(nvidia-smi python3)
[[ -n $plugin ]] || tools+=(nvcc cmake)
for tool in "${tools[@]}"; do
  command -v "$tool" > /dev/null || die "no $tool on this machine: it needs a GPU with its driver, nvcc, CMake and Python with PyTorch"
done
query() { within 25 nvidia-smi --query-gpu="$1" --format=csv,noheader | head -n 1; }
device=$(query name) && driver=$(query driver_version) && capability=$(query compute_cap | tr -d .) || die "nvidia-smi sees no GPU"
toolkit=$(nvcc --version 2> /dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p') || true
name=$(tr -cs 'A-Za-z0-9.\n' - <<< "${device#NVIDIA }" | sed 's/-*$//')-driver-$driver-cuda-${toolkit:-plugin}
mkdir -p "$out"
exec > >(tee "$out/$name.log") 2>&1
echo "$device, driver $driver, compute capability $capability, CUDA ${toolkit:-of the plugin}, $(nproc) cores"
within 90 python3 -c 'import sys, torch; print("PyTorch", torch.__version__, "for CUDA", torch.version.cuda); sys.exit(not torch.cuda.is_available())' ||
  die "PyTorch is missing or sees no GPU"
compgen -G "$root/native/cuda/*.cu" > /dev/null || die "native/cuda has no kernels"
failed=()

# ---- build. A compiler that nobody has tried yet warns of other things: warnings are no errors here.
build=$root/artifacts/build/gpu
generator=()
command -v ninja > /dev/null && generator=(-G Ninja)
if [[ -z $prebuilt && -n $plugin ]] || { [[ -z $prebuilt ]] && ! echo '#include <cblas.h>
#include <gtest/gtest.h>' | c++ -x c++ -std=c++17 -fsyntax-only - 2> /dev/null; }; then
  prebuilt=$root/artifacts/build/release
fi
core=${prebuilt:-$build}
if [[ -n $prebuilt ]]; then
  [[ -f $prebuilt/lib/libtwintail.so && -x $prebuilt/bin/twintail_tests ]] ||
    die "no cblas.h or gtest/gtest.h here, and no lib/libtwintail.so and bin/twintail_tests in $prebuilt"
fi
# build_for ARCHITECTURES SECONDS
build_for() {
  local stop=$((SECONDS + $2)) source=$root/native/cuda options=(-DTWINTAIL_TESTS=OFF)
  [[ -n $prebuilt ]] || { source=$root; options=(-DTWINTAIL_SIMT=OFF -DTWINTAIL_BENCH=OFF); }
  within "$2" cmake -S "$source" -B "$build" "${generator[@]}" "${options[@]}" -DTWINTAIL_WERROR=OFF "-DTWINTAIL_CUDA_ARCHITECTURES=$1" &&
    within $((stop - SECONDS)) cmake --build "$build" --parallel "$(nproc)"
}
if [[ -z $plugin ]]; then
  rm -f "$build/lib/libtwintail_cuda.so"
  architectures=$capability
  [[ $capability == 90 ]] && architectures="90;90a"
  kept=$((least_tests + least_losses + plot_time))
  began=$SECONDS
  if ! build_for "$architectures" "$(cap 240 "$kept")"; then
    failed+=("build for $architectures")
    # One architecture less is not built in less time than the compiler needed to fail.
    if [[ $architectures != *a ]]; then
      :
    elif (($(cap 240 "$kept") > SECONDS - began)); then
      build_for "$capability" "$(cap 240 "$kept")" || failed+=("build for $capability")
    else
      echo "---- no time is left to build for $capability alone"
    fi
  fi
  plugin=$build/lib/libtwintail_cuda.so
  if [[ ! -f $plugin && -f $core/lib/libtwintail_cuda.so ]]; then
    echo "---- the build made no libtwintail_cuda.so: the one in $core/lib runs instead"
    plugin=$core/lib/libtwintail_cuda.so
  fi
fi
[[ -f $plugin ]] || die "the build made no libtwintail_cuda.so"
# Whether this compiler lets the wgmma kernels overlap exponentials with products.
waits=$(within 20 bash "$root/native/cuda/report-waits.sh" "$plugin" 2>&1 | grep '^report-waits' | tail -1) || true
echo "---- ${waits:=report-waits: unknown}"
export TWINTAIL_CUDA_PLUGIN=$plugin
library=$core/lib/libtwintail.so
export TWINTAIL_LIBRARY=$library # for the C# programs, which come with a core of their own
# cuBLASLt may lie in the toolkit or, on a machine for Python, in PyTorch's packages only. Those come first: PyTorch must not be handed another
# release's libraries.
libraries=$core/lib
for file in $(within 60 python3 -c 'import glob, os, torch; print(*glob.glob(os.path.join(os.path.dirname(torch.__file__), "..", "nvidia", "*", "lib", "libcublasLt.so.*")))'); do
  libraries+=:$(dirname "$file")
done
export LD_LIBRARY_PATH=$libraries:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
echo "---- built in $SECONDS s"

tests=$core/bin/twintail_tests
# check NAME SECONDS FILTER [KERNELS]: each test that hangs or fails is named and costs no other. Late, all checks get the same part of
# their time, and where that is too little for any, the first ones get it.
checks=200
check() {
  local room limit
  room=$(cap "$end" $((least_losses + plot_time)))
  limit=$((room * $2 / checks < $2 + 15 ? room * $2 / checks : $2 + 15))
  checks=$((checks - $2))
  ((limit >= 30)) || limit=$((room >= 30 ? 30 : 0))
  run "$1" "$limit" env ${4:+TWINTAIL_CUDA_KERNELS=$4} python3 "$root/bench/gpu/check.py" --name "$1" --seconds $((limit - 15)) --each 30 \
    --log "$out/$name-tests.log" --table "$work/checks" "$tests" "$3"
}
losses='*SampledSoftmax*Cuda*:*Contrastive*Cuda*'
test_kernels() {
  rm -f "$out/$name-tests.log"
  [[ $capability == 90 ]] || checks=160
  check "losses, mma.sync kernels" 40 "$losses" tuned
  if [[ $capability == 90 ]]; then
    local before=${#failed[@]}
    check "losses, wgmma kernels" 40 "$losses" hopper
    ((${#failed[@]} == before)) || echo "the wgmma kernels are wrong or hang: they are timed only if the check before their times passes"
  fi
  check "losses, plain kernels" 40 "$losses" plain
  check "other ops" 80 "*Cuda*:-$losses"
}
# sanitize KEPT
sanitize() {
  if ! command -v compute-sanitizer > /dev/null; then
    echo "no compute-sanitizer here: memcheck and racecheck are left out"
    return
  fi
  # The tools slow kernels down a hundredfold, so each gets as many sixty-fourths of the tests as its time allows: every 64th test, of all ops.
  # Errors of calls are the tests' own: some run out of memory on purpose. cuBLASLt's many kernels take long to load and are not ours.
  local subset=${TWINTAIL_SANITIZER_FILTER:-*Cuda*} tool part stop code
  local -A times=([memcheck]=2 [racecheck]=1) # as many tools share what is left
  for tool in memcheck racecheck; do
    stop=$((SECONDS + $(cap $((35 * times[$tool])) "$1") / times[$tool]))
    for ((part = 0; part < 64 && SECONDS + 8 < stop; part++)); do
      code=0
      GTEST_TOTAL_SHARDS=64 GTEST_SHARD_INDEX=$part TWINTAIL_CUBLASLT=off within $((stop - SECONDS)) compute-sanitizer --tool "$tool" \
        --report-api-errors no --error-exitcode 99 "$tests" --gtest_filter="$subset" --gtest_brief=1 || code=$?
      ((code != 124 && code != 137)) || break # out of time, which says nothing of the tests
      ((code == 0)) || failed+=("$tool: part $part, exit code $code")
    done
    echo "---- $tool: $part of 64 parts of the tests, after $SECONDS s"
    ((part > 0)) || failed+=("$tool: it has checked nothing")
  done
}
test_managed() {
  # An NUnit program on Microsoft.Testing.Platform.
  run "managed tests" "$(cap 60 0)" "$managed" --progress off --no-ansi --filter "${TWINTAIL_MANAGED_FILTER:-FullyQualifiedName~Cuda}"
}
if skipped tests; then echo "op tests are left out"; else test_kernels; fi

# ---- times: a process and a share of the time for each group, so that one that fails costs no other its results
cd "$root/bench/gpu"
rm -f "$out/$name.json"
about=$(python3 -c 'import json, sys; print(json.dumps(dict(zip(("driver", "toolkit", "commit", "waits"), sys.argv[1:]))))' "$driver" "$toolkit" \
  "$(git -C "$root" describe --always --dirty 2> /dev/null || true)" "$waits")
later=0
skipped sanitizer || ! command -v compute-sanitizer > /dev/null || later=70
[[ -z $managed ]] || skipped managed || later=$((later + 60))
half=$(($(cap "$end" "$plot_time") / 2))
((later <= half)) || later=$half
later=$(cap "$later" $((least_losses + plot_time)))
declare -A weight=([losses]=4 [hopper]=2 [gather]=2 [step]=3 [epochs]=3)
groups=()
sum=0
for group in losses hopper gather step epochs; do
  [[ $group != hopper || $capability == 90 ]] || continue
  skipped "$group" || { groups+=("$group"); sum=$((sum + weight[$group])); }
done
for group in "${groups[@]}"; do
  left=$(cap "$end" $((later + plot_time)))
  share=$((left * weight[$group] / sum))
  [[ $group != losses ]] || ((share >= least_losses)) || share=$((left < least_losses ? left : least_losses))
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
  before=${#failed[@]}
  run "$group" "$share" python3 bench.py --group "$group" --library "$library" --plugin "$plugin" --out "$out" --name "$name" \
    --about "$about" --checks "$work/checks" --seconds "$((share * 6 / 10))" "${quick[@]}" "${more[@]}"
  ((${#failed[@]} == before)) || [[ ! -f $out/$name.json ]] ||
    python3 -c 'import json, sys; print("     ", json.load(open(sys.argv[1]))["groups"].get(sys.argv[2]))' "$out/$name.json" "$group"
done
[[ ! -f $out/$name.json ]] || run plot "$(cap "$plot_time" 0)" python3 plot.py "$out/$name.json"

# ---- what is slow
kept=0
[[ -z $managed ]] || skipped managed || kept=$(($(cap 130 0) * 60 / 130))
if skipped sanitizer; then echo "compute-sanitizer is left out"; else sanitize "$kept"; fi
if [[ -z $managed ]] || skipped managed; then echo "managed tests are left out"; else test_managed; fi

((${#failed[@]} == 0)) || die "failed: $(IFS=";"; echo "${failed[*]}")"
