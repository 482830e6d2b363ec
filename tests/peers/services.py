"""`pipeline evaluate services` on held-out repositories beside popularity, which is counted here anew.

    python3 tests/peers/services.py [--events FILE ...] [--pipeline BIN] [--folds 5] [--json]

The events (recorded builds: data-samples/builds/events.ndjson.gz when not given) go into a new lake. From the rows of
`features.services` the same folds are made here (the repository at place i by name is in fold i modulo their number), the
things that most runs of the other repositories needed are the list for every run of the held-out ones, and precision@3 is
hits among three divided by three, over the runs that needed something. The best possible knows: min(3, needed) / 3.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import tempfile

import measure

FIGURES = ["precision3", "cold_precision3", "recall3", "cold_recall3", "mrr", "cold_mrr", "gap_closed", "cold_gap_closed",
           "brier", "cold_brier", "ece10", "cold_ece10"]
ROWS = "select repo, needs, stranger from features.services where seen"


def popularity(rows: list[dict], folds: int) -> dict:
    """Its precision@3 and recall@3 beside the best possible, each repository held out once."""
    repos = sorted({row["repo"] or "" for row in rows})
    fold_of = {repo: at % folds for at, repo in enumerate(repos)}
    hits, best, recall, n = 0.0, 0.0, 0.0, 0
    for fold in range(folds):
        counts = collections.Counter()
        for row in rows:
            if fold_of[row["repo"] or ""] != fold and not row["stranger"]:
                counts.update(row["needs"])
        listed = sorted(counts, key=lambda thing: (-counts[thing], thing))[:3]
        for row in rows:
            needs = set(row["needs"])
            if fold_of[row["repo"] or ""] == fold and needs:
                found = len(needs.intersection(listed))
                hits, best = hits + found / 3, best + min(3, len(needs)) / 3
                recall, n = recall + found / len(needs), n + 1
    return {"precision3": hits / n, "precision3_best": best / n, "recall3": recall / n, "rows": n, "repositories": len(repos)}


def compare(pipeline: str, events: list[str], folder: pathlib.Path, folds: int) -> dict:
    where = str(folder / "lake")
    base = [pipeline, "--json", "-q", "--progress", "never", "--lake", where]
    measure.run([*base, "ingest", *events])
    measure.run([*base, "materialize"])
    ask = [*base[:1], "-q", "--progress", "never", "--lake", where, "sql", ROWS, "--format", "ndjson"]
    text = subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True).stdout
    peer = popularity([json.loads(line) for line in text.splitlines()], folds)
    ours, process = measure.run([*base, "evaluate", "services", "--holdout", f"{100 / folds:g}%", "--per", "project"])
    gap = peer["precision3_best"] - peer["precision3"]
    return {"ours": {name: ours[name] for name in FIGURES}, "popularity": peer, "baselines": ours["baselines"],
            "same_popularity": abs(ours["baselines"]["popularity"]["precision3"] - peer["precision3"]) < 1e-9,
            "gap_closed": (ours["precision3"] - peer["precision3"]) / gap,
            "cold_gap_closed": (ours["cold_precision3"] - peer["precision3"]) / gap,
            "n_test": ours["n_test"], "seconds": ours["seconds"], "process": process}


def table(result: dict) -> str:
    ours, peer = result["ours"], result["popularity"]
    lines = [f"{result['n_test']} runs that needed something, {peer['repositories']} repositories, each held out once.", "",
             "| predictor | precision@3 | recall@3 | of the gap |", "|---|---|---|---|",
             f"| pipeline, own ended runs known | {ours['precision3']:.4f} | {ours['recall3']:.4f} | {result['gap_closed']:.3f} |",
             f"| pipeline, nothing of its own known | {ours['cold_precision3']:.4f} | {ours['cold_recall3']:.4f} | {result['cold_gap_closed']:.3f} |",
             f"| popularity, counted here | {peer['precision3']:.4f} | {peer['recall3']:.4f} | 0 |"]
    for name, figures in result["baselines"].items():
        lines.append(f"| {name} | {figures['precision3']:.4f} | {figures['recall3']:.4f} | {figures['gap_closed']:.3f} |")
    lines.append(f"| best possible | {peer['precision3_best']:.4f} | | 1 |")
    same = "the same as" if result["same_popularity"] else "NOT the same as"
    return "\n".join([*lines, "", f"Popularity counted here is {same} the program's."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", nargs="+", default=[str(measure.CHECKOUT / "data-samples/builds/events.ndjson.gz")])
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--work", help="where the lake is made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pipeline = measure.program(args.pipeline)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        result = compare(pipeline, args.events, pathlib.Path(folder), args.folds)
    print(json.dumps(result) if args.json else table(result))


if __name__ == "__main__":
    main()
