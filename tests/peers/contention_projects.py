"""Contention on our own recordings, in projects that had no part in training: ours beside LightGBM on the same features.

    python3 tests/peers/contention_projects.py [--recordings DIR] [--pipeline BIN] [--folds 5] [--json]

The events of `data-samples/contention` go into a new lake, and the rows of `features.contention` about runs come out. Label
and cause are those of `runs.csv`: what the recorder imposed and what free runs of the same work took; neither the rules of
`marts.run_labels` nor anything known after a run began has a part in it. The project at place i by name is in fold i modulo
the number of folds; `pipeline train contention --features` and LightGBM (its own defaults) learn from the other folds.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

import measure

FIGURES = ("roc_auc", "pr_auc", "brier")
ROWS = """
    select e.session, r.repo, f.*
    from features.contention f
    join marts.runs r on f.unit_id = concat_ws(' ', r.repo, r.run_id, cast(r.started_at as varchar))
    join staging.events e on r.event_id = e.event_id
    where f.unit = 'run'
    order by f.starts_at, f.unit_id"""
NO_FEATURES = {"session", "repo", "unit", "unit_id", "key", "starts_at", "known_at", "label", "label_source", "measured",
               "contributor", "stranger"}


def features(pipeline: str, recordings: pathlib.Path, folder: pathlib.Path):
    """One row per run, with what was imposed on it and whether that made it contended."""
    import pandas
    lake, file = str(folder / "lake"), folder / "rows.parquet"
    base = [pipeline, "-q", "--progress", "never", "--lake", lake]
    for arguments in (["ingest", str(recordings / "events.ndjson.gz")], ["materialize"],
                      ["sql", ROWS, "--format", "parquet", "-o", str(file)]):
        subprocess.run([*base, *arguments], check=True, stdout=subprocess.DEVNULL)
    with open(recordings / "runs.csv") as text:
        runs = {row["run"]: row for row in csv.DictReader(text)}
    rows = pandas.read_parquet(file)
    imposed = rows["session"].map(lambda run: runs[run]["constraint"])
    label = rows["session"].map(lambda run: int(runs[run]["label"] != "healthy"))
    kept = [name for name in rows.columns if name not in NO_FEATURES]
    return rows[kept].astype(float), rows["repo"], label, imposed


def compare(pipeline: str, recordings: pathlib.Path, folder: pathlib.Path, folds: int = 5) -> dict:
    import lightgbm
    import numpy
    import pandas
    from sklearn.metrics import average_precision_score, roc_auc_score
    rows, repo, label, imposed = features(pipeline, recordings, folder)
    places = {name: at for at, name in enumerate(sorted(repo.unique()))}
    fold = repo.map(places) % folds
    said = {who: numpy.full(len(rows), numpy.nan) for who in ("ours", "lightgbm")}
    cause = numpy.full(len(rows), "", dtype=object)
    table, predictions = folder / "table.parquet", folder / "predictions.parquet"
    for held_out in range(folds):
        test = (fold == held_out).to_numpy()
        peer = lightgbm.LGBMClassifier(verbose=-1, random_state=0, n_jobs=2).fit(rows[~test], label[~test])
        said["lightgbm"][test] = peer.predict_proba(rows[test])[:, 1]
        split = numpy.where(test, "test", "train")
        rows.assign(project=repo, contended=label, split=split).to_parquet(table)
        measure.run([pipeline, "--json", "train", "contention", "--features", str(table), "--label", "contended", "--group",
                     "project", "--split", "split", "--predictions", str(predictions)])
        ours = pandas.read_parquet(predictions)
        said["ours"][ours["row"]] = ours["probability"]
        cause[ours["row"]] = ours["cause"]
    starved = (label == 1).to_numpy()
    right = cause[starved] == imposed.to_numpy()[starved]
    by = {name: [int(right[imposed[starved] == name].sum()), int((imposed[starved] == name).sum())]
          for name in sorted(imposed[starved].unique())}
    return {"figures": {who: {"roc_auc": roc_auc_score(label, p), "pr_auc": average_precision_score(label, p),
                              "brier": float(((p - label) ** 2).mean())} for who, p in said.items()},
            "runs": len(rows), "projects": len(places), "starved": int(starved.sum()),
            "cause_right": float(right.mean()), "cause_right_by": by, "features": list(rows.columns)}


def table(found: dict) -> str:
    lines = [f"{found['runs']} runs of {found['projects']} projects, each project held out once.", "",
             "| predictor | ROC-AUC | PR-AUC | Brier |", "|---|---|---|---|"]
    for who, figures in found["figures"].items():
        lines.append(f"| {who} | {' | '.join(f'{figures[f]:.4f}' for f in FIGURES)} |")
    by = ", ".join(f"{name} {right} of {n}" for name, (right, n) in found["cause_right_by"].items())
    return "\n".join([*lines, "", f"Cause named right in {100 * found['cause_right']:.1f} % of {found['starved']} starved runs: {by}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", default=str(measure.CHECKOUT / "data-samples/contention"))
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--work", help="where the lake is made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pipeline = measure.program(args.pipeline)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        result = compare(pipeline, pathlib.Path(args.recordings), pathlib.Path(folder), args.folds)
    print(json.dumps(result) if args.json else table(result))


if __name__ == "__main__":
    main()
