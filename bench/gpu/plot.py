"""Draws what is in DIR/NAME.json: DIR/NAME-losses.png, -gather.png and -step.png."""
import json
import os
import sys


def losses(plt, rows, _):
    panels = sorted({(row["dtype"], row["d"]) for row in rows})
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
    return figure


def bars(plt, rows, label, value, unit, line=None):
    """One bar for each row; `line`: what the device allows."""
    figure, axis = plt.subplots(figsize=(9, 1 + 0.3 * len(rows)))
    names = list(dict.fromkeys(row["who"] for row in rows))
    axis.barh(range(len(rows)), [row[value] for row in rows], color=[f"C{names.index(row['who'])}" for row in rows])
    axis.set_yticks(range(len(rows)), [label(row) for row in rows], fontsize="small")
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    if line:
        axis.axvline(line, color="k", linestyle="--", label="copy bandwidth of this run")
        axis.legend(fontsize="small")
    return figure


def gather(plt, rows, device):
    copy = device.get("gather_copy_tb_s")
    return bars(plt, rows, lambda row: f'{row["case"]}, {row["data"]}, n={row["n"]}: {row["who"]}', "gb_s", "useful GB/s",
                copy * 1e3 if copy else None)


def step(plt, rows, _):
    return bars(plt, [row for row in rows if row.get("clicks_per_s")], lambda row: f'{row["case"]}, {row["dtype"]}: {row["who"]}',
                "clicks_per_s", "clicks/s")


def main(path):
    try:
        import matplotlib
    except ImportError:
        print("plot.py: no matplotlib here, no plot; the JSON has the numbers")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    with open(path) as file:
        result = json.load(file)
    timed = [row for row in result["rows"] if "ms_median" in row or row.get("clicks_per_s")]
    if not timed:
        sys.exit(f"plot.py: error: {path} holds no timed row")
    device = result["device"] or {}
    for name, groups, draw in (("losses", ("losses", "hopper"), losses), ("gather", ("gather",), gather), ("step", ("step", "epochs"), step)):
        rows = [row for row in timed if row["group"] in groups]
        if rows:
            figure = draw(plt, rows, device)
            unfinished = [group for group in groups if result["groups"].get(group, "done") != "done"]
            figure.suptitle(device.get("device", "dry run on a CPU" if not device else "") +
                            (f" ({', '.join(unfinished)}: not all was timed)" if unfinished else ""))
            figure.tight_layout()
            target = f"{os.path.splitext(path)[0]}-{name}.png"
            figure.savefig(target, dpi=110)
            print(f"wrote {target}")


if __name__ == "__main__":
    main(sys.argv[1])
