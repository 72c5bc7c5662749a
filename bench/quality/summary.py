#!/usr/bin/env python3
"""Makes the Markdown table of docs/quality.md from the results of goodbooks.sh: mean and range over the seeds.

usage: summary.py OUT
"""
import collections
import json
import pathlib
import sys

COLUMNS = [
    ("warm R@20", "warm", "all", "recall@20"),
    ("R@50", "warm", "all", "recall@50"),
    ("NDCG@20", "warm", "all", "ndcg@20"),
    ("head R@20", "warm", "head", "recall@20"),
    ("mid R@20", "warm", "mid", "recall@20"),
    ("tail R@20", "warm", "tail", "recall@20"),
    ("cold only R@20", "cold", "all", "recall@20"),
    ("R@50", "cold", "all", "recall@50"),
    ("cold in all R@20", "all", "all", "recall@20"),
]


def main() -> None:
    models = collections.defaultdict(list)
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        name, _, seed = folder.name.rpartition("-")
        if seed.isdigit() and (folder / "all.json").exists():
            models[name].append({c: json.loads((folder / f"{c}.json").read_text())["evaluations"][0]["slices"]
                                 for c in ("warm", "cold", "all")})
    print("| model | seeds | " + " | ".join(column[0] for column in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 2) + "|")
    for name, runs in models.items():
        cells = []
        for _, candidates, part, metric in COLUMNS:
            values = [run[candidates][part][metric]["value"] for run in runs]
            spread = f" ({min(values):.4f}–{max(values):.4f})" if len(values) > 1 else ""
            cells.append(f"{sum(values) / len(values):.4f}{spread}")
        print(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
