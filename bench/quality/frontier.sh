#!/usr/bin/env bash
# How much of the list new items get is a choice: evaluates models among warm and cold candidates with several bonuses on the score
# of cold items, and prints a Markdown table of what warm and cold items lose and gain.
#   bench/quality/frontier.sh DATA "BONUS ..." MODEL [MODEL ...]
# warm is the mean of head, mid and tail by users: where users have one warm click each, as in goodbooks, the recall of all of them.
# DATA: the folder with split.csv.gz. SPLITS (environment): the splits [test,test_cold].
set -euo pipefail
if (($# < 3)); then
  echo "usage: $0 DATA \"BONUS ...\" MODEL [MODEL ...]" >&2
  exit 2
fi
data=$1
read -ra bonuses <<< "$2"
shift 2
twintail=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/artifacts/twintail/twintail
[[ -x $twintail ]] || { echo "$twintail is not there: run ./build.sh first" >&2; exit 1; }

echo "| model | bonus | all R@20 | warm R@20 | head R@20 | mid R@20 | tail R@20 | cold R@20 |"
echo "|---|---|---|---|---|---|---|---|"
for model in "$@"; do
  for bonus in "${bonuses[@]}"; do
    "$twintail" evaluate --model "$model" --interactions "$data/split.csv.gz" --split "${SPLITS:-test,test_cold}" --candidates all \
      --cold-bonus "$bonus" -k 20 --bootstrap 0 --json 2> /dev/null |
      python3 -c '
import json, sys
slices = json.load(sys.stdin)["evaluations"][0]["slices"]
recall = {name: part["recall@20"]["value"] for name, part in slices.items()}
users = {name: slices[name]["users"] for name in ("head", "mid", "tail")}
recall["warm"] = sum(recall[name] * users[name] for name in users) / sum(users.values())
cells = [format(recall[name], ".4f").lstrip("0") for name in ("all", "warm", "head", "mid", "tail", "cold")]
print("| " + " | ".join(sys.argv[1:] + cells) + " |")' "$(basename "$model")" "$bonus"
  done
done
