"""`pipeline evaluate build-time` beside LightGBM and the rolling medians: same rows, same split, same machine.

Called by models.py. The peers' `build_time.py` trains and scores its models; its LightGBM runs on two threads as ours does
(the script says one), and the seconds of its two models, p50 and p90 of the ratio, are told beside ours. Ours are those of
the whole training and scoring, features and comparison of candidates included.
"""
import json
import pathlib
import subprocess
import sys

import measure

FIGURES = ["mae_s", "within_25pct", "mae_log", "pinball90_s", "pinball90_log", "coverage90"]
MORE_IS_BETTER = {"within_25pct"}
BEST_LIGHTGBM = "lightgbm_quantile_on_ratio_plus_n_jobs"


def lake(pipeline: str, peers: pathlib.Path, data: pathlib.Path, folder: pathlib.Path) -> str:
    """A lake with the runs of the public records, and nothing else."""
    dump = folder / "dump"
    command = [sys.executable, str(peers / "to_events.py"), "--data", str(data), "--out", str(dump), "--vms", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    where = str(folder / "lake")
    measure.ingest(pipeline, where, str(dump / "travis_ci_runs.ndjson"))
    measure.run([pipeline, "--json", "-q", "--progress", "never", "--lake", where, "materialize"])
    return where


def theirs(peers: pathlib.Path, data: pathlib.Path, folder: pathlib.Path) -> dict:
    script = (peers / "build_time.py").read_text()
    threaded = script.replace("n_jobs=1, deterministic", "n_jobs=2, deterministic")
    if threaded == script:
        sys.exit(f"{peers / 'build_time.py'}: cannot set LightGBM's threads")
    copy = folder / "build_time.py"
    copy.write_text(threaded)
    said, measured = measure.run([sys.executable, str(copy), "--data", str(data)])
    return {"predictors": said["predictors"], "rows": [said["n_train"], said["n_test"]], "process": measured}


def of_peer(predictor: dict) -> dict:
    """Its figures; the upper quantile of a baseline has a prefix."""
    found = {name: predictor.get(name, predictor.get(f"resid_{name}")) for name in FIGURES}
    return {name: value for name, value in found.items() if value is not None}


def compare(pipeline: str, peers: pathlib.Path, data: pathlib.Path, folder: pathlib.Path) -> dict:
    where = lake(pipeline, peers, data, folder)
    evaluate = ["evaluate", "build-time", "--holdout", "20%", "--per", "repo"]
    ours, process = measure.run([pipeline, "--json", "-q", "--progress", "never", "--lake", where, *evaluate])
    peer = theirs(peers, data, folder)
    if [ours["n_train"], ours["n_test"]] != peer["rows"]:
        sys.exit(f"other rows: ours {ours['n_train']}, {ours['n_test']}, theirs {peer['rows']}")
    predictors = {name: of_peer(predictor) for name, predictor in peer["predictors"].items()}
    best = {}
    for figure in FIGURES[:-1]:
        pick = max if figure in MORE_IS_BETTER else min
        name = pick((n for n in predictors if figure in predictors[n]), key=lambda n: predictors[n][figure])
        best[figure] = {"peer": name, "theirs": predictors[name][figure], "ours": ours[figure],
                        "ratio": ours[figure] / predictors[name][figure]}
    training = {"ours_s": ours["seconds"], "lightgbm_s": peer["predictors"][BEST_LIGHTGBM]["seconds"]}
    training["ratio"] = training["ours_s"] / training["lightgbm_s"]
    return {"ours": {name: ours[name] for name in FIGURES}, "peers": predictors, "best": best, "training": training,
            "process": process, "peer_process": peer["process"]}


def table(result: dict) -> str:
    lines = ["| predictor | " + " | ".join(FIGURES) + " |", "|---" * (len(FIGURES) + 1) + "|"]
    for name, figures in [("pipeline", result["ours"]), *result["peers"].items()]:
        cells = [f"{figures[f]:.4f}" if f in figures and figures[f] < 10 else f"{figures.get(f, float('nan')):.1f}"
                 for f in FIGURES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| figure | best peer | theirs | ours | ours / theirs |", "|---|---|---|---|---|"]
    for figure, row in result["best"].items():
        lines.append(f"| {figure} | {row['peer']} | {row['theirs']:.4f} | {row['ours']:.4f} | {row['ratio']:.3f} |")
    training, process = result["training"], result["process"]
    lines += ["", f"Coverage of p90: {result['ours']['coverage90']:.4f}, stated 0.9.",
              f"Training, p50 and p90, two threads: {training['ours_s']:.1f} s beside LightGBM's {training['lightgbm_s']:.1f} s "
              f"({training['ratio']:.2f}). The whole of ours: {process['seconds']:.1f} s, {process['cpu_seconds']:.1f} s of CPU, "
              f"peak {process['peak_mib']:.0f} MiB."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit("called by models.py: " + json.dumps(["python3", "tests/peers/models.py", "--only", "build-time"]))
