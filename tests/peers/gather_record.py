"""Records real process trees and the machine at one sample a second, for the replay of `gather.py`.

    python3 tests/peers/gather_record.py --seconds 4500 --day 300 -o recording.parquet

Nine process trees do real work: compile C, run Python's compiler over its library, pack a folder, keep a SQLite database, answer HTTP
requests, fill and drop a cache, parse sources, aggregate a table, or next to nothing. What they do when follows a day of
`--day` seconds: working hours, a nightly job, weekends; how long it takes, and how much of the machine is left to it, is
real. The tenth resource is the machine itself, with whatever else runs on it.

Columns: resource, second (from the start), cpu_ms (used in that second), memory_kib (of the tree, at its end).
"""
import argparse
import ast
import http.client
import http.server
import math
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time

LIBRARY = pathlib.Path(sysconfig.get_paths()["stdlib"])
TICK = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Day:
    """The clock of a workload: what hour of which day it is."""

    def __init__(self, start: float, seconds: float) -> None:
        self.start, self.seconds = start, seconds

    def hour(self) -> float:
        return (time.monotonic() - self.start) / self.seconds * 24 % 24

    def number(self) -> int:
        return int((time.monotonic() - self.start) / self.seconds)

    def works(self) -> bool:
        hour = self.hour()
        return self.number() % 7 < 5 and (9 <= hour < 12.5 or 13.5 <= hour < 18)

    def until(self, hour: float) -> None:
        """Sleeps until it is that hour."""
        time.sleep((hour - self.hour()) % 24 / 24 * self.seconds)

    def rest(self, hours: float) -> None:
        time.sleep(hours / 24 * self.seconds)


def build(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """A compile now and then in working hours, of two files at once when it is a large one."""
    def source(functions: int) -> str:
        return "".join(f"int f{i}(int a,int b){{int s=0;for(int j=0;j<a;j++){{s+=(j*{i}+b)%(j+{i + 3});if(s&{i + 1})s^=b<<3;}}return s;}}\n"
                       for i in range(functions))
    while True:
        if day.works() and chance.random() < .35:
            jobs = []
            for part in range(chance.choice([1, 1, 2])):
                (folder / f"{part}.c").write_text(source(chance.randint(300, 2500)))
                jobs.append(subprocess.Popen(["gcc", "-O2", "-c", f"{part}.c", "-o", f"{part}.o"], cwd=folder))
            for job in jobs:
                job.wait()
        day.rest(chance.uniform(.5, 1.2))


def test(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """The same suite every two working hours."""
    suite = ["json", "email", "http", "xml", "concurrent", "unittest", "importlib"]
    while True:
        if day.works():
            for part in suite[:chance.randint(3, len(suite))]:
                subprocess.run([sys.executable, "-c", f"import compileall; compileall.compile_dir({str(LIBRARY / part)!r}, force=True, quiet=1, "
                                f"stripdir={str(LIBRARY)!r}, legacy=False, invalidation_mode=None)"], env=os.environ | {"PYTHONPYCACHEPREFIX": str(folder)})
        day.rest(2)


def nightly(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """A backup at two in the morning."""
    while True:
        day.until(2)
        packed = folder / "backup.tar.xz"
        subprocess.run(["tar", "cJf", packed, "-C", LIBRARY, *(["json", "email", "asyncio", "unittest"][:chance.randint(2, 4)])], check=True)
        day.rest(1)


def database(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """Small writes all the time, and a clean-up every hour."""
    base = sqlite3.connect(folder / "base.db")
    base.execute("create table t (a integer, b text)")
    last = -1
    while True:
        n = 600 if day.works() else 60
        base.executemany("insert into t values (?, ?)", ((chance.random(), "x" * 80) for _ in range(n)))
        base.commit()
        if int(day.hour()) != last:
            last = int(day.hour())
            base.execute("delete from t where rowid < (select max(rowid) - 40000 from t)")
            base.execute("select count(distinct a) from t").fetchone()
            base.commit()
            base.execute("vacuum")
        time.sleep(.2)


def web(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """A server and its clients: most of them in the afternoon, a rush now and then."""
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = str(sum(math.sqrt(i) for i in range(4000))).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rush = 0.0
    while True:
        rate = 12 + 40 * max(0.0, math.sin((day.hour() - 8) / 12 * math.pi))
        if chance.random() < .004:
            rush = time.monotonic() + chance.uniform(2, 8)
        if time.monotonic() < rush:
            rate *= 4
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1])
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        time.sleep(chance.expovariate(rate))


def cache(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """Grows while people work, and is dropped at midnight."""
    held, number = [], day.number()
    while True:
        if day.works():
            held.append(os.urandom(chance.randint(1, 5) << 18))
        if day.number() != number:
            held, number = [], day.number()
        day.rest(.1)


def lint(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """Parses what was saved, whenever somebody saves."""
    files = sorted(LIBRARY.glob("*.py"))
    while True:
        if day.works() and chance.random() < .3:
            for file in chance.sample(files, chance.choice([5, 10, 60])):
                ast.parse(file.read_bytes())
        day.rest(chance.expovariate(4))


def report(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    """Two reports a day, at nine and at five, each a process with a table in memory."""
    made = ("import numpy as n; g = n.random.default_rng(1); k = g.integers(0, 9999, {rows}); v = g.random({rows}); "
            "o = n.argsort(k, kind='stable'); print(n.add.reduceat(v[o], n.unique(k[o], return_index=True)[1])[:1])")
    while True:
        for hour in (9, 17):
            day.until(hour + chance.uniform(-.3, .3))
            rows = chance.randint(3, 9) * 1_000_000
            subprocess.run([sys.executable, "-c", made.format(rows=rows)], stdout=subprocess.DEVNULL)


def idle(day: Day, chance: random.Random, folder: pathlib.Path) -> None:
    while True:
        list(folder.iterdir())
        time.sleep(1)


WORK = {f.__name__: f for f in (build, test, nightly, database, web, cache, lint, report, idle)}


def usage() -> dict[int, tuple[int, int, int]]:
    """Of every process: its parent, the ticks it and its children that ended have used, and its pages."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
            continue
        found[int(entry)] = (int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]))
    return found


def of_trees(roots: dict[str, int]) -> dict[str, tuple[float, int]]:
    """CPU milliseconds so far and KiB of each tree."""
    found, owner = usage(), {pid: name for name, pid in roots.items()}

    def tree(pid: int) -> str | None:
        path = []
        while pid in found and pid not in owner and pid > 1:
            path.append(pid)
            pid = found[pid][0]
        name = owner.get(pid)
        owner.update(dict.fromkeys(path, name))
        return name

    sums = {name: [0, 0] for name in roots}
    for pid, (_, ticks, pages) in found.items():
        name = tree(pid)
        if name is not None:
            sums[name][0] += ticks
            sums[name][1] += pages
    return {name: (ticks * 1000 / TICK, pages * PAGE_KIB) for name, (ticks, pages) in sums.items()}


def of_machine() -> tuple[float, int]:
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, file.readline().split()[1:])
    memory = {line.split(":")[0]: int(line.split()[1]) for line in open("/proc/meminfo")}
    return (user + nice + system + irq + softirq) * 1000 / TICK, memory["MemTotal"] - memory["MemAvailable"]


def record(seconds: int, day: float, seed: int, out: pathlib.Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what was recorded until then is kept
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        workers = {}
        for number, name in enumerate(WORK):
            folder = pathlib.Path(scratch, name)
            folder.mkdir()
            command = [sys.executable, __file__, "--play", name, "--day", str(day), "--seed", str(seed + number), "--start", str(start), "-o", str(folder)]
            workers[name] = subprocess.Popen(command, start_new_session=True)
        roots = {name: worker.pid for name, worker in workers.items()}
        rows, before, last = [], None, start
        try:
            for second in range(seconds + 1):
                time.sleep(max(0.0, start + second + 1 - time.monotonic()))
                now = of_trees(roots) | {"machine": of_machine()}
                took, last = time.monotonic() - last, time.monotonic()
                if before:
                    # Reaped children count a moment later with their parent: never negative.
                    rows += [(name, second - 1, max(0.0, now[name][0] - before[name][0]) / took, now[name][1]) for name in now]
                before = now
        finally:
            for worker in workers.values():
                os.killpg(worker.pid, signal.SIGTERM)
                worker.wait()
            resource, at, cpu, memory = zip(*sorted(rows)) if rows else ((), (), (), ())
            table = pa.table({"resource": pa.array(resource), "second": pa.array(at, pa.int32()),
                              "cpu_ms": pa.array([round(value) for value in cpu], pa.int32()), "memory_kib": pa.array(memory, pa.int32())})
            table = table.replace_schema_metadata({"day_seconds": str(day), "seed": str(seed)})
            pq.write_table(table, out, compression="zstd", compression_level=19)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4500)
    parser.add_argument("--day", type=float, default=300, help="seconds that stand for a day")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--play", choices=sorted(WORK), help=argparse.SUPPRESS)
    parser.add_argument("--start", type=float, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.play:
        WORK[a.play](Day(a.start, a.day), random.Random(a.seed), a.output)
    else:
        record(a.seconds, a.day, a.seed, a.output)


if __name__ == "__main__":
    main()
