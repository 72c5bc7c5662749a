"""Runs a GoogleTest program under compute-sanitizer, a part of its tests at a time, and tells what was looked at: a tool that cannot run on
this machine has found nothing because it has looked at nothing.

    python3 sanitizer.py --tool memcheck --seconds N --table FILE [--hopper FILTER] PROGRAM FILTER

Every 16th test, of all ops, is a part, for each process has to start and to load all kernels under the tool, which slows them down a
hundredfold besides: as many parts as the time allows. --hopper: after the first part, one of those tests with the wgmma kernels.
Appends one line of JSON to --table; exit code 1 where something was found or missed, or a test failed; 76 where nothing was checked.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import time

PARTS = 16
LEAST_SECONDS = 8  # no part begins with less
ERROR_CODE, CHECKED_NOTHING = 99, 76  # of the tool, and of this program (budget.sh knows it)
# What the tool says where it cannot look. It may end with code 0 and a summary without errors all the same.
UNABLE = re.compile(r"(Device not supported|Unable to find injection library|No attachable process|Failed to initialize).*")
MISSED = re.compile(r"Internal Sanitizer Error.*")  # of a launch, mostly for want of memory: others were looked at
FOUND = re.compile(r"^=+ +(Invalid|Misaligned|Out-of-range|Error: Race|Warning: Race|.*hazard detected)", re.MULTILINE)
SUMMARY = re.compile(r"SUMMARY: [1-9]")
ENDED = re.compile(r"^\[=+\] (\d+) tests? from .* ran", re.MULTILINE)
FAILED = re.compile(r"^\[ *FAILED *\]", re.MULTILINE)


def judge(text, code):
    """(verdict, why) of what a part printed and its exit code, None where its time was over; verdict: right, wrong, missed, cut or
    nothing."""
    if FOUND.search(text):
        return "wrong", "the tool has found something"
    unable, missed, ended = UNABLE.search(text), MISSED.search(text), ENDED.findall(text)
    if unable:
        return "nothing", f"compute-sanitizer says: {unable[0].strip()}"
    if code is None:
        return "cut", "its time was over"
    if SUMMARY.search(text) or FAILED.search(text) or ended and code != 0:
        return ("missed", missed[0].strip()) if missed and not FAILED.search(text) else ("wrong", f"exit code {code}")
    if not ended:
        return "nothing", f"no test's result and no error, exit code {code}"
    if int(ended[-1]) == 0:
        return "nothing", "no test ran"
    return ("missed", missed[0].strip()) if missed else ("right", "")


def run_part(options, shard, tests, kernels, seconds):
    """What it printed, and its exit code, None where it was stopped."""
    # Errors of calls are the tests' own: some run out of memory on purpose. cuBLASLt's many kernels take long to load and are not ours.
    environment = {**os.environ, "GTEST_TOTAL_SHARDS": str(PARTS), "GTEST_SHARD_INDEX": str(shard), "TWINTAIL_CUBLASLT": "off",
                   **({"TWINTAIL_CUDA_KERNELS": kernels} if kernels else {})}
    command = ["compute-sanitizer", "--tool", options.tool, "--report-api-errors", "no", "--error-exitcode", str(ERROR_CODE),
               options.program, f"--gtest_filter={tests}", "--gtest_brief=1"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               start_new_session=True)
    try:
        text, _ = process.communicate(timeout=seconds)
        return text, process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the program under the tool, too
    try:
        return process.communicate(timeout=5)[0], None
    except subprocess.TimeoutExpired:
        return "", None  # held in the driver


def parts(options):
    """Name, shard, filter and kernels of each."""
    listed = [(f"part {shard}", shard, options.tests, None) for shard in range(PARTS)]
    return listed[:1] + ([("wgmma part", 0, options.hopper, "hopper")] if options.hopper else []) + listed[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--hopper", help="a GoogleTest filter: the tests of what has wgmma kernels")
    parser.add_argument("program")
    parser.add_argument("tests", help="a GoogleTest filter")
    options = parser.parse_args()
    begin, all_parts = time.monotonic(), parts(options)
    row = {"name": options.tool, "parts": 0, "of_parts": len(all_parts), "tests": 0, "wrong": {}, "missed": {}, "checked_nothing": None}
    for name, *what in all_parts:
        left = begin + options.seconds - time.monotonic()
        if left < LEAST_SECONDS:
            break
        text, code = run_part(options, *what, left)
        verdict, why = judge(text, code)
        print(f"{text}---- {options.tool}, {name}: {verdict}{why and f' ({why})'}", flush=True)
        if verdict in ("wrong", "missed"):
            row[verdict][name] = why
        if verdict == "nothing":
            row["checked_nothing"] = why
        if verdict in ("nothing", "cut"):
            break
        row["parts"] += 1
        row["tests"] += int((ENDED.findall(text) or [0])[-1])
    if row["parts"] == 0 and not row["wrong"]:
        row["checked_nothing"] = row["checked_nothing"] or "its time was over in the first part"
    row["seconds"] = round(time.monotonic() - begin, 1)
    with open(options.table, "a") as table:
        table.write(json.dumps(row) + "\n")
    tell(row)
    raise SystemExit(1 if row["wrong"] or row["missed"] else CHECKED_NOTHING if row["checked_nothing"] else 0)


def tell(row):
    looked = f"{row['parts']} of {row['of_parts']} parts, {row['tests']} tests, in {row['seconds']} s"
    if row["checked_nothing"] and row["parts"] == 0:
        print(f"{row['name']}: HAS CHECKED NOTHING, which says nothing of the kernels: {row['checked_nothing']}", flush=True)
    else:
        stopped = f"; then it has checked nothing: {row['checked_nothing']}" if row["checked_nothing"] else ""
        print(f"{row['name']}: {len(row['wrong'])} wrong of {looked}{stopped}", flush=True)
    for verdict in ("wrong", "missed"):
        for name, why in row[verdict].items():
            print(f"  {name}: {verdict}: {why}", flush=True)


if __name__ == "__main__":
    main()
