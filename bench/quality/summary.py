#!/usr/bin/env python3
"""Makes the Markdown tables of docs/quality.md from the results of goodbooks.sh.

First the results of each model, mean and range over the seeds; then what a part of the method changes, user by user:
mean over the seeds with the 95 % interval of Student's t over seeds, and in brackets the widest of the seeds' own
95 % bootstrap intervals over users, as plus-minus.

usage: summary.py OUT
"""
import collections
import json
import math
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
CHANGES = [column for column in COLUMNS if column[3] == "recall@20"]
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # 97.5 % quantile of t by number of seeds


def short(value: float, signed: bool = False) -> str:
    text = f"{value:+.4f}" if signed else f"{value:.4f}"
    return text.replace("0.", ".", 1).replace("-", "−")


def row(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def read(folder: pathlib.Path, suffix: str) -> dict:
    return {c: json.loads((folder / f"{c}{suffix}.json").read_text()) for c in ("warm", "cold", "all")}


def results(folders) -> None:
    models = collections.defaultdict(list)
    for name, folder in folders:
        if (folder / "all.json").exists():
            models[name].append({c: r["evaluations"][0]["slices"] for c, r in read(folder, "").items()})
    print(row(["model", "seeds"] + [column[0] for column in COLUMNS]))
    print("|---" * (len(COLUMNS) + 2) + "|")
    for name, runs in models.items():
        cells = []
        for _, candidates, part, metric in COLUMNS:
            values = [run[candidates][part][metric]["value"] for run in runs]
            spread = f" ({short(min(values))}–{short(max(values))})" if len(values) > 1 else ""
            cells.append(f"{short(sum(values) / len(values))}{spread}")
        print(row([name, str(len(runs))] + cells))


def changes(folders) -> None:
    pairs = collections.defaultdict(list)
    for name, folder in folders:
        for file in sorted(folder.glob("all-against-*.json")):
            other = file.stem.removeprefix("all-against-")
            pairs[f"{name} − {other}"].append({c: r["difference"]["slices"]
                                               for c, r in read(folder, f"-against-{other}").items()})
    print(row(["difference", "seeds"] + [column[0] for column in CHANGES]))
    print("|---" * (len(CHANGES) + 2) + "|")
    for name, runs in pairs.items():
        cells = []
        for _, candidates, part, metric in CHANGES:
            found = [run[candidates][part][metric] for run in runs]
            mean = sum(f["value"] for f in found) / len(found)
            over_users = max((f["high"] - f["low"]) / 2 for f in found)
            over_seeds = ""
            if len(found) in STUDENT:
                variance = sum((f["value"] - mean) ** 2 for f in found) / (len(found) - 1)
                over_seeds = f" ± {short(STUDENT[len(found)] * math.sqrt(variance / len(found)))}"
            cells.append(f"{short(mean, True)}{over_seeds} [{short(over_users)}]")
        print(row([name, str(len(runs))] + cells))


def main() -> None:
    folders = []
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        name, _, seed = folder.name.rpartition("-")
        if seed.isdigit():
            folders.append((name, folder))
    results(folders)
    print()
    changes(folders)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
