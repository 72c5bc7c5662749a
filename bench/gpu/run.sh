#!/usr/bin/env bash
# Builds, tests and times the CUDA backend on a machine with a GPU, nvcc, CMake and Python with PyTorch.
#
#   bench/gpu/run.sh [OUT] [options]
#
# OUT (default $OUT, else artifacts/bench-gpu) gets NAME.json, NAME-losses.png, NAME-gather.png, NAME-step.png, NAME-tests.log and
# NAME.log, where NAME says the device, its driver, the toolkit that built the backend, and the label.
# --quick           smaller sizes
# --prebuilt PATH   a folder or an archive (.tar.xz, .tar.gz, .tar.zst) with lib/libtwintail.so and bin/twintail_tests, for machines without
#                   OpenBLAS's headers and GoogleTest; by default artifacts/build/release where those are missing. Its
#                   lib/libtwintail_cuda.so stands in where the build here fails
# --plugin FILE     a libtwintail_cuda.so built elsewhere (needs a --prebuilt of the same sources; neither nvcc nor CMake)
# --toolkit RELEASE the CUDA release that built --plugin; without it the plugin is asked
# --label LABEL     ends NAME: runs that differ in nothing else keep their files apart. By default "plugin" with --plugin, else none
# --skip A,B        leave out: tests, sanitizer, managed, losses, hopper, gather, step, epochs
# --cli PATH        the program `twintail` of a self-contained publish, or an archive with it (.tar.xz, .tar.gz, .tar.zst): the epoch on
#                   goodbooks, what C# costs
# --goodbooks DIR   split.csv.gz and items.csv.gz; by default shared/data/goodbooks in or beside the repository
# --managed PATH    a self-contained publish of src/Sdk.Tests or an archive with it, run on this machine. It has the program `twintail`, too:
#                   one archive does for both options
# Takes at most nine minutes (budget.sh): the layouts of fragments first, then times, then what is slow. Every part has its share of what
# is left, and what a part did not get done is told. A part that fails stops no other.
# TWINTAIL_COMMIT says which commit this is where git does not know.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/bench/gpu/budget.sh"
out=${OUT:-$root/artifacts/bench-gpu}
quick=() prebuilt= plugin= toolkit= label= skip= cli= goodbooks= managed=
while (($# > 0)); do
  case $1 in
    --quick) quick=(--quick) ;;
    --prebuilt | --plugin | --toolkit | --label | --skip | --cli | --goodbooks | --managed)
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
[[ $label =~ ^[A-Za-z0-9._-]*$ ]] || die "--label: letters, digits and ._- only, not '$label'"
label=${label:-${plugin:+plugin}}
work=$(mktemp -d)
logger= # the process that writes the log
torch=  # the process that tries PyTorch
# The log is whole when its writer has ended, and it ends when nobody can write to it any more; a stray process is not waited for.
finish() {
  [[ -z $torch ]] || kill "$torch" 2> /dev/null || true
  rm -rf "$work"
  [[ -z $logger ]] || { exec > /dev/null 2>&1 && timeout 5 tail -s 0.1 --pid="$logger" -f /dev/null; } || true
}
trap finish EXIT
# unpacked PATH: the folder that an archive was unpacked into, once; any other path as it is.
unpacked() {
  local folder
  case $1 in
    *.tar.xz | *.tar.gz | *.tar.zst | *.txz | *.tgz)
      folder=$work/$(cksum <<< "$1" | tr ' ' -)
      # tar needs a program for each compression, which a small machine may lack; Python has most of them in itself.
      [[ -d $folder ]] || { mkdir "$folder" && { within 60 tar -C "$folder" -xf "$1" >&2 ||
        within 60 python3 "$root/bench/gpu/unpack.py" "$1" "$folder" >&2; }; } || die "cannot unpack $1"
      echo "$folder"
      ;;
    *) echo "$1" ;;
  esac
}
# published PATH PROGRAM...: where one of the programs is in the folder or archive; the program itself as it is.
published() {
  local file=$1 folder program found
  folder=$(unpacked "$1") || return
  [[ -d $folder ]] || { echo "$folder"; return; }
  shift
  for program; do
    found=$(find "$folder" -maxdepth 3 -type f -name "$program" -perm -u+x -print -quit)
    [[ -z $found ]] || { echo "$found"; return; }
  done
  die "there is no program $1 in $file"
}
[[ -z $prebuilt ]] || prebuilt=$(unpacked "$prebuilt")
[[ -z $cli ]] || cli=$(published "$cli" twintail Twintail.Cli)
[[ -z $managed ]] || managed=$(published "$managed" Twintail.Tests)
out=$(realpath -m "$out")
for folder in "$root/shared/data/goodbooks" "$root/../shared/data/goodbooks"; do
  [[ -n $goodbooks || ! -d $folder ]] || goodbooks=$folder
done

export PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer
tools=(nvidia-smi python3)
[[ -n $plugin ]] || tools+=(nvcc cmake)
for tool in "${tools[@]}"; do
  command -v "$tool" > /dev/null || die "no $tool on this machine: it needs a GPU with its driver, nvcc, CMake and Python with PyTorch"
done
gpu=$(within 60 nvidia-smi --query-gpu=name,driver_version,compute_cap --format=csv,noheader | head -n 1 | sed 's/ *, */,/g') &&
  IFS=, read -r device driver capability <<< "$gpu" && [[ -n $capability ]] || die "nvidia-smi sees no GPU"
capability=${capability//./}
# cuBLASLt may lie in the toolkit or, on a machine for Python, in PyTorch's packages only. Those come first: PyTorch must not be handed another
# release's libraries.
packages=$(within 30 python3 -c 'import glob, sys; print(*(f for p in sys.path for f in sorted(glob.glob(p + "/nvidia/*/lib"))), sep=":")') ||
  echo "run.sh: note: Python cannot say where its packages lie: cuBLASLt is looked for in the toolkit alone" >&2
libraries=${packages:+$packages:}/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# backend_of CORE PLUGIN: a line on the backend and its device. toolkit_of LINE: the toolkit that built it.
backend_of() {
  LD_LIBRARY_PATH=$1/lib:$libraries within 45 python3 "$root/bench/gpu/twintail.py" --backend "$1/lib/libtwintail.so" "$2" 2>&1 | tail -n 1
}
toolkit_of() { sed -n 's/.*built for \([0-9.]*[0-9]\).*/\1/p' <<< "$1"; }
if [[ -n $plugin ]]; then
  prebuilt=${prebuilt:-$root/artifacts/build/release}
  toolkit=${toolkit:-$(toolkit_of "$(backend_of "$prebuilt" "$plugin")")}
else
  toolkit=$(nvcc --version 2> /dev/null | sed -n 's/.*release \([0-9.]*\).*/\1/p') || true
fi
name=$(tr -cs 'A-Za-z0-9.\n' - <<< "${device#NVIDIA }" | sed 's/-*$//')-driver-$driver-cuda-${toolkit:-unknown}${label:+-$label}
mkdir -p "$out"
exec > >(tee "$out/$name.log") 2>&1
logger=$!
echo "$device, driver $driver, compute capability $capability, CUDA ${toolkit:-unknown}${label:+ ($label)}, $(nproc) cores"
python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' || die "PyTorch is missing"
# From a disk that nobody has read yet this takes a minute or two, for which the compiler does not wait.
timeout -k 4 150 python3 -c 'import sys, torch; print("PyTorch", torch.__version__, "for CUDA", torch.version.cuda)
sys.exit(not torch.cuda.is_available())' > "$work/torch" 2>&1 &
torch=$!
compgen -G "$root/native/cuda/*.cu" > /dev/null || die "native/cuda has no kernels"
failed=()

# ---- build. A compiler that nobody has tried yet warns of other things: warnings are no errors here.
build=$root/artifacts/build/gpu
generator=()
command -v ninja > /dev/null && generator=(-G Ninja)
if [[ -z $prebuilt ]] && ! echo '#include <cblas.h>
#include <gtest/gtest.h>' | c++ -x c++ -std=c++17 -fsyntax-only - 2> /dev/null; then
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
no_hopper= # why the wgmma kernels are neither tested nor timed, for what ran in their place would go by their name
[[ $capability == 90 ]] || no_hopper="the device is none of capability 9.0"
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
      if build_for "$capability" "$(cap 240 "$kept")"; then
        no_hopper="the build with them failed"
      else
        failed+=("build for $capability")
      fi
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
[[ $waits != *"no device code for sm_90a"* ]] || no_hopper=${no_hopper:-the library has no device code for sm_90a}
if [[ -z $no_hopper ]]; then
  # Their warps hand registers to one another, and wait for ever where this compiler gave a block fewer than they hand out: exit code 1.
  code=0
  told=$(within 60 bash "$root/native/cuda/report-resources.sh" "$plugin" '' hopper_pass=168 2>&1 > /dev/null) || code=$?
  [[ -z $told ]] || echo "---- $told"
  ((code != 1)) || no_hopper="they have too few registers as this compiler made them"
fi
[[ -z $no_hopper ]] || echo "---- the wgmma kernels are left out: $no_hopper"
export TWINTAIL_CUDA_PLUGIN=$plugin
library=$core/lib/libtwintail.so
export TWINTAIL_LIBRARY=$library # for the C# programs, which come with a core of their own
export LD_LIBRARY_PATH=$core/lib:$libraries
backend=$(backend_of "$core" "$plugin") || true
echo "---- backend: ${backend:=unknown}"
built_by=$(toolkit_of "$backend") # other than NAME's where the build failed and a prebuilt backend runs
echo "---- built in $SECONDS s"
code=0
wait "$torch" || code=$?
torch=
cat "$work/torch"
((code == 0)) || die "PyTorch cannot be loaded or sees no GPU: exit code $code, after $SECONDS s"

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
  [[ -z $no_hopper ]] || checks=160
  check "losses, mma.sync kernels" 40 "$losses" tuned
  if [[ -z $no_hopper ]]; then
    local before=${#failed[@]}
    check "losses, wgmma kernels" 40 "$losses" hopper
    ((${#failed[@]} == before)) || echo "the wgmma kernels are wrong or hang: they are timed only if the check before their times passes"
  fi
  check "losses, plain kernels" 40 "$losses" plain
  check "other ops" 80 "*Cuda*:-$losses"
}
# sanitize KEPT: with all the time that is left, for only what was looked at counts; racecheck gets what memcheck leaves over.
sanitize() {
  if ! command -v compute-sanitizer > /dev/null; then
    echo "no compute-sanitizer here: memcheck and racecheck are left out"
    return
  fi
  local tool share=2 limit more=()
  [[ -n $no_hopper ]] || more=(--hopper "$losses")
  for tool in memcheck racecheck; do
    limit=$(($(cap "$end" "$1") / share))
    share=1
    run "$tool" "$limit" python3 "$root/bench/gpu/sanitizer.py" --tool "$tool" --seconds $((limit - 15)) --table "$work/checks" "${more[@]}" \
      "$tests" "${TWINTAIL_SANITIZER_FILTER:-*Cuda*}"
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
commit=$(git -C "$root" describe --always --dirty 2> /dev/null || echo "${TWINTAIL_COMMIT:-}")
about=$(python3 -c 'import json, sys; print(json.dumps(dict(arg.split("=", 1) for arg in sys.argv[1:])))' "driver=$driver" \
  "toolkit=${built_by:-$toolkit}" "label=$label" "backend=$backend" "commit=$commit" "waits=$waits" "no_hopper=$no_hopper")
later=0
skipped sanitizer || ! command -v compute-sanitizer > /dev/null || later=70
[[ -z $managed ]] || skipped managed || later=$((later + 60))
half=$(($(cap "$end" "$plot_time") / 2))
((later <= half)) || later=$half
later=$(cap "$later" $((least_losses + plot_time)))
declare -A weight=([losses]=4 [hopper]=2 [gather]=2 [step]=3 [epochs]=3)
groups=()
unbegun=()
sum=0
for group in losses hopper gather step epochs; do
  [[ $group != hopper || -z $no_hopper ]] || continue
  skipped "$group" || { groups+=("$group"); sum=$((sum + weight[$group])); }
done
# bench NAME GROUP SECONDS OPTION...
bench() {
  local soft=60 # percent of its time, after which no new case begins
  # The cases of these are short, and what a compiler needs is asked for before each.
  [[ $2 == epochs ]] || soft=80
  run "$1" "$3" python3 bench.py --group "$2" --library "$library" --plugin "$plugin" --out "$out" --name "$name" --about "$about" \
    --checks "$work/checks" --seconds "$(($3 * soft / 100))" "${quick[@]}" "${@:4}"
  [[ ! -f $out/$name.json ]] || python3 -c 'import json, sys
print(f"---- {sys.argv[2]}:", json.load(open(sys.argv[1]))["groups"].get(sys.argv[2]))' "$out/$name.json" "$1" || echo "---- $1: $name.json cannot be read"
}
for group in "${groups[@]}"; do
  left=$(cap "$end" $((later + plot_time)))
  share=$((left * weight[$group] / sum))
  [[ $group != losses ]] || ((share >= least_losses)) || share=$((left < least_losses ? left : least_losses))
  sum=$((sum - weight[$group]))
  if ((share < 15)); then
    echo "---- $group: no time is left"
    failed+=("$group (no time)")
    unbegun+=("$group")
    continue
  fi
  more=()
  if [[ $group == epochs ]]; then
    [[ -z $cli ]] || more+=(--cli "$cli")
    [[ -z $goodbooks ]] || more+=(--goodbooks "$goodbooks")
  fi
  stop=$((SECONDS + share))
  bench "$group" "$group" "$share" "${more[@]}"
  # A fault of ours took the peers' times with it: they get what is left of the share, or what they need if the other groups can spare it.
  if [[ $group == losses ]] && ((ended != 0 && ended != incomplete)); then
    left=$(cap "$end" $((later + plot_time)))
    share=$((stop - SECONDS))
    ((share >= 40 || left < 120)) || share=40
    ((share <= left)) || share=$left
    if ((share < 30)); then
      echo "---- losses, peers alone: no time is left"
    else
      bench "losses, peers alone" losses "$share" --peers-only
    fi
  fi
done
[[ ! -f $out/$name.json ]] || run plot "$(cap "$plot_time" 0)" python3 plot.py "$out/$name.json"

# ---- what is slow
kept=0
[[ -z $managed ]] || skipped managed || kept=$(($(cap 130 0) * 60 / 130))
if skipped sanitizer; then echo "compute-sanitizer is left out"; else sanitize "$kept"; fi
touch "$work/checks"
[[ ! -f $out/$name.json ]] || python3 -c '
import json, sys
path, checks, *unbegun = sys.argv[1:]
with open(path) as file, open(checks) as lines:
    found = {**json.load(file), "checks": [json.loads(line) for line in lines]}
found["groups"].update({group: "incomplete: no time was left for it" for group in unbegun})
with open(path, "w") as file:
    json.dump(found, file, indent=1)' "$out/$name.json" "$work/checks" "${unbegun[@]}" || failed+=("$name.json")
if [[ -z $managed ]] || skipped managed; then echo "managed tests are left out"; else test_managed; fi

((${#failed[@]} == 0)) || die "failed: $(IFS=";"; echo "${failed[*]}")"
