"""How the cost of an ingest grows: sending again, a larger lake, a larger dump.

    python3 tests/peers/ingest_scale.py [resend] [lake] [memory] [--pipeline BIN] [--peers DIR] [--json]

resend   the same dump a second time, beside the first
lake     a dump of its own days into a lake of 1, 10 and 30 times the dump's size in other days, new and sent again
memory   peak memory at 0.5, 5 and 20 GB (`--gigabytes`), streamed through a pipe: no such file is made
"""
import argparse
import json
import os
import shutil
import sys
import tempfile

import measure

MONTHS = [10, 8, 7, 5, 3, 1, 12]  # of 31 days: the dump's October fits each of them
BLOCK = 8 << 20


def other_days(dump: str, turn: int):
    """The dump as if it had happened in another month; turn 0 is as it is. Never the same days twice."""
    year, month = 2026 - turn // len(MONTHS), MONTHS[turn % len(MONTHS)]
    if month == 12:
        year -= 1  # not after the dump's own days
    old, new = b'"ts":"2026-10-', b'"ts":"%04d-%02d-' % (year, month)
    with open(dump, "rb") as file:
        while block := file.read(BLOCK):
            block += file.readline()
            yield block.replace(old, new)


def in_all(dump: str, size: int):
    """Other days over and over, up to a size, by whole lines."""
    sent, turn = 0, 0
    while True:
        for block in other_days(dump, turn):
            if sent + len(block) > size:
                yield block[: block.rfind(b"\n", 0, max(0, size - sent)) + 1]
                return
            yield block
            sent += len(block)
        turn += 1


def shown(name: str, report: dict, measured: dict, size: int) -> dict:
    row = {"what": name, "bytes": size} | {k: report[k] for k in ("read", "accepted", "duplicates")} | measured
    print(f"{name}: {size / 1e6:.0f} MB, {row['accepted']} accepted, {row['duplicates']} duplicates, "
          f"{row['seconds']:.2f} s, {row['cpu_seconds']:.1f} CPU s, peak {row['peak_mib']:.0f} MiB", file=sys.stderr)
    return row


def first_and_again(pipeline: str, lake: str, dump: str, name: str) -> list[dict]:
    rows = []
    for turn in ("new", "sent again"):
        measure.warm(dump)
        report, measured = measure.ingest(pipeline, lake, dump)
        if (report["accepted"] == 0) != (turn == "sent again"):
            sys.exit(f"{name}, {turn}: {report}")
        rows.append(shown(f"{name}, {turn}", report, measured, os.path.getsize(dump)))
    return rows


def resend(args, pipeline: str, dump: str, folder: str) -> list[dict]:
    return first_and_again(pipeline, os.path.join(folder, "lake"), dump, "resend")


def lake(args, pipeline: str, dump: str, folder: str) -> list[dict]:
    grown, probe = os.path.join(folder, "grown"), os.path.join(folder, "probe")
    rows, months = [], 0
    for times in sorted(args.times):
        while months < times:
            months += 1
            measure.ingest(pipeline, grown, "-", other_days(dump, months))
        shutil.copytree(grown, probe)
        rows += first_and_again(pipeline, probe, dump, f"lake of {times} times the dump")
        shutil.rmtree(probe)
    return rows


def memory(args, pipeline: str, dump: str, folder: str) -> list[dict]:
    rows = []
    for gigabytes in args.gigabytes:
        target, size = os.path.join(folder, "lake"), int(gigabytes * 1e9)
        report, measured = measure.ingest(pipeline, target, "-", in_all(dump, size))
        rows.append(shown(f"{gigabytes:g} GB through a pipe", report, measured, size))
        shutil.rmtree(target)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="resend, lake, memory; all when none is named")
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--peers", default=str(measure.CHECKOUT.parent / "shared/peers"))
    parser.add_argument("--events", type=int, default=1_000_000, help="of the dump of resend and memory")
    parser.add_argument("--lake-events", type=int, default=200_000, help="of the dump of lake")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 30])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 5, 20])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", help="where dumps and lakes are made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    known = {"resend": resend, "lake": lake, "memory": memory}
    if unknown := [part for part in args.parts if part not in known]:
        parser.error(f"unknown: {', '.join(unknown)}")
    peers = measure.peers_folder(args.peers)
    pipeline = measure.program(args.pipeline)
    measure.two_cores()
    result = {}
    for part in args.parts or known:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            dump = os.path.join(folder, "events.ndjson")
            measure.generate(peers, args.lake_events if part == "lake" else args.events, args.seed, dump)
            result[part] = known[part](args, pipeline, dump, folder)
    if args.json:
        print(json.dumps(result))
        return
    print("| what | MB | accepted | duplicates | s | CPU s | peak MiB |\n| --- | --- | --- | --- | --- | --- | --- |")
    for row in (row for rows in result.values() for row in rows):
        print(f"| {row['what']} | {row['bytes'] / 1e6:.0f} | {row['accepted']} | {row['duplicates']} | "
              f"{row['seconds']:.2f} | {row['cpu_seconds']:.1f} | {row['peak_mib']:.0f} |")


if __name__ == "__main__":
    main()
