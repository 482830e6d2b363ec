"""`pipeline forecast` on the M4 hourly and weekly series: sMAPE, MASE, OWA, coverage and MSIS of the 90 % intervals.

    python3 tests/peers/forecast.py [--data DIR] [--pipeline BIN] [--only hourly] [--json]

The training part of every series is written to a Parquet file, the command forecasts it, and the test part scores it. The
measures and Naive2 are those of the M4 competition (Makridakis, Spiliotis & Assimakopoulos 2020), counted here anew; Naive2
must come out as published. The figures of the peers are those of the protocol in the peers' folder, on the same series.
"""
import argparse
import json
import pathlib
import tempfile

import numpy as np
import pyarrow.parquet as pq

import measure

SETS = {"hourly": {"season": 24, "period": "24,168", "horizon": 48, "published": (18.383, 2.395)},
        "weekly": {"season": 1, "period": "52", "horizon": 13, "published": (9.161, 2.777)}}
# sMAPE, MASE, OWA, coverage, MSIS, seconds: measured on two cores of the same kind, all series.
PEERS = {"hourly": {"SeasonalNaive": (13.912, 1.193, .6275, .920, 7.52, .3), "AutoTheta": (18.156, 2.456, 1.0066, .880, 15.93, 71),
                    "MSTL (24, 168), ETS trend": (13.763, 1.102, .6045, .807, 8.66, 127)},
         "weekly": {"Naive": (9.161, 2.777, 1.0, .917, 20.69, .3), "AutoETS": (8.706, 2.548, .9339, .928, 17.52, 27)}}
BARS = {"hourly": .50, "weekly": .86}


def load(path: pathlib.Path) -> tuple[dict, dict]:
    """Training and test values by series."""
    rows = pq.read_table(path).to_pydict()
    parts = {"train": {}, "test": {}}
    for key, step, value, split in zip(rows["unique_id"], rows["step"], rows["value"], rows["split"]):
        parts[split].setdefault(key, []).append((step, value))
    values = lambda part: {key: np.array([v for _, v in sorted(rows)]) for key, rows in part.items()}
    return values(parts["train"]), values(parts["test"])


def naive2(past: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """The last value, after dividing by the seasonal indices of a classical decomposition where a season is significant."""
    n, index = len(past), np.ones(season)
    if season > 1 and n >= 3 * season:
        centred = past - past.mean()
        correlation = np.array([(centred[k:] * centred[:n - k]).sum() for k in range(1, season + 1)]) / (centred ** 2).sum()
        limit = 1.645 * np.sqrt((1 + 2 * (correlation[:-1] ** 2).sum()) / n)
        if abs(correlation[-1]) > limit:
            weights = np.r_[.5, np.ones(season - 1), .5] / season if season % 2 == 0 else np.ones(season) / season
            trend, offset = np.convolve(past, weights, "valid"), season // 2
            ratios, places = past[offset:offset + len(trend)] / trend, (np.arange(len(trend)) + offset) % season
            index = np.array([ratios[places == place].mean() for place in range(season)])
            index /= index.mean()
    return past[-1] / index[(n - 1) % season] * index[(n + np.arange(horizon)) % season]


def errors(past: np.ndarray, came: np.ndarray, said: np.ndarray, season: int) -> tuple[float, float]:
    """sMAPE and MASE of one series."""
    smape = 200 * np.mean(np.abs(came - said) / (np.abs(came) + np.abs(said)))
    return smape, np.mean(np.abs(came - said)) / unit(past, season)


def unit(past: np.ndarray, season: int) -> float:
    return np.mean(np.abs(past[season:] - past[:-season]))


def compare(name: str, data: pathlib.Path, pipeline: str, folder: pathlib.Path) -> dict:
    what = SETS[name]
    season, horizon = what["season"], what["horizon"]
    table = pq.read_table(data / f"m4_{name}.parquet", filters=[("split", "=", "train")])
    source, out = folder / f"{name}.parquet", folder / f"{name}-forecast.parquet"
    pq.write_table(table.select(["unique_id", "step", "value"]), source)
    train, test = load(data / f"m4_{name}.parquet")
    command = [pipeline, "--json", "-q", "--progress", "never", "forecast", "--series", str(source), "--key", "unique_id", "--time", "step",
               "--value", "value", "--period", what["period"], "--horizon", str(horizon), "-o", str(out)]
    summary, process = measure.run(command)
    rows = pq.read_table(out).to_pydict()
    said = {}
    for key, at, value, low, high, model in zip(*(rows[c] for c in ("key", "at", "value", "lower", "upper", "model"))):
        said.setdefault(key, []).append((at, value, low, high, model))
    figures, base, inside, scores = [], [], [], []
    for key, past in train.items():
        at, value, low, high, _ = (np.array(column) for column in zip(*sorted(said[key])))
        assert list(at) == list(range(len(past) + 1, len(past) + horizon + 1)), key
        came = test[key]
        figures.append(errors(past, came, value, season))
        base.append(errors(past, came, naive2(past, season, horizon), season))
        inside.append(np.mean((low <= came) & (came <= high)))
        missed = 20 * (np.maximum(low - came, 0) + np.maximum(came - high, 0))
        scores.append(np.mean(high - low + missed) / unit(past, season))
    smape, mase = np.mean(figures, axis=0)
    base_smape, base_mase = np.mean(base, axis=0)
    return {"series": len(figures), "smape": smape, "mase": mase, "owa": (smape / base_smape + mase / base_mase) / 2,
            "coverage": float(np.mean(inside)), "msis": float(np.mean(scores)), "naive2": [base_smape, base_mase],
            "naive2_as_published": bool(np.allclose([base_smape, base_mase], what["published"], atol=.001)),
            "bar_owa": BARS[name], "summary": summary, "process": process}


def table(name: str, ours: dict) -> str:
    lines = [f"M4 {name}, {ours['series']} series. Naive2 {ours['naive2'][0]:.3f} / {ours['naive2'][1]:.3f}, "
             f"{'as' if ours['naive2_as_published'] else 'NOT as'} published. Bar: OWA at most {ours['bar_owa']}.", "",
             "| model | sMAPE | MASE | OWA | coverage of 90 % | MSIS | s |", "|---|---|---|---|---|---|---|",
             f"| pipeline forecast | {ours['smape']:.3f} | {ours['mase']:.3f} | {ours['owa']:.4f} | {ours['coverage']:.3f} | "
             f"{ours['msis']:.2f} | {ours['process']['seconds']:.1f} |"]
    for peer, (smape, mase, owa, coverage, msis, seconds) in PEERS[name].items():
        lines.append(f"| {peer} | {smape} | {mase} | {owa} | {coverage} | {msis} | {seconds} |")
    process = ours["process"]
    return "\n".join([*lines, "", f"CPU {process['cpu_seconds']:.1f} s, peak {process['peak_mib']:.0f} MiB; peers' figures as written down.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"), help="folder of m4_hourly.parquet and m4_weekly.parquet")
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--only", choices=sorted(SETS), help="one set alone")
    parser.add_argument("--work", help="where files are made and removed again")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    measure.two_cores()
    pipeline = measure.program(a.pipeline)
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        names = [a.only] if a.only else list(SETS)
        result = {name: compare(name, pathlib.Path(a.data), pipeline, pathlib.Path(folder)) for name in names}
    print(json.dumps(result, indent=1) if a.json else "\n".join(table(name, ours) for name, ours in result.items()))


if __name__ == "__main__":
    main()
