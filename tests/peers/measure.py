"""Runs a program and measures it: wall and CPU seconds, peak memory, what it wrote."""
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
THREADS = {"RAYON_NUM_THREADS": "2", "TOKIO_WORKER_THREADS": "2", "OMP_NUM_THREADS": "2"}


def two_cores() -> None:
    """This process and all it starts run on two cores, however many there are."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def program(given: str | None) -> str:
    """The release build of the program: as given, or built now."""
    if given:
        return str(pathlib.Path(given).resolve())
    build = ["cargo", "build", "--release", "-p", "cli", "--message-format=json-render-diagnostics"]
    built = subprocess.run(build, cwd=CHECKOUT, stdout=subprocess.PIPE, check=True).stdout
    messages = [json.loads(line) for line in built.splitlines()]
    return [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "pipeline"][-1]


def warm(path: str) -> None:
    """Reads a file once, so that everybody finds it in the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 24):
            pass


def run(command: list[str], feed=None) -> tuple[dict, dict]:
    """Runs a program that prints one JSON object; `feed` yields the bytes of its standard input."""
    environment = os.environ | THREADS | {"PIPELINE_PSEUDONYM_KEY": "the key of the peers"}
    environment.pop("PIPELINE_LAKE", None)
    began = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                             stdin=subprocess.PIPE if feed else subprocess.DEVNULL)
    feeder = threading.Thread(target=pour, args=(feed, child.stdin)) if feed else None
    if feeder:
        feeder.start()
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if feeder:
        feeder.join()
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {child.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    # Linux counts ru_maxrss in KiB.
    return json.loads(said), {"seconds": seconds, "cpu_seconds": cpu, "peak_mib": usage.ru_maxrss / 1024}


def pour(feed, pipe) -> None:
    try:
        for block in feed:
            pipe.write(block)
        pipe.close()
    except BrokenPipeError:  # its exit code says why
        pass


def ingest(pipeline: str, lake: str, source: str, feed=None) -> tuple[dict, dict]:
    """One `pipeline ingest`: its report and the measures."""
    report, measured = run([pipeline, "--json", "-q", "--progress", "never", "--lake", lake, "ingest", source], feed)
    if report["read"] != report["accepted"] + report["duplicates"] + report["rejected"]:
        sys.exit(f"the counts do not add up: {report}")
    return report, measured


def written(folder: str, below: str = "") -> dict:
    """Bytes and number of the Parquet files."""
    files = list(pathlib.Path(folder, below).rglob("*.parquet"))
    return {"bytes_out": sum(f.stat().st_size for f in files), "files_out": len(files)}


def generate(peers: pathlib.Path, events: int, seed: int, out: str) -> None:
    """The peers' dump of random events: the same for the same seed."""
    command = [sys.executable, str(peers / "generate.py"), "--events", str(events), "--seed", str(seed), "--out", out]
    subprocess.run(command, check=True)


def peers_folder(given: str) -> pathlib.Path:
    """The folder with the peers' `generate.py` and `ingest.py`."""
    folder = pathlib.Path(given)
    if not (folder / "generate.py").exists():
        sys.exit(f"no peers in {folder}: say where they are with --peers")
    return folder.resolve()
