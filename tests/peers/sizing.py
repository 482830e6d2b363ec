"""Sizing policies beside `pipeline backtest --frontier`, on the same machines and days.

    python3 tests/peers/sizing.py [--data DIR] [--peers DIR] [--pipeline BIN] [--work DIR] [--json]

The public machines become `usage` events (`to_events.py` of the peers), go into a new lake, and are replayed by the product:
all machines, and each half of them alone. Beside them are the same policies as `sizing.py`
of the peers computes them, which shows that both replay the same protocol.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import measure

# The policies of the peers' script, as `backtest` names them.
PEERS = {"krr": "krr", "vpa": "vpa", "ci_sizer_like": "ci-sizer-like", "static_provisioned": "static"}
# How much less CPU slack is wanted at the policy's own throttled share.
BARS = {"krr": 0.010, "vpa": 0.025, "ci-sizer-like": 0.035}
MEMORY = {"slack": 0.857, "days": 20.0}
# The machines of each part, by their number.
PARTS = {"all": lambda n: True, "half": lambda n: n // 2 % 2 == 0, "other half": lambda n: n // 2 % 2 == 1}
ENV = b'"env":"vm-'


def choose(source: pathlib.Path, target: pathlib.Path, wanted) -> pathlib.Path:
    """The events of some machines."""
    with source.open("rb") as events, target.open("wb") as chosen:
        chosen.writelines(line for line in events if wanted(int(line.split(ENV, 1)[1].split(b'"', 1)[0])))
    return target


def frontier(pipeline: str, events: pathlib.Path, folder: pathlib.Path) -> dict:
    base = [pipeline, "--json", "-q", "--progress", "never", "--lake", str(folder)]
    measure.run([*base, "ingest", str(events)])
    measure.run([*base, "materialize"])
    ask = [*base, "backtest", "--frontier", "--policy", "krr,vpa,ci-sizer,static"]
    result, process = measure.run(ask)
    return {**result, "process": process}


def compare(pipeline: str, peers: pathlib.Path, data: pathlib.Path, folder: pathlib.Path) -> dict:
    python = sys.executable
    subprocess.run([python, str(peers / "to_events.py"), "--data", str(data), "--out", str(folder), "--vms", "1000"],
                   check=True, stdout=subprocess.DEVNULL)
    said = subprocess.run([python, str(peers / "sizing.py"), "--data", str(data)], check=True, stdout=subprocess.PIPE)
    theirs = json.loads(said.stdout)["policies"]
    usage = folder / "bitbrains_usage.ndjson"
    results = {}
    for name, wanted in PARTS.items():
        events = choose(usage, folder / "events.ndjson", wanted)
        results[name] = frontier(pipeline, events, folder / f"lake {name}")
    beside = {row["policy"]: row for row in results["all"]["beside"]}
    same = {ours: abs(beside[ours]["cpu_slack"] - theirs[name]["cpu_slack_weighted"]) < 0.002
            and abs(beside[ours]["throttled_rate"] - theirs[name]["cpu_throttled_sample_share"]) < 0.001
            for name, ours in PEERS.items()}
    met = {name: {row["policy"]: row["difference"] is not None and -row["difference"] >= BARS[row["policy"]]
                  for row in result["beside"] if row["policy"] in BARS} for name, result in results.items()}
    memory = results["all"]["frontier"][0]
    return {"machines": results, "same_protocol": same, "bars_met": met,
            "memory_met": memory["memory_slack"] <= MEMORY["slack"] and memory["oom_days_per_1000"] <= MEMORY["days"]}


def figures(row: dict) -> str:
    return (f"{row['throttled_rate']:.4f} | {row['cpu_slack']:.3f} | {row['memory_slack']:.3f} | "
            f"{row['oom_days_per_1000']:.1f}")


def table(result: dict) -> str:
    lines = ["| machines | policy | throttled | CPU slack | ours there | difference, 90 % by machine | bar |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, found in result["machines"].items():
        for row in found["beside"]:
            bar = BARS.get(row["policy"])
            interval = "" if row["interval"] is None else " ({:+.3f} to {:+.3f})".format(*row["interval"])
            ours = "" if row["ours_cpu_slack"] is None else "{:.3f}".format(row["ours_cpu_slack"])
            difference = "" if row["difference"] is None else "{:+.3f}".format(row["difference"]) + interval
            lines.append(f"| {name} | {row['policy']} | {row['throttled_rate']:.4f} | {row['cpu_slack']:.3f} | {ours} | "
                         f"{difference} | {'' if bar is None else f'-{bar:.3f}'} |")
    lines += ["", "| --risk | throttled | CPU slack | memory slack | OOM days / 1000 | changes / month |",
              "| --- | --- | --- | --- | --- | --- |"]
    for row in result["machines"]["all"]["frontier"]:
        lines.append(f"| {row['risk']:.3f} | {figures(row)} | {row['changes_per_month']:.1f} |")
    lines += ["", f"With calendars (memory bar: {MEMORY['slack']:.3f} at {MEMORY['days']:.0f} days):", "",
              "| machines | --risk | throttled | CPU slack | memory slack | OOM days / 1000 | switches / month | machines with one |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for name, found in result["machines"].items():
        for row in found["frontier"]:
            calendar = row["calendar"]
            lines.append(f"| {name} | {row['risk']:.3f} | {figures(calendar)} | {calendar['switches_per_month']:.1f} | "
                         f"{calendar['resources']} |")
    lines += ["", f"Same protocol as the peers' script: {result['same_protocol']}. Memory bar met: {result['memory_met']}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--peers", default=str(measure.CHECKOUT.parent / "shared/peers"))
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"))
    parser.add_argument("--work", help="where lakes are made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    peers = measure.peers_folder(args.peers)
    pipeline = measure.program(args.pipeline)
    measure.two_cores()
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        result = compare(pipeline, peers, pathlib.Path(args.data).resolve(), pathlib.Path(folder))
    print(json.dumps(result) if args.json else table(result))


if __name__ == "__main__":
    main()
