"""`pipeline forecast` on the next day of 190 machines: CPU and memory by the hour, and their daily peaks. Pinball at .5, .9, .99.

    python3 tests/peers/next_day.py [--data DIR] [--pipeline BIN] [--every 4] [--skip-ets] [--json]

Rows as in the peers' sizing.py: cores used = usage / (capacity / cores), machine-off rows dropped. An hour is the mean of its
5-minute samples, a peak the largest sample of a UTC day; days that the recording holds whole. Every origin is a midnight with 14
days before it, every `--every`-th of them; what is forecast at one is made from rows before it only, by one run of the command for
each figure. Machines that were not there for ten days before an origin are left out of it, of ours and of the peers alike.

Peers: the last day again and the last week again, with the quantiles of their own errors so far added (empirical, per machine),
and statsforecast: seasonal-naive, MSTL (24, 168) with ETS trend, and AutoETS, with their own intervals (80 % for .9, 98 % for
.99). AutoETS on hours takes a quarter of an hour: `--skip-ets`.

Constants of the forecaster were chosen on machines whose number halved is even: the two halves are shown apart.
"""
import argparse
import json
import os
import pathlib
import tempfile
import time
import warnings

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import measure

LEVELS = (.5, .9, .99)
HISTORY_DAYS, LEAST_DAYS = 14, 10
# Values a day, periods in steps, unit of the losses.
FIGURES = {"cpu": (24, "24,168", "cores"), "memory": (24, "24,168", "GiB"),
           "cpu peak": (1, "7", "cores"), "memory peak": (1, "7", "GiB")}
QUERY = """
with samples as (
    select vm, ts, cpu_usage_mhz::double * cpu_cores_provisioned / cpu_capacity_mhz as cpu, mem_usage_kb::double / 1048576 as memory
    from '{file}' where cpu_capacity_mhz > 0 and cpu_cores_provisioned > 0)
select vm::int as vm, ts // {seconds} as step, {of}({column}) as value from samples
where ts >= (select (min(ts) // 86400 + 1) * 86400 from samples) and ts < (select max(ts) // 86400 * 86400 from samples)
group by all order by vm, step
"""


class Figure:
    """The values of every machine: NaN before it was there."""

    def __init__(self, data: pathlib.Path, name: str) -> None:
        self.name, (self.per_day, self.periods, self.unit) = name, FIGURES[name]
        of, seconds = ("max", 86400) if name.endswith("peak") else ("avg", 3600)
        sql = QUERY.format(file=data / "bitbrains.parquet", seconds=seconds, of=of, column=name.split()[0])
        rows = duckdb.execute(sql).fetchnumpy()
        vm, at, value = (np.asarray(rows[c]) for c in ("vm", "step", "value"))
        self.machines, place = np.unique(vm, return_inverse=True)
        self.first = int(at.min())
        self.values = np.full((len(self.machines), int(at.max()) - self.first + 1), np.nan)
        self.values[place, at - self.first] = value
        self.days = self.values.shape[1] // self.per_day

    def known(self, day: int) -> tuple[np.ndarray, np.ndarray]:
        """The machines with a week before the day and without a hole since, and the values of the day."""
        begin, end = day * self.per_day, (day + 1) * self.per_day
        there = ~np.isnan(self.values[:, begin - LEAST_DAYS * self.per_day:end]).any(1)
        return there, self.values[:, begin:end]

    def history(self, machine: int, day: int) -> np.ndarray:
        values = self.values[machine, :day * self.per_day]
        return values[np.flatnonzero(np.isnan(values))[-1] + 1:] if np.isnan(values).any() else values


def ours(figure: Figure, day: int, there: np.ndarray, pipeline: str, folder: pathlib.Path) -> tuple[np.ndarray, dict]:
    """Quantiles by machine, step and level; what was not `there` is NaN."""
    rows = [(figure.machines[m], day * figure.per_day - len(past) + i, value)
            for m in np.flatnonzero(there) for past in [figure.history(m, day)] for i, value in enumerate(past)]
    key, at, value = zip(*rows)
    source, out = folder / "source.parquet", folder / "next.parquet"
    pq.write_table(pa.table({"machine": pa.array(key, pa.int32()), "at": pa.array(at, pa.int64()), "value": value}), source)
    levels = ",".join(map(str, LEVELS))
    command = [pipeline, "--json", "-q", "--progress", "never", "forecast", "--series", str(source), "--key", "machine", "--time", "at",
               "--value", "value", "--period", figure.periods, "--horizon", str(figure.per_day), "--quantiles", levels, "-o", str(out)]
    _, process = measure.run(command)
    said = pq.read_table(out).to_pydict()
    quantiles = np.full((len(figure.machines), figure.per_day, len(LEVELS)), np.nan)
    place = {str(machine): m for m, machine in enumerate(figure.machines)}
    for i, (machine, step) in enumerate(zip(said["key"], said["at"])):
        quantiles[place[machine], step - day * figure.per_day] = [said[f"q{level}"][i] for level in LEVELS]
    return quantiles, process


def again(figure: Figure, day: int, lag: int) -> np.ndarray:
    """The values of `lag` days before, and the quantiles of what that missed so far."""
    values = figure.values[:, :day * figure.per_day]
    steps = lag * figure.per_day
    missed = values[:, steps:] - values[:, :-steps]
    last = values[:, values.shape[1] - steps:][:, :figure.per_day]
    return np.maximum(0, last[..., None] + np.nanquantile(missed, LEVELS, axis=1).T[:, None, :])


def statsforecast(figure: Figure, day: int, there: np.ndarray, model, name: str) -> np.ndarray:
    import pandas as pd
    from statsforecast import StatsForecast
    from statsforecast.models import SeasonalNaive
    machines = np.flatnonzero(there)
    frame = pd.concat([pd.DataFrame({"unique_id": m, "ds": np.arange(len(past)) + day * figure.per_day - len(past), "y": past})
                       for m in machines for past in [figure.history(m, day)]])
    fitted = StatsForecast(models=[model], freq=1, n_jobs=1, fallback_model=SeasonalNaive(1))
    said = fitted.forecast(df=frame, h=figure.per_day, level=[80, 98]).sort_values(["unique_id", "ds"])
    values = said[[name, f"{name}-hi-80", f"{name}-hi-98"]].to_numpy().reshape(len(machines), figure.per_day, 3)
    quantiles = np.full((len(figure.machines), figure.per_day, len(LEVELS)), np.nan)
    quantiles[machines] = np.maximum(0, values)
    return quantiles


def peers(figure: Figure, with_ets: bool) -> dict:
    """Each a function of the day and of who is there."""
    from statsforecast.models import AutoETS, MSTL, SeasonalNaive
    hourly = figure.per_day > 1
    season = 24 if hourly else 7
    found = {"last day again, empirical": lambda day, there: again(figure, day, 1),
             "last week again, empirical": lambda day, there: again(figure, day, 7)}
    models = {"statsforecast SeasonalNaive": (SeasonalNaive(season), "SeasonalNaive"), "statsforecast AutoETS": (AutoETS(season_length=season), "AutoETS")}
    if hourly:
        models["statsforecast MSTL (24, 168)"] = (MSTL(season_length=[24, 168], trend_forecaster=AutoETS(model="ZZN")), "MSTL")
    if hourly and not with_ets:
        del models["statsforecast AutoETS"]
    for name, (model, column) in models.items():
        found[name] = lambda day, there, model=model, column=column: statsforecast(figure, day, there, model, column)
    return found


def pinball(came: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """By machine and level: the mean over the steps."""
    error = came[..., None] - quantiles
    return np.mean(np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1) * error), axis=1)


def compare(figure: Figure, every: int, pipeline: str, folder: pathlib.Path, with_ets: bool) -> dict:
    days = list(range(HISTORY_DAYS, figure.days, every))
    others = peers(figure, with_ets)
    losses = {name: [] for name in ("pipeline forecast", *others)}
    spent = dict.fromkeys(losses, 0.0)
    below, half = [], (figure.machines // 2 % 2 == 0)
    for day in days:
        there, came = figure.known(day)
        quantiles, process = ours(figure, day, there, pipeline, folder)
        spent["pipeline forecast"] += process["cpu_seconds"]
        below.append(np.where(there[:, None], np.mean(came[..., None] <= quantiles, axis=1), np.nan))
        losses["pipeline forecast"].append(np.where(there[:, None], pinball(came, quantiles), np.nan))
        for name, peer in others.items():
            began = time.process_time()
            losses[name].append(np.where(there[:, None], pinball(came, peer(day, there)), np.nan))
            spent[name] += time.process_time() - began
    table = {}
    for name, loss in losses.items():
        loss = np.array(loss)
        mean = lambda chosen: np.nanmean(loss[:, chosen].reshape(-1, len(LEVELS)), axis=0).tolist()
        table[name] = {"pinball": mean(np.full(len(half), True)), "chosen on": mean(half), "checked on": mean(~half), "cpu_seconds": spent[name]}
    ours_, rest = table["pipeline forecast"]["pinball"], [row["pinball"] for name, row in table.items() if name != "pipeline forecast"]
    return {"unit": figure.unit, "machines": int(len(figure.machines)), "origins": len(days),
            "machine_days": int(np.sum(~np.isnan(np.array(losses["pipeline forecast"])[..., 0]))), "models": table,
            "share_below": np.nanmean(np.concatenate(below), axis=0).tolist(),
            "better_than_every_peer": [bool(all(own < row[i] for row in rest)) for i, own in enumerate(ours_)]}


def shown(name: str, result: dict) -> str:
    lines = [f"{name}, {result['machines']} machines, {result['machine_days']} machine-days at {result['origins']} origins; pinball in {result['unit']}.", "",
             "| model | .5 | .9 | .99 | .5, .9, .99 on the other half | CPU s |", "|---|---|---|---|---|---|"]
    for model, row in result["models"].items():
        cells = " | ".join(f"{loss:.4f}" for loss in row["pinball"])
        lines.append(f"| {model} | {cells} | {', '.join(f'{loss:.4f}' for loss in row['checked on'])} | {row['cpu_seconds']:.0f} |")
    below = ", ".join(f"{share:.3f}" for share in result["share_below"])
    wins = ", ".join("yes" if win else "NO" for win in result["better_than_every_peer"])
    return "\n".join([*lines, "", f"Share of values below ours: {below}. Better than every peer: {wins}.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"), help="folder of bitbrains.parquet")
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--every", type=int, default=4, help="days from one origin to the next")
    parser.add_argument("--only", choices=sorted(FIGURES), help="one figure alone")
    parser.add_argument("--skip-ets", action="store_true", help="leave out AutoETS on hours, which takes a quarter of an hour")
    parser.add_argument("--work", help="where files are made and removed again")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("NIXTLA_ID_AS_COL", "1")
    measure.two_cores()
    pipeline = measure.program(a.pipeline)
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        results = {name: compare(Figure(pathlib.Path(a.data), name), a.every, pipeline, pathlib.Path(folder), not a.skip_ets)
                   for name in ([a.only] if a.only else FIGURES)}
    print(json.dumps(results, indent=1) if a.json else "\n".join(shown(name, result) for name, result in results.items()))


if __name__ == "__main__":
    main()
