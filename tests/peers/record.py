#!/usr/bin/env python3
"""What `pipeline record` costs: pairs of the same command, plain and recorded, in alternating order.

Prints for each command the medians, the median of the differences, and what the recorder says of itself. The limits are
those of the product: 1 % and 10 ms of wall time; 1 % of one core at one sample a second; 20 MiB.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import measure

# What C compilers are given: enough to keep one busy for some tenths of a second.
SOURCE = "".join(f"int f{i}(int a){{int s=0;for(int i=0;i<a;i++)s+=(i^{i})*{i % 97 + 1};return s;}}\n" for i in range(200))
REPORT = re.compile(r"record: ([\d.]+) ms of CPU \(([\d.]+) % of a core\), ([\d.]+) MiB at most; "
                    r"git and relays ([\d.]+) ms of CPU; ([\d.]+) ms before the command, ([\d.]+) ms after it; (\d+) looks")


def commands(folder: pathlib.Path) -> dict[str, tuple[list[str], list[str]]]:
    """Name to command and options of `record`."""
    names = [f"s{i}" for i in range(8)]
    for name in names:
        (folder / f"{name}.c").write_text(SOURCE)
    objects = " ".join(f"{name}.o" for name in names)
    (folder / "Makefile").write_text(f"all: {objects}\n%.o: %.c\n\tgcc -O2 -c $< -o $@\n")
    return {
        "true": (["true"], []),
        "a fifth of a second": (["sleep", "0.2"], []),
        "one core for two seconds": (["timeout", "2", "sh", "-c", "while :; do :; done"], []),
        "the same, a sample a second": (["timeout", "4", "sh", "-c", "while :; do :; done"], ["--samples", "1s"]),
        "make -j2 of eight C files": (["make", "-s", "-B", "-j2"], ["--samples", "1s"]),
        "two million lines": (["seq", "2000000"], ["--read-output", "always"]),
    }


def wall(command: list[str], folder: pathlib.Path) -> tuple[float, str]:
    """Milliseconds, and the last line on stderr. Standard output is read as a CI runner does."""
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while child.stdout.read(1 << 16):
        pass
    err = child.stderr.read().decode()
    child.wait()
    return (time.perf_counter() - began) * 1e3, (err.strip().splitlines() or [""])[-1]


def pairs(pipeline: str, command: list[str], options: list[str], folder: pathlib.Path, rounds: int) -> dict:
    recorded = [pipeline, "record", "--out", str(folder / "e.ndjson"), "--self-report", *options, "--", *command]
    plain_ms, recorded_ms, reports = [], [], []
    for n in range(rounds + 1):
        for which in ("plain", "recorded") if n % 2 else ("recorded", "plain"):
            if which == "plain":
                plain_ms.append(wall(command, folder)[0])
            else:
                ms, said = wall(recorded, folder)
                recorded_ms.append(ms)
                reports.append([float(x) for x in REPORT.search(said).groups()])
    # The first round warms the page cache.
    plain_ms, recorded_ms, reports = plain_ms[1:], recorded_ms[1:], reports[1:]
    plain, more = statistics.median(plain_ms), statistics.median(r - p for r, p in zip(recorded_ms, plain_ms))
    own = [statistics.median(column) for column in zip(*reports)]
    return {"plain_ms": plain, "recorded_ms": statistics.median(recorded_ms), "more_ms": more,
            "allowed_ms": plain * 0.01 + 10, "own_cpu_ms": own[0], "others_cpu_ms": own[3],
            "own_core_percent": own[0] / plain * 100, "all_core_percent": (own[0] + own[3]) / plain * 100,
            "peak_mib": max(report[2] for report in reports), "looks": own[6]}


def hyperfine(pipeline: str, folder: pathlib.Path) -> dict:
    """The same question by another program."""
    out = folder / "hyperfine.json"
    subprocess.run(["hyperfine", "-N", "--warmup", "3", "--runs", "30", "--style", "none", "--export-json", str(out), "sleep 0.2",
                    f"{pipeline} record --out {folder}/h.ndjson -- sleep 0.2"], check=True, stdout=subprocess.DEVNULL)
    plain, recorded = json.loads(out.read_text())["results"]
    return {"plain_ms": plain["median"] * 1e3, "more_ms": (recorded["median"] - plain["median"]) * 1e3}


def gnu_time(pipeline: str, folder: pathlib.Path) -> dict:
    """Peak memory of the largest process of a recording, and of the relay alone: `/usr/bin/time -v`, KiB to MiB."""
    recording = [pipeline, "record", "--out", str(folder / "t.ndjson"), "--samples", "1s", "--", "sleep", "3"]
    said = subprocess.run(["/usr/bin/time", "-v", *recording], capture_output=True, text=True, cwd=folder, check=True).stderr
    return {"peak_mib": int(re.search(r"Maximum resident set size \(kbytes\): (\d+)", said)[1]) / 1024}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pipeline", help="the program; without it, the release build is made")
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    pipeline = measure.program(given.pipeline)
    measure.two_cores()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        (folder / ".gitignore").write_text("*.o\n*.ndjson\n")
        results = {}
        for what, (command, options) in commands(folder).items():
            print(f"measuring: {what}", file=sys.stderr)
            results[what] = pairs(pipeline, command, options, folder, given.rounds)
        others = {}
        if shutil.which("hyperfine"):
            others["hyperfine, a fifth of a second"] = hyperfine(pipeline, folder)
        if os.access("/usr/bin/time", os.X_OK):
            others["/usr/bin/time -v"] = gnu_time(pipeline, folder)
    if given.json:
        print(json.dumps({"pairs": results, "others": others}))
        return
    print(f"{'command':30} {'plain':>9} {'recorded':>9} {'more':>8} {'allowed':>8} {'own CPU':>9} {'of a core':>9} {'peak':>9}")
    for what, r in results.items():
        print(f"{what:30} {r['plain_ms']:6.1f} ms {r['recorded_ms']:6.1f} ms {r['more_ms']:5.1f} ms {r['allowed_ms']:5.1f} ms "
              f"{r['own_cpu_ms']:6.1f} ms {r['own_core_percent']:7.2f} % {r['peak_mib']:5.1f} MiB")
    for what, r in others.items():
        print(f"{what}: " + ", ".join(f"{name} {value:.1f}" for name, value in r.items()))
    if sum(r["more_ms"] > r["allowed_ms"] for r in results.values()):
        sys.exit("more than allowed: is the machine quiet?")


if __name__ == "__main__":
    main()
