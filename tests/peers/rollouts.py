"""Rollouts of canaries that do no harm, and of canaries that do: who is promoted, who is rolled back, and how many saw it?

    python3 tests/peers/rollouts.py --pipeline BIN [--nulls 100] [--faults 40] [--seed 1] [--jobs 2] [--json]

Every rollout is one of the program: `stack route`, `approve`, then `ingest` of the router's log and `stack advance`, tick by tick
at a fixed clock, until all users are on the canary, it is rolled back, or the horizon is reached without an answer. Only the
requests are simulated, as the `api_call` events that the router writes, drawn with the seed: users come at random, each sends
five requests to four endpoints of different speed; a duration has a log-normal spread of 40 % between requests and of 15 % between
users, all of them drift by a fifth up and down within two hours, and one request in two hundred fails. Who is on the canary is
drawn once a user by the share that the map has.

Faults, ten of each with `--faults 40`, from the first request of the canary on: `latency`, every request takes a fifth longer;
`errors`, one more in twenty fails; `tail`, six in a hundred take five times as long; `endpoint`, one endpoint in four, a tenth of
the requests, fails always.

Bars: of 100 nulls at most 8 rolled back and at least 88 promoted; of 40 faults at least 36 rolled back and at most 1 promoted;
the canary had at most a tenth of the requests until then, in the median. The horizon of 400 users is chosen by `pipeline stack
horizon` on 3,000 users of another seed: at least 95 % of simulated nulls must pass. A null takes eight seconds of one core.
"""
import argparse
import collections
import concurrent.futures
import datetime
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import tempfile

BEGIN = datetime.datetime(2026, 11, 30, tzinfo=datetime.timezone.utc)
FAULTS = ["latency", "errors", "tail", "endpoint"]
ENDPOINTS = [("/cart", 0.4, 70), ("/items", 0.3, 100), ("/search", 0.2, 120), ("/pay", 0.1, 160)]
REQUESTS = 5
USERS_A_SECOND = 25
STACK = """
[[component]]
name = "api"
kind = "application"
version = "1.4.2"
[[component]]
name = "api"
kind = "application"
version = "1.5.0"
[[group]]
name = "blue"
members = { api = "1.4.2" }
[[group]]
name = "green"
members = { api = "1.5.0" }
[route]
target = "haproxy-map:routes.map"
steps = %(steps)s
unit = "x-user"
[judge]
metrics = ["latency", "latency_tail", "errors"]
margin = "20%%"
alpha = 0.05
horizon = %(horizon)d
on_inconclusive = "hold"
"""


class Rollout:
    """One rollout in a folder of its own."""

    def __init__(self, args, folder, seed, fault):
        self.args, self.folder, self.fault = args, folder, fault
        self.random = random.Random(f"{args.seed}-{seed}-{fault}")
        self.second = 0.0
        self.users = 0
        self.count = collections.Counter()

    def run(self):
        (self.folder / "stack.toml").write_text(STACK % {"steps": self.args.steps, "horizon": self.args.horizon})
        routes = self.folder / "routes.map"
        routes.write_text("blue 100\ngreen 0\n")
        self.requests(20, 0)
        self.call("stack", "route", "green", "-o", "plan.json")
        self.call("approve", "plan.json")
        _, answer = self.call("stack", "advance", "plan.json")
        self.count.clear()
        at_step = 0
        while True:
            share = int(routes.read_text().split()[3])
            canaries = self.requests(math.ceil(100 * self.args.batch / share), share)
            at_step += canaries
            exit_code, answer = self.call("stack", "advance", "plan.json")
            if exit_code == 3:
                assert routes.read_text() == "blue 100\ngreen 0\n"
                return "rolled back", self.exposure(), answer["why"]
            if answer["result"] == "promoted":
                return "promoted", self.exposure(), ""
            if exit_code == 0:
                at_step = 0
            elif at_step > self.args.horizon * 1.3:
                return "held", self.exposure(), "; ".join(m["evidence"] for m in answer["metrics"] if m["verdict"] == "inconclusive")

    def exposure(self):
        return self.count["green"] / max(1, self.count.total())

    def requests(self, users, share):
        """The log of so many users, ingested; how many were on the canary."""
        lines, canaries, draw = [], 0, self.random
        for _ in range(users):
            self.users += 1
            self.second += draw.expovariate(USERS_A_SECOND)
            group = "green" if draw.random() * 100 < share else "blue"
            canaries += group == "green"
            of_user, at = draw.gauss(0, 0.15), self.second
            for n in range(REQUESTS):
                at += draw.expovariate(5)
                lines.append(self.event(group, of_user, at, n))
            self.count[group] += REQUESTS
        self.second += 6
        path = self.folder / "log.ndjson"
        path.write_text("\n".join(lines))
        self.call("ingest", "log.ndjson")
        return canaries

    def event(self, group, of_user, at, n):
        draw = self.random
        endpoint, _, usual = draw.choices(ENDPOINTS, [weight for _, weight, _ in ENDPOINTS])[0]
        drift = math.log(1.2) * math.sin(2 * math.pi * at / 7200)
        took = usual * math.exp(of_user + drift + draw.gauss(0, 0.4))
        failed = draw.random() < 0.005
        if group == "green" and self.fault:
            took *= 1.2 if self.fault == "latency" else 1
            took *= 5 if self.fault == "tail" and draw.random() < 0.06 else 1
            failed |= self.fault == "errors" and draw.random() < 0.05
            failed |= self.fault == "endpoint" and endpoint == ENDPOINTS[-1][0]
        ts = (BEGIN + datetime.timedelta(seconds=at)).isoformat()
        return (f'{{"ts":"{ts}","type":"api_call","payload":{{"service":"api","endpoint":"{endpoint}","status":{500 if failed else 200},'
                f'"duration_ms":{round(took)},"stack_group":"{group}","assigned":"{group}","user":"user-{self.users}",'
                f'"request_id":"{self.users}-{n}"}}}}')

    def call(self, *arguments):
        now = (BEGIN + datetime.timedelta(seconds=self.second + 10)).isoformat().replace("+00:00", "Z")
        clock = [] if arguments[0] == "ingest" else ["--now", now]
        ended = subprocess.run([self.args.pipeline, "--json", "--lake", "lake", *clock, *arguments], cwd=self.folder,
                               capture_output=True, text=True, env={**os.environ, "PIPELINE_PSEUDONYM_KEY": "the key of simulated users"})
        if ended.returncode not in (0, 3, 5):
            raise RuntimeError(f"{arguments}: {ended.returncode} {ended.stderr}")
        return ended.returncode, json.loads(ended.stdout)


def simulated(args):
    """The share of nulls that the horizon promotes, as the program simulates it on users of another seed."""
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        rollout = Rollout(args, pathlib.Path(folder), "horizon", None)
        (rollout.folder / "stack.toml").write_text(STACK % {"steps": args.steps, "horizon": args.horizon})
        (rollout.folder / "routes.map").write_text("blue 100\ngreen 0\n")
        rollout.requests(3000, 0)
        _, answer = rollout.call("stack", "horizon")
    return next(row["promoted"] for row in answer["horizons"] if row["declared"])


def one(args, number, fault):
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        result = Rollout(args, pathlib.Path(folder), number, fault).run()
    if not args.json:
        print(f"{fault or 'null':<9} {number:>4}  {result[0]:<12} canary {100 * result[1]:5.2f} %  {result[2]}", flush=True)
    return fault, *result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", required=True, type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--nulls", type=int, default=100)
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--steps", default="[5, 25, 50, 100]")
    parser.add_argument("--horizon", type=int, default=400)
    parser.add_argument("--batch", type=int, default=70, help="users on the canary from tick to tick")
    parser.add_argument("--work")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    todo = [(n, FAULTS[n % len(FAULTS)]) for n in range(args.faults)] + [(n, None) for n in range(args.nulls)]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda it: one(args, *it), todo))
    ended = {kind: collections.Counter(end for fault, end, *_ in results if fault == kind) for kind in [None, *FAULTS]}
    nulls = ended[None]
    faults = sum((ended[kind] for kind in FAULTS), collections.Counter())
    passing = simulated(args)
    exposures = [exposure for fault, end, exposure, _ in results if fault and end == "rolled back"]
    exposure = statistics.median(exposures) if exposures else None
    bars = {
        "simulated nulls": (passing, passing >= 0.95),
        "nulls rolled back": (nulls["rolled back"], nulls["rolled back"] <= 0.08 * args.nulls),
        "nulls promoted": (nulls["promoted"], nulls["promoted"] >= 0.88 * args.nulls),
        "faults rolled back": (faults["rolled back"], faults["rolled back"] >= 0.9 * args.faults),
        "faults promoted": (faults["promoted"], faults["promoted"] <= args.faults / 40),
        "median exposure": (exposure, exposure is None or exposure <= 0.1),
    }
    if args.json:
        print(json.dumps({"ended": {kind or "null": dict(count) for kind, count in ended.items()},
                          "bars": {name: {"value": value, "met": met} for name, (value, met) in bars.items()}}))
    else:
        print()
        for kind, count in ended.items():
            print(f"{kind or 'null':<9} {dict(count)}")
        for name, (value, met) in bars.items():
            print(f"{name:<19} {value if value is None or isinstance(value, int) else f'{100 * value:.2f} %'}  {'met' if met else 'MISSED'}")
    raise SystemExit(not all(met for _, met in bars.values()))


if __name__ == "__main__":
    main()
