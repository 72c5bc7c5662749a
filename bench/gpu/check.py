"""Runs a GoogleTest program so that a test that fails, crashes or hangs costs no other: its process is ended, it is named, and the rest goes
on in a new one. (A kernel that fails takes its process's GPU context with it, so whatever came after it would fail too.)

    python3 check.py --name NAME --seconds N --each N --log FILE --table FILE PROGRAM FILTER

Appends what the program printed to --log and one line of JSON to --table; exit code 1 where a test failed or was not reached, the program
did not end as it should, or every test was skipped.
"""
import argparse
import json
import queue
import re
import subprocess
import threading
import time

MOST_FAILURES = 20
LINE = re.compile(r"^\[ *(RUN|OK|FAILED|SKIPPED) *\] ([^ ,]+?)(?:,.*| \(.*)?$")


def list_tests(program, tests):
    text = subprocess.run([program, "--gtest_list_tests", f"--gtest_filter={tests}"], capture_output=True, text=True, check=True, timeout=60).stdout
    names, suite = [], ""
    for line in text.splitlines():
        name = line.split("#")[0].rstrip()
        if name.endswith(".") and not name.startswith(" "):
            suite = name
        elif name.startswith("  "):
            names.append(suite + name.strip())
    return names


def lines_of(process):
    """Its lines as they come, through a queue that can be waited for with a limit; None at the end."""
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)
    threading.Thread(target=read, daemon=True).start()
    return lines


def run_some(program, names, each, deadline, log):
    """Runs tests until one goes wrong: (those done and whether they were skipped, the one that went wrong or None, why)."""
    process = subprocess.Popen([program, "--gtest_color=no", "--gtest_filter=" + ":".join(names)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    lines, done, current, begun = lines_of(process), {}, None, time.monotonic()
    try:
        while True:
            limit = min(begun + each, deadline)
            try:
                line = lines.get(timeout=max(limit - time.monotonic(), 0.01))
            except queue.Empty:
                hung = time.monotonic() < deadline
                return done, current if hung else None, f"hung for {each:.0f} s" if hung else "out of time"
            if line is None:
                code = process.wait()
                return done, current, f"ended the process with exit code {code}" if current or code else ""
            log.write(line)
            found = LINE.match(line.rstrip())
            if not found or found[2] not in names:
                continue
            if found[1] == "RUN":
                current, begun = found[2], time.monotonic()
            elif found[1] == "FAILED":
                return done, found[2], "failed"
            else:
                done[found[2]] = found[1] == "SKIPPED"  # told once more at the end
                current, begun = None, time.monotonic()
    finally:
        process.kill()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass  # held in the driver: the next one has to do beside it


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seconds", type=float, required=True, help="for all tests together")
    parser.add_argument("--each", type=float, default=30, help="a test that takes longer has hung")
    parser.add_argument("--log", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("program")
    parser.add_argument("tests", help="a GoogleTest filter")
    options = parser.parse_args()
    begin = time.monotonic()
    left = list_tests(options.program, options.tests)
    if not left:
        raise SystemExit(f"check.py: error: {options.name}: no test of {options.program} matches {options.tests}")
    ended, failed = {}, {}  # name -> whether it was skipped, why it failed
    with open(options.log, "a", errors="replace") as log:
        log.write(f"---- {options.name}\n")
        while left and len(failed) < MOST_FAILURES:
            done, bad, why = run_some(options.program, left, options.each, begin + options.seconds, log)
            ended |= done
            left = [name for name in left if name not in done and name != bad]
            if bad or why and not left:
                failed[bad or "after the last test"] = why
            if bad is None and (not done or why):
                break  # out of time, or the program does not even begin
    skipped = sum(ended.values())
    if ended and skipped == len(ended) and not failed:
        failed["every test"] = "skipped"
    row = {"name": options.name, "passed": len(ended) - skipped, "skipped": skipped, "failed": failed, "not_run": left,
           "seconds": round(time.monotonic() - begin, 1)}
    with open(options.table, "a") as table:
        table.write(json.dumps(row) + "\n")
    print(f"{options.name}: {row['passed']} passed, {skipped} skipped, {len(failed)} failed, {len(left)} not run, in {row['seconds']} s",
          flush=True)
    for name, reason in failed.items():
        print(f"  {name}: {reason}", flush=True)
    if left:
        print(f"  not run: {why or 'too many failures'}", flush=True)
    raise SystemExit(1 if failed or left else 0)


if __name__ == "__main__":
    main()
