"""`pipeline shadow` on a generated lake: seconds, CPU and peak memory of the first night and of the nights after it.

    python3 tests/peers/shadow_scale.py [--environments 1000] [--days 30] [--minutes 5] [--nights 3] [--errors] [--work DIR] [--pipeline BIN] [--json]

Every environment has one resource with four measures (CPU, memory, disk, network), a sample every five minutes: a working day with
weekends of its own height, noise that remembers, bursts, and for one in five a level that moves one day. The first night ingests
all days but the last ones, materializes and chooses the models of every series; each later night gets one day more. A lake of
1,000 environments and 30 days has 8.6 M samples of four measures and takes about 1 GB; nothing of it is kept. `shadow` reads hours,
so that with `--minutes 60` its own cost is the same, and 10,000 environments fit on a small disk: ingesting and materializing
are then a twelfth.

`--errors` also chooses every series anew in each later night, on the same lake and beside it, and holds both forecasts against the day
that came: what is saved by keeping must not be lost by it.
"""
import argparse
import csv
import datetime as dt
import io
import json
import pathlib
import subprocess
import tempfile

import numpy as np

import measure

START = dt.datetime(2026, 9, 1, tzinfo=dt.timezone.utc)


def dump(environments: int, days: range, seed: int, minutes: int = 5):
    """The usage of some days, a block of bytes for each hour."""
    steps = 60 // minutes
    for day in days:
        chance = np.random.default_rng([seed, day])
        shape = np.random.default_rng(seed)
        height, phase, weekend = shape.gamma(2, .4, environments), shape.uniform(7, 11, environments), shape.uniform(.1, 1, environments)
        moves = np.where(shape.random(environments) < .2, shape.integers(5, 30, environments), 999)
        level = np.where(moves <= day, 2.0, 1.0) * (weekend if (START + dt.timedelta(days=day)).weekday() >= 5 else 1.0)
        memory = shape.uniform(2e8, 4e9, environments)
        drift = chance.normal(0, .1, environments)
        for hour in range(24):
            lines = []
            for step in range(steps):
                at = (START + dt.timedelta(days=day, hours=hour, minutes=minutes * (step + 1))).strftime("%Y-%m-%dT%H:%M:%SZ")
                drift = .9 * drift + chance.normal(0, .08, environments)
                works = np.clip(np.sin((hour + step / steps - phase) / 10 * np.pi), 0, 1)
                burst = (chance.random(environments) < .01) * chance.gamma(2, .5, environments)
                cores = np.maximum(.005, height * level * (.1 + works) * (1 + drift) + burst)
                held = memory * (1 + .3 * works * level + .1 * drift)
                for i, (c, m) in enumerate(zip(cores.tolist(), held.astype(np.int64).tolist())):
                    io = int(c * 3e6)
                    lines.append(f'{{"ts":"{at}","type":"usage","env":"e{i}","resource":"e{i}/web","payload":{{"interval_s":{60 * minutes},"cpu_cores":{c:.4f},'
                                 f'"cpu_limit_cores":8,"memory_bytes":{m},"io_read_bytes":{io},"io_write_bytes":{io // 2},"net_rx_bytes":{io // 3},"net_tx_bytes":{io // 4}}}}}')
            yield ("\n".join(lines) + "\n").encode()


SAID = "select resource_id, at, predicted_state['cpu_cores'] as cpu, predicted_state['memory_bytes'] as memory from predictions.shadow_inventory"
CAME = "select resource, hour, cpu_cores, memory_bytes from features.resource_hours where hour >= timestamp '{day}'"


def rows(program: list[str], sql: str) -> dict:
    """CPU and memory by resource and hour."""
    text = subprocess.run([*program, "sql", sql, "--format", "csv"], capture_output=True, text=True, check=True).stdout
    return {tuple(row[:2]): [float(value) for value in row[2:]] for row in list(csv.reader(io.StringIO(text)))[1:]}


def error(said: dict, came: dict) -> list[float]:
    """Mean absolute error of CPU and memory, each resource in the unit of its mean use."""
    missed, used = {}, {}
    for key, values in came.items():
        if key in said:
            missed.setdefault(key[0], []).append(np.abs(np.subtract(said[key], values)))
            used.setdefault(key[0], []).append(values)
    return np.mean([np.mean(missed[name], 0) / np.mean(used[name], 0) for name in missed], 0).tolist()


def nights(a: argparse.Namespace, pipeline: str, folder: pathlib.Path) -> dict:
    lake = str(folder / "lake")
    program = [pipeline, "--lake", lake, "--json", "-q", "--progress", "never"]
    first = a.days - a.nights + 1
    found = {"environments": a.environments, "days": a.days, "samples": a.environments * a.days * (1440 // a.minutes) * 4, "nights": []}
    choices, waiting = folder / "lake/models/shadow/choices.json", {}
    for night in range(a.nights):
        days = range(first) if night == 0 else range(first + night - 1, first + night)
        now = ["--now", (START + dt.timedelta(days=days.stop)).isoformat()]
        _, ingest = measure.run([*program, *now, "ingest", "-"], feed=dump(a.environments, days, a.seed, a.minutes))
        _, tables = measure.run([*program, *now, "materialize"])
        if waiting:
            came = rows([pipeline, "--lake", lake, *now], CAME.format(day=(START + dt.timedelta(days=days.start)).strftime("%Y-%m-%d %H:%M:%S")))
            found["nights"][-1]["errors"] = {how: error(said, came) for how, said in waiting.items()}
        summary, shadow = measure.run([*program, *now, "shadow"])
        if a.errors and night > 0:
            waiting = {"kept": rows([pipeline, "--lake", lake, *now], SAID)}
            kept = choices.read_bytes()
            measure.run([*program, *now, "shadow", "--reselect"])
            waiting["chosen anew"] = rows([pipeline, "--lake", lake, *now], SAID)
            choices.write_bytes(kept)
        found["nights"].append({"ingest": ingest, "materialize": tables, "shadow": shadow, "kept": summary["kept"],
                                "series": summary["series"], "mase": summary["mase"], "mase_seasonal_naive": summary["mase_seasonal_naive"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--minutes", type=int, default=5, help="between two samples; divides an hour")
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--errors", action="store_true", help="also choose anew in every later night, and compare the errors")
    parser.add_argument("--work", help="where the lake is made and removed again")
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    measure.two_cores()
    pipeline = measure.program(a.pipeline)
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        found = nights(a, pipeline, pathlib.Path(folder))
    if a.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['environments']} environments, {found['samples'] / 1e6:.1f} M samples on {found['days']} days\n")
    print("| night | step | s | CPU s | peak MiB | series kept |\n|---|---|---|---|---|---|")
    for number, night in enumerate(found["nights"], 1):
        for step in ("ingest", "materialize", "shadow"):
            kept = f"{night['kept']} of {night['series']}" if step == "shadow" else ""
            print(f"| {number} | {step} | {night[step]['seconds']:.1f} | {night[step]['cpu_seconds']:.1f} | {night[step]['peak_mib']:.0f} | {kept} |")
    for number, night in enumerate(found["nights"], 1):
        for how, (cpu, memory) in night.get("errors", {}).items():
            print(f"night {number}, {how}: error of the next day {cpu:.4f} (CPU), {memory:.4f} (memory) of mean use")


if __name__ == "__main__":
    main()
