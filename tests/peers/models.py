"""The models beside what established methods reach on the same rows, each part measured in one run.

build-time            runs of the public records, beside LightGBM and the naive predictors
contention            three splits of the interference recordings, beside logistic regression, a tree and LightGBM
contention-projects   our own recordings, in projects not trained on, beside LightGBM; and whether the cause is named right
services              our own recordings, in repositories not trained on, beside popularity

    python3 tests/peers/models.py [--peers DIR] [--data DIR] [--pipeline BIN] [--only PART] [--json]
"""
import argparse
import json
import pathlib
import tempfile

import build_time
import contention
import contention_projects
import measure
import services

SAMPLES = measure.CHECKOUT / "data-samples"
# What each part is given: the program, the peers' scripts, the public data, a folder of its own.
PARTS = {
    "build-time": (build_time, build_time.compare),
    "contention": (contention, contention.compare),
    "contention-projects": (contention_projects, lambda pipeline, peers, data, folder:
                            contention_projects.compare(pipeline, SAMPLES / "contention", folder)),
    "services": (services, lambda pipeline, peers, data, folder:
                 services.compare(pipeline, [str(SAMPLES / "builds/events.ndjson.gz")], folder, 5)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--peers", default=str(measure.CHECKOUT.parent / "shared/peers"))
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"))
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--work", help="where lakes are made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    peers = measure.peers_folder(args.peers)
    data = pathlib.Path(args.data).resolve()
    pipeline = measure.program(args.pipeline)
    measure.two_cores()
    results = {}
    for name in args.only or PARTS:
        with tempfile.TemporaryDirectory(dir=args.work) as folder:
            part, compare = PARTS[name]
            results[name] = compare(pipeline, peers, data, pathlib.Path(folder))
        if not args.json:
            print(f"## {name}\n\n{part.table(results[name])}\n", flush=True)
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
