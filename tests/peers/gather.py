"""The gather plan against uniform sampling, by replay of a recording at one sample a second: who finds the peaks of the days?

    python3 tests/peers/gather.py [--recording F.parquet ...] [--pipeline BIN] [--json]

`gather_record.py` makes recordings; the one beside the samples (`data-samples/gather/trees.parquet`) is replayed when none is given.
A day of the recording is short (300 s), and is told to the program as a day: moments are stretched, intervals between samples
are not. The first two days are sampled uniformly. At every midnight after them the samples so far are ingested, `pipeline shadow
--gather-plan` writes the plan, and the next day is sampled by it, so that the program knows only what it gathered itself. A sample
tells the mean cores since the one before and the memory of that second, as a collector without a kernel to look at would.

The error of a day's peak is 1 - the largest sample / the largest second, of both figures of every resource and day (a day that
never takes 0.05 cores, five ticks of the kernel's clock in a second, has no peak that a recording resolves); its mean is held against uniform sampling with as many samples (the same interval for all), and the samples against those that uniform
sampling needs for the same error.
"""
import argparse
import datetime as dt
import json
import pathlib
import tempfile

import numpy as np
import pyarrow.parquet as pq

import measure

UNIFORM_DAYS, UNIFORM_S = 2, 17.0
RESOLVED_CORES = .05
START = dt.datetime(2026, 10, 5, tzinfo=dt.timezone.utc)
RECORDED = measure.CHECKOUT / "data-samples/gather/trees.parquet"


class Recording:
    """Cores and bytes of every resource and second, in whole days."""

    def __init__(self, path: pathlib.Path) -> None:
        table = pq.read_table(path)
        self.day = int(float(table.schema.metadata[b"day_seconds"]))
        rows = table.to_pydict()
        seconds = {}
        for name, second, cpu, memory in zip(*(rows[c] for c in ("resource", "second", "cpu_ms", "memory_kib"))):
            seconds.setdefault(name, {})[second] = (cpu / 1000, memory * 1024.0)
        self.days = min(len(of) for of in seconds.values()) // self.day
        shape = (self.days, self.day, 2)
        self.values = {name: np.array([of[i] for i in range(self.days * self.day)]).reshape(shape) for name, of in sorted(seconds.items())}

    def moment(self, day: int, second: float) -> dt.datetime:
        return START + dt.timedelta(days=day + second / self.day)

    def second(self, day: int, moment: str) -> float:
        """Of the day, before its begin below 0."""
        at = dt.datetime.fromisoformat(moment)
        return ((at - START).total_seconds() / 86400 - day) * self.day


def sample(values: np.ndarray, pace) -> list[tuple[int, float, float]]:
    """One day of one resource: when, mean cores since the sample before, bytes. `pace` says how long to wait, each second anew, as
    the collector asks: a window that begins does not wait for the end of a long interval."""
    taken, last, said = [], 0, (None, None)
    summed = np.concatenate([[0.0], np.cumsum(values[:, 0])])
    due = pace(0, said)
    for second in range(1, len(values) + 1):
        due = min(due, second - 1 + pace(second - 1, said))
        if second + .5 <= due:
            continue
        said = ((summed[second] - summed[last]) / (second - last), values[second - 1, 1])
        taken.append((second, *said))
        due, last = max(due, second) + pace(second, said) if second > due else due + pace(second, said), second
    return taken


def uniform(interval: float):
    return lambda second, said: interval


def planned(recording: Recording, day: int, gathering: dict | None):
    """How `GatherPlan::pace` reads the plan: windows and the way to a peak, else the interval of the resource."""
    if gathering is None:
        return uniform(UNIFORM_S)
    windows = [(recording.second(day, w["from"]), recording.second(day, w["to"]), w["interval_s"]) for w in gathering["windows"]]
    watch = gathering.get("watch") or {}
    levels = [watch.get("cpu_cores"), watch.get("memory_bytes")]

    def pace(second: float, said) -> float:
        interval = next((s for begin, end, s in windows if begin <= second < end), gathering["interval_s"])
        near = any(value is not None and level is not None and value >= level for value, level in zip(said, levels))
        return min(interval, watch["interval_s"]) if near else interval
    return pace


def missed(values: np.ndarray, taken: list) -> list[float]:
    """Of both figures: the share of the day's peak that no sample shows."""
    errors = []
    for figure in (0, 1):
        peak = values[:, figure].max()
        if peak >= (RESOLVED_CORES if figure == 0 else 1):
            errors.append(1 - min(1.0, max((s[1 + figure] for s in taken), default=0.0) / peak))
    return errors


def events(recording: Recording, name: str, day: int, taken: list) -> list[str]:
    lines, before = [], 0
    for second, cores, memory in taken:
        payload = {"interval_s": (second - before) * 86400 / recording.day, "cpu_cores": round(cores, 4), "memory_bytes": int(memory)}
        event = {"ts": recording.moment(day, second).isoformat(), "type": "usage", "env": "recorded", "resource": f"recorded/{name}", "payload": payload}
        lines.append(json.dumps(event))
        before = second
    return lines


def scheduled(recording: Recording) -> list[str]:
    """The backup of every night is known beforehand."""
    return [json.dumps({"ts": START.isoformat(), "type": "schedule", "env": "recorded", "resource": "recorded/nightly", "payload": {
        "event_id": f"backup-{day}", "event_type": "load", "start_time": (START + dt.timedelta(days=day, hours=2)).isoformat(),
        "end_time": (START + dt.timedelta(days=day, hours=4)).isoformat()}}) for day in range(recording.days)]


def replay(recording: Recording, pipeline: str, folder: pathlib.Path) -> tuple[int, list]:
    """Samples taken by the plans, and the errors of the days that they were made for."""
    lake, samples, errors = folder / "lake", 0, []
    program = [pipeline, "--lake", str(lake), "--json", "-q", "--progress", "never"]
    fresh = scheduled(recording)
    for day in range(recording.days):
        gathered = {}
        if day >= UNIFORM_DAYS:
            dump, plan = folder / f"{day}.ndjson", folder / "gather.json"
            dump.write_text("\n".join(fresh) + "\n")
            fresh = []
            now = ["--now", recording.moment(day, 0).isoformat()]
            measure.run([*program, *now, "ingest", str(dump)])
            measure.run([*program, *now, "materialize"])
            measure.run([*program, *now, "shadow", "--horizon", "24h", "--gather-plan", str(plan)])
            gathered = json.loads(plan.read_text())["resources"]
        for name, values in recording.values.items():
            pace = planned(recording, day, gathered.get(f"recorded/{name}")) if gathered else uniform(UNIFORM_S)
            taken = sample(values[day], pace)
            fresh += events(recording, name, day, taken)
            if gathered:
                samples += len(taken)
                errors += missed(values[day], taken)
    return samples, errors


def at_interval(recording: Recording, interval: float) -> tuple[int, float]:
    taken = [(values[day], sample(values[day], uniform(interval)))
             for values in recording.values.values() for day in range(UNIFORM_DAYS, recording.days)]
    return sum(len(t) for _, t in taken), float(np.mean([e for values, t in taken for e in missed(values, t)]))


def compare(path: pathlib.Path, pipeline: str, folder: pathlib.Path) -> dict:
    recording = Recording(path)
    samples, errors = replay(recording, pipeline, folder)
    # Errors of one interval wander: the curve is the mean of neighbours, from many samples to few.
    curve = np.array([at_interval(recording, i) for i in np.concatenate([np.arange(1, 8, .25), np.arange(8, 61, 1)])])
    counts, means = curve[:, 0], np.maximum.accumulate(np.convolve(np.pad(curve[:, 1], 1, "edge"), np.ones(3) / 3, "valid"))
    error = float(np.mean(errors))
    same_budget = float(np.interp(samples, counts[::-1], means[::-1]))
    same_error = float(np.interp(error, means, counts))
    return {"recording": path.name, "resources": len(recording.values), "days": recording.days - UNIFORM_DAYS, "samples": samples,
            "error": error, "error_uniform_same_budget": same_budget, "less_error": 1 - error / same_budget,
            "samples_uniform_same_error": same_error, "samples_saved": 1 - samples / same_error}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=pathlib.Path, nargs="+", default=[RECORDED])
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    pipeline = measure.program(a.pipeline)
    results = []
    for path in a.recording:
        with tempfile.TemporaryDirectory() as folder:
            results.append(compare(path, pipeline, pathlib.Path(folder)))
    if a.json:
        print(json.dumps(results, indent=1))
        return
    print("| recording | resources, days | samples | error of the peaks | uniform, as many samples | less error | samples saved |\n|---|---|---|---|---|---|---|")
    for r in results:
        print(f"| {r['recording']} | {r['resources']}, {r['days']} | {r['samples']} | {r['error']:.3f} | {r['error_uniform_same_budget']:.3f} | "
              f"{100 * r['less_error']:.0f} % | {100 * r['samples_saved']:.0f} % |")


if __name__ == "__main__":
    main()
