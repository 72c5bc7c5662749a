#!/usr/bin/env bash
# The same as goodbooks.sh, from a sample of grocery baskets over a year, split by time: 24,000 items, of which most have under five clicks.
#   bench/quality/completejourney.sh DATA OUT [SEED ...]
# Fuel and coupons are no products: they are left out.
set -euo pipefail
if (($# < 2)); then
  echo "usage: $0 DATA OUT [SEED ...]" >&2
  exit 2
fi
data=$1 out=$2
shift 2
mkdir -p "$out/data"
python3 - "$data" "$out/data" <<'PYTHON'
import csv
import gzip
import sys

source, target = sys.argv[1:]


def read(name):
    with gzip.open(f"{source}/{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(name, rows):
    with gzip.open(f"{target}/{name}.csv.gz", "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


items = [row for row in read("items") if row["department"] != "FUEL" and "COUPON" not in row["product_category"]]
products = {row["item_id"] for row in items}
write("items", items)
write("split", [row for row in read("split") if row["item_id"] in products])
PYTHON
export COMMON="${COMMON:---epochs 4 --patience 0 --schedule linear --temperature 0.1 --batch-size 1024 --self-batch-size 512}"
export VARIANTS="${VARIANTS:-few-logq few-id-dropout few-ssl few-halves few-plain few-plain-ssl few-plain-halves}"
exec "$(dirname "${BASH_SOURCE[0]}")/goodbooks.sh" "$out/data" "$out" "$@"
