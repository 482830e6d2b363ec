"""Contention: ours beside logistic regression, a decision tree and LightGBM, on the same rows and splits, in one run.

    python3 tests/peers/contention.py [--peers DIR] [--data DIR] [--pipeline BIN] [--json]
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import measure

FIGURES = ("roc_auc", "pr_auc", "brier", "ece10")
# Split: what the peer's script calls it.
SPLITS = {"random_runs": "random_runs_70_30", "later_runs": "later_runs_70_30", "ordered": "ordered_70_30"}
# Cells of the table: at least for the areas, at most for the errors.
BARS = {
    "random_runs": {"roc_auc": 0.989, "pr_auc": 0.991, "brier": 0.041, "ece10": 0.011},
    "later_runs": {"roc_auc": 0.970, "pr_auc": 0.980, "brier": 0.075, "ece10": 0.020},
    "ordered": {"roc_auc": 0.915, "brier": 0.15},
}


def compare(pipeline: str, peers: pathlib.Path, data: pathlib.Path, work: pathlib.Path) -> dict:
    """Each split: the figures of every peer, measured now, and ours."""
    script = [sys.executable, str(peers / "contention.py"), "--data", str(data), "--write-splits", str(work)]
    environment = {"OMP_NUM_THREADS": "1"}
    theirs = json.loads(subprocess.run(script, stdout=subprocess.PIPE, check=True, env=measure.os.environ | environment).stdout)
    results = {}
    for split, name in SPLITS.items():
        found = {peer: {f: theirs[name][peer][f] for f in FIGURES} for peer in ("logistic", "decision_tree", "lightgbm")}
        cpu = theirs.get(f"{name}_cpu_and_load_only") or theirs.get("ordered_70_30_cpu_and_load_only")
        if split == "ordered" and cpu:
            found["lightgbm, cpu"] = {f: cpu["lightgbm"][f] for f in FIGURES}
        others = ",".join(f"split_{other}" for other in SPLITS if other != split)
        command = [pipeline, "--json", "train", "contention", "--features", str(work / "interference_splits.parquet"),
                   "--label", "label", "--group", "run", "--split", f"split_{split}", "--ignore", others]
        answer, usage = measure.run(command)
        found["ours"] = {f: answer[f] for f in FIGURES}
        results[split] = {"figures": found, "usage": usage, "bars": BARS[split], "choice": answer["probability"]["choice"]}
    return results


def table(results: dict) -> str:
    """One row per split and predictor; what misses its bar is marked."""
    lines = ["| split | predictor | ROC-AUC | PR-AUC | Brier | ECE |", "|---|---|---|---|---|---|"]
    for split, found in results.items():
        for who, figures in found["figures"].items():
            cells = [f"{figures[f]:.4f}" + (mark(f, figures[f], found["bars"]) if who == "ours" else "") for f in FIGURES]
            lines.append(f"| {split} | {who} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mark(figure: str, value: float, bars: dict) -> str:
    """Says where a bar is missed, to the digits the bar is given in."""
    if figure not in bars:
        return ""
    value, bar = round(value, 3), bars[figure]
    return "" if (value >= bar if figure.endswith("auc") else value <= bar) else f" (bar {bar})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--peers", default=str(measure.CHECKOUT.parent / "shared/peers"))
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        pipeline = measure.program(args.pipeline)
        results = compare(pipeline, pathlib.Path(args.peers), pathlib.Path(args.data), pathlib.Path(work))
    print(json.dumps(results) if args.json else table(results))


if __name__ == "__main__":
    main()
