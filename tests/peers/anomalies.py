"""`pipeline anomalies` on the Numenta Anomaly Benchmark: its score under the standard profile.

    python3 tests/peers/anomalies.py [--data DIR] [--pipeline BIN] [--json]

The scoring is restated from Lavin & Ahmad 2015, "Evaluating Real-time Anomaly Detection Algorithms": a window counts by its
earliest row above the threshold, from 1 at its left end to 0 at its right end along a sigmoid; a row above the threshold
outside costs 0.11, less right behind a window; a window without one costs 1; the first 15 % of a file (of at most 5,000
rows) are not scored. One threshold serves all files: the one with the largest sum. The sum is scaled so that 0 is a detector
that never speaks and 100 is a perfect one.
"""
import argparse
import datetime
import json
import pathlib
import tempfile

import numpy as np
import pyarrow.parquet as pq

import measure

FALSE_ALARM = .11
PROBATION, PROBATION_ROWS = .15, 5000
# As published for the standard profile, or measured by the protocol.
PEERS = {"Numenta HTM": 70.1, "Skyline": 58.2, "windowed Gaussian": 39.6}
BAR = 60


def sigmoid(place):
    """From 1 well before 0 to -1 well behind it."""
    place = np.asarray(place, dtype=float)
    return np.where(place > 3, -1.0, 2 / (1 + np.exp(np.clip(5 * place, -50, 50))) - 1)


def worth(times: np.ndarray, windows: list) -> tuple[np.ndarray, np.ndarray]:
    """By row: the window it is in (-1: none), and what telling it is worth."""
    n = len(times)
    inside, value = np.full(n, -1), np.full(n, -FALSE_ALARM)
    bounds = [(int(np.searchsorted(times, left, "left")), int(np.searchsorted(times, right, "right")) - 1) for left, right in windows]
    for number, (left, right) in enumerate(bounds):
        rows = np.arange(left, right + 1)
        inside[rows] = number
        value[rows] = sigmoid(-(right - rows + 1) / (right - left + 1)) / sigmoid(-1.0)
        until = bounds[number + 1][0] if number + 1 < len(bounds) else n
        behind = np.arange(right + 1, until)
        value[behind] = FALSE_ALARM * sigmoid((behind - right) / max(right - left, 1))
    return inside, value


def score(files: dict) -> dict:
    """The best threshold and its score. `files`: name to (scores, window of each row, worth of each row)."""
    scores, windows, values, first = [], [], [], 0
    for said, inside, value in files.values():
        begin = int(PROBATION * min(len(said), PROBATION_ROWS))
        scores.append(said[begin:])
        windows.append(np.where(inside[begin:] >= 0, inside[begin:] + first, -1))
        values.append(value[begin:])
        first += int(inside.max()) + 1
    scores, windows, values = (np.concatenate(part) for part in (scores, windows, values))
    best_of = np.full(first, -1.0)
    total = best = -float(first)
    threshold, alarms, false_alarms, at_best = float("inf"), 0, 0, (0, 0, 0)
    order = np.argsort(-scores, kind="stable")
    for place, row in enumerate(order):
        window, value = windows[row], values[row]
        if window < 0:
            total += value
            false_alarms += 1
        elif value > best_of[window]:
            total += value - best_of[window]
            best_of[window] = value
        alarms += 1
        last_of_its_score = place + 1 == len(order) or scores[order[place + 1]] != scores[row]
        if last_of_its_score and total > best:
            best, threshold = total, float(scores[row])
            at_best = (alarms, false_alarms, int((best_of > -1).sum()))
    return {"score": 100 * (best + first) / (2 * first), "threshold": threshold, "windows": first, "rows": len(scores),
            "rows_told": at_best[0], "false_alarms": at_best[1], "windows_found": at_best[2]}


def seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc).timestamp()


def compare(data: pathlib.Path, pipeline: str, folder: pathlib.Path) -> dict:
    out = folder / "scores.parquet"
    command = [pipeline, "--json", "-q", "--progress", "never", "anomalies", "--series", str(data / "nab.parquet"), "--key", "file",
               "--time", "timestamp", "--value", "value", "-o", str(out)]
    summary, process = measure.run(command)
    labels = json.loads((data / "nab_windows.json").read_text())
    rows = pq.read_table(out)
    keys = np.array(rows["key"].to_pylist())
    times = np.array(rows["at"].cast("int64").to_pylist()) / 1e6
    said = np.array(rows["score"].to_pylist())
    files = {}
    for name in dict.fromkeys(keys.tolist()):
        mine = keys == name
        windows = [(seconds(left), seconds(right)) for left, right in labels.get(name, [])]
        files[name] = (said[mine], *worth(times[mine], windows))
    assert sum(len(windows) for windows in labels.values()) == sum(int(inside.max()) + 1 for _, inside, _ in files.values())
    return {**score(files), "files": len(files), "bar": BAR, "peers": PEERS, "summary": summary, "process": process}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"), help="folder of nab.parquet and nab_windows.json")
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--work", help="where files are made and removed again")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    measure.two_cores()
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        ours = compare(pathlib.Path(a.data), measure.program(a.pipeline), pathlib.Path(folder))
    if a.json:
        print(json.dumps(ours, indent=1))
        return
    print(f"NAB, standard profile, {ours['files']} files, {ours['rows']} rows scored, {ours['windows']} windows. Bar: at least {BAR}.\n")
    print("| detector | score |\n|---|---|")
    print(f"| pipeline anomalies | {ours['score']:.1f} |")
    for peer, figure in PEERS.items():
        print(f"| {peer} | {figure} |")
    print(f"\nAt the threshold {ours['threshold']:.4f}: {ours['windows_found']} windows found, {ours['false_alarms']} rows told outside. "
          f"{ours['process']['seconds']:.1f} s, peak {ours['process']['peak_mib']:.0f} MiB; peers' figures as published.")


if __name__ == "__main__":
    main()
