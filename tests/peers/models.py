"""The models beside what established methods reach on the same rows, each part measured in one run.

    python3 tests/peers/models.py [--peers DIR] [--data DIR] [--pipeline BIN] [--only PART] [--json]
"""
import argparse
import json
import pathlib
import tempfile

import build_time
import measure

PARTS = {"build-time": build_time}


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
            results[name] = PARTS[name].compare(pipeline, peers, data, pathlib.Path(folder))
        if not args.json:
            print(f"## {name}\n\n{PARTS[name].table(results[name])}\n")
    if args.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
