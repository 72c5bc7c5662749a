#!/usr/bin/env bash
# The same as goodbooks.sh, from the demo's catalogue and with its settings; each seed has a catalogue of its own.
#   bench/quality/synthetic.sh OUT [SEED ...]
set -euo pipefail
if (($# < 1)); then
  echo "usage: $0 OUT [SEED ...]" >&2
  exit 2
fi
out=$1
shift
seeds=("$@")
((${#seeds[@]} > 0)) || seeds=(21 22 23)
folder=$(dirname "${BASH_SOURCE[0]}")
twintail=$folder/../../artifacts/twintail/twintail
[[ -x $twintail ]] || { echo "$twintail is not there: run ./build.sh first" >&2; exit 1; }
export COMMON="${COMMON:---epochs 5 --patience 0 --schedule linear --temperature 0.2 --batch-size 512 --self-batch-size 512 \
  --id-dimension 16 --shared-embeddings true --aligned-start true --history-dropout 0.3}"
export VARIANTS="${VARIANTS:-few-id-dropout few-correlated+id-dropout few-halves+id-dropout}"
for seed in "${seeds[@]}"; do
  data=$out/data/$seed
  if [[ ! -s $data/users.csv.gz ]]; then
    # Of this only the data are wanted.
    "$twintail" demo --seed "$seed" --epochs 1 --out "$data/demo" --quiet > /dev/null
    for name in interactions:split items:items users:users; do
      gzip -c "$data/demo/data/${name%:*}.csv" > "$data/${name#*:}.csv.gz"
    done
  fi
  "$folder/goodbooks.sh" "$data" "$out" "$seed"
done
