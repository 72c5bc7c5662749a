"""Draws the times in gpu.json: python3 plot.py DIR/gpu.json writes DIR/gpu.png."""
import json
import sys


def main(path):
    try:
        import matplotlib
    except ImportError:
        print("plot.py: no matplotlib here, no plot; gpu.json has the numbers")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    with open(path) as file:
        result = json.load(file)
    rows = [row for row in result["rows"] if "ms_median" in row]
    panels = sorted({(row["dtype"], row["d"]) for row in rows})
    if not panels:
        sys.exit(f"plot.py: error: {path} holds no timed row")
    figure, axes = plt.subplots(1, len(panels), figsize=(5 * len(panels), 4), squeeze=False)
    for axis, (dtype, d) in zip(axes[0], panels):
        here = [row for row in rows if (row["dtype"], row["d"]) == (dtype, d)]
        for who in dict.fromkeys(row["who"] for row in here):
            points = sorted((row["n"], row["ms_median"]) for row in here if row["who"] == who)
            axis.plot(*zip(*points), marker="o", label=who)
        floor = sorted({(row["n"], row["floor_ms"]) for row in here if "floor_ms" in row})
        if floor:
            axis.plot(*zip(*floor), "k--", label="floor")
        axis.set(xscale="log", yscale="log", xlabel="n = m", ylabel="ms, forward + backward", title=f"{dtype}, d = {d}")
        axis.legend(fontsize="small")
    figure.suptitle((result["device"] or {}).get("device", "dry run on a CPU"))
    figure.tight_layout()
    target = path.rsplit(".", 1)[0] + ".png"
    figure.savefig(target, dpi=110)
    print(f"wrote {target}")


if __name__ == "__main__":
    main(sys.argv[1])
