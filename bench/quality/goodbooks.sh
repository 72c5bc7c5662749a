#!/usr/bin/env bash
# Trains every variant of the method on goodbooks with several seeds, and evaluates each on the test clicks.
#   bench/quality/goodbooks.sh DATA OUT [SEED ...]
# DATA: the folder with split.csv.gz and items.csv.gz, and maybe users.csv.gz. OUT: a folder for models and results.
# The results of a model are OUT/VARIANT-SEED/{warm,cold,all}.json, its differences from another one, user by user,
# {warm,cold,all}-against-OTHER.json; summary.py makes the tables of docs/quality.md from them.
# What is there already is left alone, so that a stopped run can be continued.
# VARIANTS, JOBS (environment): only these variants; so many models at once, each on its share of the processors.
# COMMON (environment): other settings for all variants than those below.
set -euo pipefail
if (($# < 2)); then
  echo "usage: $0 DATA OUT [SEED ...]" >&2
  exit 2
fi
data=$1 out=$2
shift 2
seeds=("$@")
((${#seeds[@]} > 0)) || seeds=(1 2 3)
twintail=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/artifacts/twintail/twintail
[[ -x $twintail ]] || { echo "$twintail is not there: run ./build.sh first" >&2; exit 1; }

# Chosen on the valid clicks; see docs/quality.md.
read -ra common <<< "${COMMON:---epochs 5 --patience 0 --schedule linear --temperature 0.1}"
[[ ! -s $data/users.csv.gz ]] || common+=(--users "$data/users.csv.gz")
deep="--feature-dimension 128 --dimension 128"
linear="--tower none --feature-dimension 128 --dimension 256"
aligned="--shared-embeddings true --aligned-start true --history-dropout 0.2 --epochs 2"
aligned="--tower none --feature-dimension 64 --id-dimension 256 --dimension 256 $aligned"
# The defaults before the views were compared, and those since.
old="--alpha 0.1 --self-temperature 0.1"
new="--augmentation complementary --alpha 0.1 --self-temperature 0.2"
# Views that keep most of an item.
mild="--augmentation random-mask+value-dropout --mask-rate 0.2 --value-rate 0.2 --alpha 0.3 --self-temperature 0.3"
# Views that share nothing: two halves of an item's features.
halves="--augmentation complementary --alpha 1 --self-temperature 0.3"
declare -A variants=(
  [plain]="$deep --correction none --alpha 0 --id-dropout 0"
  [logq]="$deep --alpha 0 --id-dropout 0"
  [id-dropout]="$deep --alpha 0 --id-dropout 0.3"
  [ssl-random-mask]="$deep --augmentation random-mask --id-dropout 0 $old"
  [ssl-correlated]="$deep --augmentation correlated --id-dropout 0 $old"
  [ssl-correlated+id-dropout]="$deep --augmentation correlated --id-dropout 0.3 $old"
  [ssl-halves+id-dropout]="$deep --id-dropout 0.3 $new"
  [linear-logq]="$linear --alpha 0 --id-dropout 0"
  [linear-id-dropout]="$linear --alpha 0 --id-dropout 0.3"
  [linear-ssl-random-mask]="$linear --augmentation random-mask --id-dropout 0 $old"
  [linear-ssl]="$linear --augmentation correlated --id-dropout 0.3 $old"
  [linear-ssl-weak]="$linear --augmentation correlated --id-dropout 0.3 $old --alpha 0.03"
  [linear-ssl-soft]="$linear --augmentation correlated --id-dropout 0.3 $old --self-temperature 0.3"
  [aligned-logq]="$aligned --alpha 0 --id-dropout 0"
  [aligned-ssl]="$aligned --id-dropout 0 $mild"
  [linear-adagrad]="$linear --alpha 0 --id-dropout 0.3 --sparse-optimizer adagrad"
)
# For few clicks: few_users.sh and completejourney.sh.
few="--tower none --feature-dimension 32 --dimension 128"
variants[few-logq]="$few --alpha 0 --id-dropout 0"
variants[few-id-dropout]="$few --alpha 0 --id-dropout 0.3"
variants[few-ssl]="$few --id-dropout 0 $mild"
variants[few-halves]="$few --id-dropout 0 $halves"
variants[few-plain]="$few --correction none --alpha 0 --id-dropout 0"
variants[few-plain-ssl]="$few --correction none --id-dropout 0 $mild"
variants[few-plain-halves]="$few --correction none --id-dropout 0 $halves"
# Views beside id dropout, as by default.
variants[few-correlated+id-dropout]="$few --augmentation correlated --id-dropout 0.3 $old"
variants[few-halves+id-dropout]="$few --id-dropout 0.3 $new"
# A part of the correction: less than 1 favours rare items, with and without self-supervision.
for exponent in 0.8 0.6; do
  for name in linear-id-dropout linear-ssl linear-adagrad; do
    variants[$name-logq$exponent]="${variants[$name]} --log-q-exponent $exponent"
  done
done
order=(plain logq id-dropout ssl-random-mask ssl-correlated ssl-correlated+id-dropout linear-logq linear-id-dropout
  linear-ssl-random-mask linear-ssl-weak linear-ssl-soft aligned-logq aligned-ssl)
[[ -z ${VARIANTS:-} ]] || read -ra order <<< "$VARIANTS"
jobs=${JOBS:-1}
threads=$((($(nproc) + jobs - 1) / jobs))

evaluate() { # FOLDER SPLIT CANDIDATES RESULT [--against FOLDER]
  [[ -s $1/$4.json ]] && return
  "$twintail" evaluate --model "$1" --interactions "$data/split.csv.gz" --split "$2" --candidates "$3" "${@:5}" --json \
    > "$1/$4.json.part"
  mv "$1/$4.json.part" "$1/$4.json"
}

evaluate_all() { # FOLDER SUFFIX [--against FOLDER]
  evaluate "$1" test warm "warm$2" "${@:3}"
  evaluate "$1" test_cold cold "cold$2" "${@:3}"
  evaluate "$1" test_cold all "all$2" "${@:3}"
}

one() { # VARIANT SEED
  local folder=$out/$1-$2 settings
  if [[ ! -s $folder/weights.safetensors || ! -s $folder/report.html ]]; then
    read -ra settings <<< "${variants[$1]}"
    "$twintail" train --interactions "$data/split.csv.gz" --items "$data/items.csv.gz" --out "$folder" --overwrite --quiet \
      --threads "$threads" --seed "$2" "${common[@]}" "${settings[@]}"
  fi
  evaluate_all "$folder" ""
}

running=0
for seed in "${seeds[@]}"; do
  for name in "${order[@]}"; do
    if ((running >= jobs)); then
      wait -n
      running=$((running - 1))
    fi
    one "$name" "$seed" &
    running=$((running + 1))
  done
done
while ((running > 0)); do
  wait -n
  running=$((running - 1))
done

# What a part of the method does to the model without it.
for seed in "${seeds[@]}"; do
  for pair in id-dropout:logq ssl-random-mask:logq ssl-correlated:logq ssl-correlated+id-dropout:id-dropout \
    ssl-halves+id-dropout:id-dropout ssl-halves+id-dropout:ssl-correlated+id-dropout \
    linear-logq:logq linear-ssl-random-mask:linear-logq linear-ssl-weak:linear-id-dropout \
    linear-ssl-soft:linear-id-dropout linear-ssl:linear-id-dropout linear-ssl:linear-logq \
    linear-id-dropout:linear-logq aligned-logq:linear-logq aligned-ssl:aligned-logq linear-ssl-logq0.8:linear-id-dropout-logq0.8 \
    linear-ssl-logq0.6:linear-id-dropout-logq0.6 linear-adagrad:linear-id-dropout \
    few-id-dropout:few-logq few-ssl:few-logq few-ssl:few-id-dropout few-halves:few-logq \
    few-correlated+id-dropout:few-id-dropout few-halves+id-dropout:few-id-dropout \
    few-halves+id-dropout:few-correlated+id-dropout \
    few-plain-ssl:few-plain few-plain-halves:few-plain; do
    model=$out/${pair%:*}-$seed other=$out/${pair#*:}-$seed
    [[ -s $model/all.json && -s $other/all.json ]] || continue
    evaluate_all "$model" "-against-${pair#*:}" --against "$other"
  done
done
