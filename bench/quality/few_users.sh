#!/usr/bin/env bash
# The same as goodbooks.sh, from the clicks of every tenth user: what the parts of the method are worth where clicks are few.
#   bench/quality/few_users.sh DATA OUT [SEED ...]
# The whole catalogue stays; items that only the other users clicked become cold.
set -euo pipefail
if (($# < 2)); then
  echo "usage: $0 DATA OUT [SEED ...]" >&2
  exit 2
fi
data=$1 out=$2
shift 2
mkdir -p "$out/data"
# A multiplicative hash of the user's number (Knuth, TAOCP 6.4), so that the choice depends neither on order nor on the tool.
gzip -dc "$data/split.csv.gz" | awk -F, 'NR == 1 || ($1 * 2654435761) % 4294967296 < 429496729' | gzip > "$out/data/split.csv.gz"
cp "$data/items.csv.gz" "$out/data/items.csv.gz"
export COMMON="${COMMON:---epochs 3 --patience 0 --schedule linear --temperature 0.1 --batch-size 1024 --self-batch-size 512 \
  --shared-embeddings true --aligned-start true --history-dropout 0.3}"
export VARIANTS="${VARIANTS:-few-logq few-id-dropout few-ssl few-halves few-plain few-plain-ssl few-plain-halves}"
exec "$(dirname "${BASH_SOURCE[0]}")/goodbooks.sh" "$out/data" "$out" "$@"
