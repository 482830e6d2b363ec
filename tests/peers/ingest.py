"""`pipeline ingest` beside other engines: same machine, same file, two cores, in pairs of alternating order, medians.

    python3 tests/peers/ingest.py [--pipeline BIN] [--peers DIR] [--rounds 5] [--events 2000000] [--json]

Each pair takes the same dump from a warm page cache into a new folder: ours, then the peer, and the next time the other
way round. A ratio is ours / peer within a pair; the median of the pairs is told. Seconds are a peer's own count, without
the start of Python, and the whole process for ours, so what is unequal is in the peer's favour.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile

import measure

WORK = {
    "duckdb": "typed, hashed, deduplicated",
    "duckdb_json": "payload as JSON text, hashed, deduplicated",
    "polars": "typed, no hash, no deduplication",
    "chdb": "payload as text, hashed, no deduplication",
}
NUMBERS = ["seconds", "mb_per_s", "cpu_seconds", "peak_mib", "bytes_out", "files_out"]


def ours(pipeline: str, dump: str, out: str, events: int) -> dict:
    report, measured = measure.ingest(pipeline, out, dump)
    if report["read"] != events or report["rejected"] > 0:
        sys.exit(f"not the work that was meant: {report}")
    speed = {"mb_per_s": os.path.getsize(dump) / measured["seconds"] / 1e6}
    return measured | speed | measure.written(out, "staging/events")


def peer(script: str, engine: str, dump: str, out: str) -> dict:
    said, _ = measure.run([sys.executable, script, engine, dump, out])
    return {name: said[name] for name in NUMBERS}


def median(runs: list[dict]) -> dict:
    return {name: statistics.median(run[name] for run in runs) for name in NUMBERS}


def table(result: dict) -> str:
    head = ["engine", "work", "s", "MB/s", "CPU s", "peak MiB", "MB out", "files"]
    rows = [head]
    for name, run in [("pipeline", result["pipeline"]), *result["peers"].items()]:
        work = WORK.get(name, "typed, hashed, deduplicated, masked, pseudonymised")
        rows.append([name, work, f"{run['seconds']:.2f}", f"{run['mb_per_s']:.1f}", f"{run['cpu_seconds']:.1f}",
                     f"{run['peak_mib']:.0f}", f"{run['bytes_out'] / 1e6:.1f}", f"{run['files_out']:.0f}"])
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, " | ".join("---" for _ in head))
    lines += ["", "ours / peer | speed | lowest and highest pair | CPU | peak memory", "--- | --- | --- | --- | ---"]
    for name, ratio in result["ratios"].items():
        speeds = ratio["speed_pairs"]
        lines.append(f"{name} | {ratio['speed']:.2f} | {min(speeds):.2f} to {max(speeds):.2f} | {ratio['cpu']:.2f} | "
                     f"{ratio['peak']:.2f}")
    return "\n".join(f"| {line} |" if line else "" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--peers", default=str(measure.CHECKOUT.parent / "shared/peers"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--engine", action="append", choices=WORK, help="only this peer; may be repeated")
    parser.add_argument("--work", help="where the dump and the lakes are made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    peers = measure.peers_folder(args.peers)
    pipeline = measure.program(args.pipeline)
    measure.two_cores()
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        dump = os.path.join(folder, "events.ndjson")
        measure.generate(peers, args.events, args.seed, dump)
        engines = args.engine or list(WORK)
        pairs: dict[str, list[tuple[dict, dict]]] = {engine: [] for engine in engines}

        def fresh(run) -> dict:
            out = os.path.join(folder, "out")
            shutil.rmtree(out, ignore_errors=True)
            measure.warm(dump)
            return run(out)

        for turn in range(args.rounds):
            for engine in engines:
                us = lambda: fresh(lambda out: ours(pipeline, dump, out, args.events))
                them = lambda: fresh(lambda out: peer(str(peers / "ingest.py"), engine, dump, out))
                if turn % 2 == 0:
                    one, other = us(), them()
                else:
                    other, one = them(), us()
                pairs[engine].append((one, other))
                print(f"round {turn + 1}, {engine}: {one['mb_per_s']:.0f} beside {other['mb_per_s']:.0f} MB/s",
                      file=sys.stderr)

        def ratio(engine: str, number: str) -> list[float]:
            return [one[number] / other[number] for one, other in pairs[engine]]

        result = {
            "events": args.events, "bytes": os.path.getsize(dump), "rounds": args.rounds, "seed": args.seed,
            "pipeline": median([one for runs in pairs.values() for one, _ in runs]),
            "peers": {engine: median([other for _, other in runs]) for engine, runs in pairs.items()},
            "ratios": {engine: {"speed": statistics.median(ratio(engine, "mb_per_s")),
                                "speed_pairs": ratio(engine, "mb_per_s"),
                                "cpu": statistics.median(ratio(engine, "cpu_seconds")),
                                "peak": statistics.median(ratio(engine, "peak_mib"))} for engine in engines},
        }
    print(json.dumps(result) if args.json else table(result))


if __name__ == "__main__":
    main()
