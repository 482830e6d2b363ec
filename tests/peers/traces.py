"""What traces cost, beside DuckDB's window query over events that are linked already.

    python3 tests/peers/traces.py [window] [nights] [history] [tables] [runs] [--pipeline BIN] [--peers DIR] [--json]

window   seq for linked events, read from one Parquet file and written as zstd Parquet in the order of seq by both;
         and beside it the whole rebuild of `traces.events`, with linking and commit
nights   the same night into a lake with 1, 10 and 30 times the history: what `materialize` costs
history  the tables of the traces made whole, of 2 million events and of 25 times as many: what they hold in memory
tables   all tables of 2 million events from nothing, then nights of 7 events and of a day's, beside DuckDB's same selects
runs     all tables of a third of the public CI runs, a few a day over years, beside DuckDB's same selects
"""
import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile

import ingest_scale
import measure

COLUMNS = ("trace_id, pr_id, event_id, ts, type, link_rule, repo, branch, developer, env, resource, session, context, "
           "payload")
WINDOW = (f"select {COLUMNS}, row_number() over (partition by pr_id order by ts, type, event_id) as seq "
          "from '{linked}' order by pr_id, seq")

DUCKDB = """
import sys, json, duckdb
linked, out, query = sys.argv[1:]
db = duckdb.connect(config={"threads": 2})
db.execute("set enable_progress_bar = false")
db.execute(f"copy ({query}) to '{out}' (format parquet, compression zstd)")
print(json.dumps({"rows": db.execute(f"select count(*) from '{out}'").fetchone()[0]}))
"""

SHUFFLE = """
import sys, json, duckdb
lake, columns, out = sys.argv[1:]
db = duckdb.connect()
db.execute("set enable_progress_bar = false")
db.execute(f"copy (select {columns} from read_parquet('{lake}/traces/events/*/*.parquet', union_by_name = true) "
           f"order by hash(event_id)) to '{out}' (format parquet, compression zstd)")
print(json.dumps({"rows": db.execute(f"select count(*) from '{out}'").fetchone()[0]}))
"""


def ours(pipeline: str, lake: str, *arguments: str) -> tuple[dict, dict]:
    return measure.run([pipeline, "--json", "-q", "--progress", "never", "--lake", lake, *arguments])


def same(one: str, other: str) -> bool:
    import duckdb
    query = "select count(*), sum(hash(pr_id, seq, event_id, payload)::hugeint) from '{}'"
    return duckdb.sql(query.format(one)).fetchall() == duckdb.sql(query.format(other)).fetchall()


def window(args, pipeline: str, peers, folder: str) -> list[dict]:
    dump, lake, linked = (os.path.join(folder, name) for name in ("events.ndjson", "lake", "linked.parquet"))
    measure.generate(peers, args.events, args.seed, dump)
    measure.ingest(pipeline, lake, dump)
    ours(pipeline, lake, "materialize", "traces.events")
    measure.run([sys.executable, "-c", SHUFFLE, lake, COLUMNS, linked])
    query = WINDOW.format(linked=linked)
    mine, theirs = os.path.join(folder, "ours.parquet"), os.path.join(folder, "duckdb.parquet")
    work = {
        "pipeline, window": lambda: ours(pipeline, lake, "sql", "--allow-files", query, "--format", "parquet", "-o", mine),
        "pipeline, whole rebuild": lambda: ours(pipeline, lake, "materialize", "traces.events", "--full-refresh"),
        "DuckDB, window": lambda: measure.run([sys.executable, "-c", DUCKDB, linked, theirs, query]),
    }
    rows: dict[str, list[dict]] = {name: [] for name in work}
    for turn in range(args.rounds):
        for name in list(work) if turn % 2 == 0 else reversed(list(work)):
            measure.warm(linked)
            rows[name].append(work[name]()[1])
    if not same(mine, theirs):
        sys.exit("the two results differ")
    best = statistics.median(row["seconds"] for row in rows["DuckDB, window"])
    return [median(name, found) | {"times_duckdb": best / statistics.median(r["seconds"] for r in found)}
            for name, found in rows.items()]


def other_month(dump: str, turn: int):
    """The dump in another month and with other pull requests: a history, not the same traces grown longer."""
    for block in ingest_scale.other_days(dump, turn):
        yield re.sub(rb'"pr":(\d+)', lambda m: b'"pr":%d' % (int(m[1]) + 1000 * turn), block)


def nights(args, pipeline: str, peers, folder: str) -> list[dict]:
    dump, night, grown = (os.path.join(folder, name) for name in ("events.ndjson", "night.ndjson", "grown"))
    measure.generate(peers, args.night_events, args.seed, dump)
    # The last day of the dump is the night; the lake has the days before it, and other months.
    with open(dump) as file:
        lines = file.readlines()
    last = max(line[7:17] for line in lines)
    new = [line for line in lines if line[7:17] == last]
    with open(night, "w") as file:
        file.writelines(new)
    with open(dump, "w") as file:
        file.writelines(line for line in lines if line[7:17] != last)
    measure.ingest(pipeline, grown, dump)
    rows, months = [], 1
    for times in sorted(args.times):
        while months < times:
            measure.ingest(pipeline, grown, "-", other_month(dump, months))
            months += 1
        ours(pipeline, grown, "materialize")
        found = []
        for _ in range(args.rounds):
            probe = os.path.join(folder, "probe")
            shutil.copytree(grown, probe)
            measure.ingest(pipeline, probe, night)
            built, measured = ours(pipeline, probe, "materialize")
            if any("first build" in table["why"] for table in built["tables"]):
                sys.exit(f"not a night: {built}")
            found.append(measured)
            shutil.rmtree(probe)
        rows.append(median(f"a night of {len(new)} events, history {times} x {len(lines)}", found))
    for row in rows:
        row["times_first"] = row["seconds"] / rows[0]["seconds"]
    return rows


def history(args, pipeline: str, peers, folder: str) -> list[dict]:
    dump, lake = os.path.join(folder, "events.ndjson"), os.path.join(folder, "lake")
    measure.generate(peers, args.events, args.seed, dump)
    measure.ingest(pipeline, lake, dump)
    rows, months = [], 1
    for times in (1, args.history):
        while months < times:
            measure.ingest(pipeline, lake, "-", other_month(dump, months))
            months += 1
        found = ours(pipeline, lake, "materialize", "traces.events", "--full-refresh")[1]
        rows.append(median(f"traces made whole, {times} x {args.events} events", [found]))
    for row in rows:
        row["times_first"] = row["seconds"] / rows[0]["seconds"]
    return rows


def duckdb_tables(lake: str, out: str) -> dict:
    return measure.run([sys.executable, str(measure.CHECKOUT / "tests/peers/duckdb_tables.py"), lake, out])[1]


def from_nothing(args, pipeline: str, folder: str, lake: str, what: str) -> list[dict]:
    """All tables, each round from a lake that has only events; the last one is left in `built`."""
    mine, theirs = [], []
    built = os.path.join(folder, "built")
    for turn in range(args.rounds):
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(lake, built)
        mine.append(ours(pipeline, built, "materialize")[1])
        out = os.path.join(folder, f"duckdb{turn}")
        theirs.append(duckdb_tables(lake, out))
        shutil.rmtree(out)
    best = statistics.median(row["seconds"] for row in theirs)
    rows = [median(f"pipeline, {what}", mine), median(f"DuckDB, {what}", theirs)]
    return [row | {"times_duckdb": best / row["seconds"]} for row in rows]


def tables(args, pipeline: str, peers, folder: str) -> list[dict]:
    dump, lake = os.path.join(folder, "events.ndjson"), os.path.join(folder, "lake")
    measure.generate(peers, args.events, args.seed, dump)
    measure.ingest(pipeline, lake, dump)
    rows = from_nothing(args, pipeline, folder, lake, f"all tables of {args.events} events")
    with open(dump) as file:
        last = [line for line in file if line[7:17] == "2026-10-30"]
    few = [line.replace('"session":"s', '"session":"night') for line in last[:: max(1, len(last) // 7)][:7]]
    day = [line.replace("2026-10-30T", "2026-10-31T") for line in last]
    for name, new in (("a night of 7 events", few), ("a night of a day's events", day)):
        found = []
        for _ in range(args.rounds):
            probe, night = os.path.join(folder, "probe"), os.path.join(folder, "night.ndjson")
            shutil.copytree(os.path.join(folder, "built"), probe)
            with open(night, "w") as file:
                file.writelines(new)
            measure.ingest(pipeline, probe, night)
            found.append(ours(pipeline, probe, "materialize")[1])
            shutil.rmtree(probe)
        rows.append(median(f"{name} ({len(new)}) on that month", found))
    return rows


def runs(args, pipeline: str, peers, folder: str) -> list[dict]:
    lake, dump = os.path.join(folder, "lake"), os.path.join(folder, "runs.ndjson")
    convert = [sys.executable, str(peers / "to_events.py"), "--data", args.data, "--out", folder]
    measure.subprocess.run(convert, check=True, stdout=measure.subprocess.DEVNULL)
    with open(os.path.join(folder, "travis_ci_runs.ndjson")) as file, open(dump, "w") as out:
        third = file.readlines()[::3]
        out.writelines(third)
    measure.ingest(pipeline, lake, dump)
    days = len({line[7:17] for line in third})
    return from_nothing(args, pipeline, folder, lake, f"all tables of {len(third)} CI runs on {days} days")


def median(name: str, found: list[dict]) -> dict:
    return {"what": name} | {key: statistics.median(row[key] for row in found) for key in found[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="window, nights, history, tables, runs; all when none is named")
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--peers", default=str(measure.CHECKOUT.parent / "shared/peers"))
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"), help="the public records, of `runs`")
    parser.add_argument("--events", type=int, default=2_000_000, help="of the window and the tables")
    parser.add_argument("--night-events", type=int, default=300_000, help="of a month of which the last day is the night")
    parser.add_argument("--history", type=int, default=25, help="times the events of the window")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 30])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", help="where dumps and lakes are made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    known = {"window": window, "nights": nights, "history": history, "tables": tables, "runs": runs}
    if unknown := [part for part in args.parts if part not in known]:
        parser.error(f"unknown: {', '.join(unknown)}")
    peers = measure.peers_folder(args.peers)
    pipeline = measure.program(args.pipeline)
    measure.two_cores()
    result = {}
    for part in args.parts or known:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            result[part] = known[part](args, pipeline, peers, folder)
    if args.json:
        print(json.dumps(result))
        return
    print("| what | s | CPU s | peak MiB | speed, DuckDB = 1 | cost, first = 1 |\n| --- | --- | --- | --- | --- | --- |")
    for row in (row for rows in result.values() for row in rows):
        speed, cost = (f"{row[key]:.2f}" if key in row else "" for key in ("times_duckdb", "times_first"))
        print(f"| {row['what']} | {row['seconds']:.2f} | {row['cpu_seconds']:.1f} | {row['peak_mib']:.0f} | {speed} | {cost} |")


if __name__ == "__main__":
    main()
