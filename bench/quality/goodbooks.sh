#!/usr/bin/env bash
# Trains every variant of the method on goodbooks with several seeds, and evaluates each on the test clicks.
#   bench/quality/goodbooks.sh DATA OUT [SEED ...]
# DATA: the folder with split.csv.gz and items.csv.gz. OUT: a folder for models and results.
# The results of a model are OUT/VARIANT-SEED/{warm,cold,all}.json; summary.py makes the table of docs/quality.md from them.
# What is there already is left alone, so that a stopped run can be continued.
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
common=(--epochs 5 --patience 0 --schedule linear --feature-dimension 64 --temperature 0.1)
declare -A variants=(
  [plain]="--correction none --alpha 0 --id-dropout 0"
  [logq]="--alpha 0 --id-dropout 0"
  [id-dropout]="--alpha 0 --id-dropout 0.3"
  [ssl-random-mask]="--augmentation random-mask --id-dropout 0"
  [ssl-correlated]="--augmentation correlated --id-dropout 0"
  [ssl-correlated+id-dropout]="--augmentation correlated --id-dropout 0.3"
)

evaluate() { # FOLDER SPLIT CANDIDATES
  [[ -s $1/$3.json ]] && return
  "$twintail" evaluate --model "$1" --interactions "$data/split.csv.gz" --split "$2" --candidates "$3" --json \
    > "$1/$3.json.part"
  mv "$1/$3.json.part" "$1/$3.json"
}

for seed in "${seeds[@]}"; do
  for name in plain logq id-dropout ssl-random-mask ssl-correlated ssl-correlated+id-dropout; do
    folder=$out/$name-$seed
    if [[ ! -s $folder/warm.json ]]; then
      read -ra settings <<< "${variants[$name]}"
      "$twintail" train --interactions "$data/split.csv.gz" --items "$data/items.csv.gz" --out "$folder" --overwrite --quiet \
        --seed "$seed" "${common[@]}" "${settings[@]}"
    fi
    evaluate "$folder" test warm
    evaluate "$folder" test_cold cold
    evaluate "$folder" test_cold all
  done
done
