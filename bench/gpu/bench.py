"""Times one group of the bench against PyTorch and against the device's floors.

    python3 bench.py --group GROUP --library libtwintail.so --plugin libtwintail_cuda.so --out DIR [--quick] [--seconds N]
    python3 bench.py --group GROUP --library libtwintail.so --out DIR --dry-run
        on the CPU, tiny: does the bench itself work? With --simt --plugin libtwintail_cuda_simt.so: with the CUDA kernels' CPU run.

Groups: losses, hopper (the losses by the wgmma kernels, capability 9.0), gather, step, epochs. Each is run by a process of its own (a
kernel that fails takes its process's GPU context with it) and adds its rows to DIR/NAME.json. Exit code 1: a result was wrong, or one of
Twintail's own runs failed; 75: some of Twintail's own were left out, for want of time or memory. No time is judged. --peers-only goes on
with the group losses where a process before this one died of ours: it times the peers that it did not come to or that failed.
"""
import argparse
import importlib
import json
import os
import sys
import time
import traceback

BEGAN = time.monotonic()  # PyTorch takes seconds to load, which are part of the time given

try:
    import torch
except ImportError:
    sys.exit("bench.py: error: needs Python with PyTorch; `python3 -c 'import torch'` fails here")

import session

GROUPS = ("losses", "hopper", "gather", "step", "epochs")
FAILED, INCOMPLETE = 1, 75  # exit codes; budget.sh knows the latter


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", choices=GROUPS, required=True)
    parser.add_argument("--library", dest="core", required=True)
    parser.add_argument("--plugin")
    parser.add_argument("--out", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--simt", action="store_true", help="dry run: the CUDA backend's CPU run instead of the CPU backend")
    parser.add_argument("--peers-only", action="store_true", help="losses: the peers that were not timed by a process before")
    parser.add_argument("--name", default="gpu", help="of the files of results")
    parser.add_argument("--about", default="{}", help="JSON that belongs to the device: driver, toolkit, commit")
    parser.add_argument("--checks", help="file of JSON lines: what tests found before")
    parser.add_argument("--seconds", type=float, default=240, help="no new case begins after this time")
    parser.add_argument("--cli", help="epochs: the program `twintail` of a self-contained publish")
    parser.add_argument("--goodbooks", help="epochs: folder with split.csv.gz and items.csv.gz")
    options = parser.parse_args()
    options.began = BEGAN
    if options.peers_only and options.group != "losses":
        parser.error("--peers-only: the group losses alone has peers that do not need ours")
    return options


def main():
    """Exit code and what went wrong."""
    options = parse()
    if not options.dry_run and not torch.cuda.is_available():
        return FAILED, "PyTorch sees no CUDA device; nothing was timed (--dry-run tries the bench on the CPU)"
    if options.dry_run:
        torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(1)
    if options.group == "hopper":
        os.environ["TWINTAIL_CUDA_KERNELS"] = "hopper"
    results = session.Results(options.out, options.name, options.group, options.peers_only)
    results.about(json.loads(options.about), options.checks)
    try:
        here = session.Session(options)
        module = importlib.import_module("losses" if options.group == "hopper" else options.group)
        if here.on_gpu:
            results.floors({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda})
            with torch.cuda.stream(here.stream):
                module.run(here, results)
        else:
            module.run(here, results)
        here.close()
    except Exception as error:
        traceback.print_exc()
        results.state(f"failed: {error}")
        return FAILED, f"{options.group}: {error}"
    code, state = (0, "done") if options.peers_only else verdict(results)
    results.state(state)
    return code, f"{options.group}: {state}"


def verdict(results):
    """Exit code and state of a group whose process has come to its end."""
    wrong, missing = results.of_twintail("error"), results.of_twintail("skipped")
    states = ["some of Twintail's runs failed (see the table)"] if wrong else []
    if missing:
        first = missing[0]
        states.append(f"incomplete: {len(missing)} of Twintail's own left out, the first {session.shape_of(first)}: {first['skipped']}")
    return FAILED if wrong else INCOMPLETE if missing else 0, "; ".join(states) or "done"


def leave(code, state):
    """At once on a GPU: what is left to end there, above all torch.compile's processes, may hang, and everything is on disk."""
    if code:
        print(f"bench.py: {'error' if code == FAILED else 'note'}: {state}", file=sys.stderr)
    if torch.cuda.is_available():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(*main())
