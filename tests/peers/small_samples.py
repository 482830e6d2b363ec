"""Small samples of the public records, cut by time: is what serves ever worse than a baseline, and does what it says come true?

    python3 tests/peers/small_samples.py [--data DIR] [--pipeline BIN] [--samples 20] [--seed 1] [--only builds|table|hours] [--json]

Three kinds, `--samples` of each, of 300 to 3,000 rows (log-uniform), drawn with `--seed`:
- `builds`: a stretch of one project's Travis builds, as `ci_run` events, through `train build-time`;
- `table`: a stretch of one source of the interference recordings, in order of time, through
  `train contention --features --label --split --group`, the last 30 % held out, judged from the predictions file;
- `hours`: a stretch of hours of one to four Bitbrains machines that were at their limits in some hours and not in others, as
  `usage` events, through `train contention`.
Judged on the held-out rows of each:
- not worse: the 95 % interval of the loss of what serves less that of its best baseline reaches down to 0 (for `table` a
  bootstrap of rows here, else the card's, of stretches of time);
- p90 (builds): rows at or below it, inside the 99 % binomial band around nine tenths;
- ECE (table, hours): at most the 95th percentile of that of outcomes drawn from the very probabilities that were said; in
  `table` the rows of a run have one outcome, and are drawn together. `ece_rows_inside` says the same as if they had not.
"""
import argparse
import json
import math
import pathlib
import subprocess
import tempfile

import measure

BUILDS = """
select strftime(gh_build_started_at, '%Y-%m-%dT%H:%M:%SZ') as ts, 'ci_run' as type, project as repo, git_branch as branch,
       {{run_id: tr_build_id, workflow: 'travis', duration_ms: (tr_duration * 1000)::BIGINT,
         result: case tr_status when 'passed' then 'success' when 'failed' then 'failure' else 'error' end,
         jobs: n_jobs, language: gh_lang, commits: gh_num_commits_in_push, team_size: gh_team_size,
         src_churn: git_diff_src_churn, test_churn: git_diff_test_churn, files_added: gh_diff_files_added,
         files_deleted: gh_diff_files_deleted, files_modified: gh_diff_files_modified, src_files: gh_diff_src_files,
         doc_files: gh_diff_doc_files, other_files: gh_diff_other_files, tests_added: gh_diff_tests_added,
         tests_deleted: gh_diff_tests_deleted, sloc: gh_sloc, test_lines_per_kloc: gh_test_lines_per_kloc}} as payload
from '{data}/travis_builds.parquet'
where gh_build_started_at is not null and tr_duration > 0 and tr_duration <= 86400 and tr_status <> 'canceled'
      and project = '{project}'
order by gh_build_started_at, tr_build_id limit {rows} offset {offset}"""
HOURS = """
select strftime(to_timestamp(ts) at time zone 'UTC', '%Y-%m-%dT%H:%M:%SZ') as ts, 'usage' as type, 'vm-' || vm as env,
       'vm-' || vm || '/host' as resource,
       {{interval_s: 300,
         cpu_cores: round(cpu_usage_mhz::DOUBLE * cpu_cores_provisioned / nullif(cpu_capacity_mhz::DOUBLE, 0), 4),
         cpu_limit_cores: cpu_cores_provisioned, memory_bytes: (mem_usage_kb::DOUBLE * 1024)::BIGINT,
         memory_limit_bytes: (mem_capacity_kb::DOUBLE * 1024)::BIGINT}} as payload
from '{data}/bitbrains.parquet'
where cpu_capacity_mhz > 0 and cpu_cores_provisioned > 0 and vm in ({vms}) and ts >= {begin} and ts < {end}
order by ts, vm"""
MIXED = """
with hours as (select vm, ts // 3600 as hour,
                      max(cpu_usage_mhz >= 0.95 * cpu_capacity_mhz or mem_usage_kb >= 0.98 * mem_capacity_kb)::INT as held
               from '{data}/bitbrains.parquet' where cpu_capacity_mhz > 0 and cpu_cores_provisioned > 0 group by all)
select vm from hours group by vm having avg(held) between 0.02 and 0.98 order by vm"""
TABLE = """
with runs as (select *, sum(new) over (order by time, row_in_file) as run from (
    select *, coalesce((httperf_num, interference_wkld_intensity)
                       <> lag((httperf_num, interference_wkld_intensity)) over (order by time, row_in_file), true)::INT as new
    from '{data}/interference.parquet' where source = '{source}'))
select {columns}, httperf_num, httperf_per, run, class as label,
       case when row_number() over (order by time, row_in_file) <= 0.7 * {rows} then 'train' else 'test' end as split
from (select * from runs order by time, row_in_file limit {rows} offset {offset}) order by time, row_in_file"""
SOURCES = {"acme_1vm": "host", "stress_ng_1vm": "host", "acme_2vm": "db_host web_host", "stress_ng_2vm": "db_host web_host"}


class Sampler:
    """Draws samples, and trains the program on each."""

    def __init__(self, pipeline: str, data: pathlib.Path, folder: pathlib.Path, seed: int):
        import duckdb
        import numpy
        self.pipeline, self.data, self.folder = pipeline, data, folder
        self.sql = duckdb.connect()
        # Apart from each other: the same samples are drawn whatever the program says of them.
        self.random, self.chance = (numpy.random.default_rng([seed, stream]) for stream in (0, 1))
        self.sql.execute("set timezone = 'UTC'")

    def rows(self) -> int:
        return int(round(math.exp(self.random.uniform(math.log(300), math.log(3000)))))

    def ask(self, query: str, **given) -> list:
        return self.sql.execute(query.format(data=self.data, **given)).fetchall()

    def train(self, model: str, query: str, **given) -> dict | None:
        """The card of a model of a new lake with these events; none: too little data, with one outcome only for example."""
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            events, lake = f"{place}/events.ndjson", ["--lake", f"{place}/lake", "--now", "2026-01-01T00:00:00Z"]
            self.sql.execute(f"copy ({query.format(data=self.data, **given)}) to '{events}' (format json)")
            quiet = [self.pipeline, "-q", "--progress", "never", *lake]
            environment = measure.os.environ | {"PIPELINE_PSEUDONYM_KEY": "small samples of peers"}
            for command in (["ingest", events], ["materialize"]):
                subprocess.run([*quiet, *command], check=True, stdout=subprocess.DEVNULL, env=environment)
            done = subprocess.run([*quiet, "--json", "train", model], stdout=subprocess.PIPE, env=environment)
            if done.returncode not in (0, 3, 5):
                raise SystemExit(f"train {model}: exit {done.returncode}")
            return json.loads(done.stdout)["models"][0] if done.returncode != 5 else None

    def builds(self) -> dict | None:
        rows = self.rows()
        known = "tr_duration > 0 and tr_duration <= 86400 and tr_status <> 'canceled' and gh_build_started_at is not null"
        projects = self.ask(f"select project, count(*) from '{{data}}/travis_builds.parquet' where {known} "
                            "group by 1 having count(*) >= {rows} order by 1", rows=rows)
        project, all_rows = projects[self.random.integers(len(projects))]
        offset = int(self.random.integers(all_rows - rows + 1))
        card = self.train("build-time", BUILDS, project=project, rows=rows, offset=offset)
        if card is None:
            return None
        p90 = next(c for c in card["judged"]["coverage"] if c["of"] == "all" and c["stated"] == 0.9)
        low, high = band(p90["rows"], 0.9)
        inside = low <= round(p90["measured"] * p90["rows"]) <= high
        return of_card(card) | {"sample": f"{project} {offset}+{rows}", "p90": p90["measured"], "p90_inside": inside}

    def hours(self) -> dict | None:
        mixed = [vm for (vm,) in self.ask(MIXED)]
        chosen = self.random.choice(mixed, size=self.random.integers(1, 5), replace=False)
        hours = min(self.rows() // len(chosen), 715)
        (first, last), = self.ask("select min(ts), max(ts) from '{data}/bitbrains.parquet'")
        begin = int(self.random.integers(first, max(first + 1, last - hours * 3600)))
        vms = ", ".join(f"'{vm}'" for vm in chosen)
        card = self.train("contention", HOURS, vms=vms, begin=begin, end=begin + hours * 3600)
        if card is None or card["rows_train"] + card["rows_test"] < 300:
            return None
        bins = card["probability"]["reliability"]
        said, rows = [b["said"] for b in bins], [b["rows"] for b in bins]
        came = [b["measured"] * b["rows"] for b in bins]
        return of_card(card) | {"sample": f"{vms} {hours} h"} | self.calibration(said, rows, came)

    def table(self) -> dict | None:
        import numpy
        source = list(SOURCES)[self.random.integers(len(SOURCES))]
        rows = self.rows()
        (all_rows,), = self.ask("select count(*) from '{data}/interference.parquet' where source = '{source}'", source=source)
        offset = int(self.random.integers(all_rows - rows + 1))
        measured = [f"{who}_{what}" for who in ["acme_db", "acme_web", *SOURCES[source].split()] for what in ("cpu", "mem")]
        query = TABLE.format(data=self.data, source=source, rows=rows, offset=offset, columns=", ".join(measured))
        file, out = self.folder / "table.parquet", self.folder / "predictions.parquet"
        self.sql.execute(f"copy ({query}) to '{file}' (format parquet)")
        done = subprocess.run([self.pipeline, "--json", "-q", "train", "contention", "--features", file, "--label", "label",
                               "--split", "split", "--group", "run", "--predictions", out], stdout=subprocess.PIPE)
        if done.returncode == 5:
            return None
        answer = json.loads(done.stdout)
        names = [name for name in answer["baselines"]]
        said = self.sql.execute(f"select p.*, t.label, t.run from '{out}' p join (select *, row_number() over () - 1 as at from "
                                f"'{file}') t on p.row = t.at order by p.row").fetchnumpy()
        truth, ours = said["label"].astype(float), said["probability"]
        best = min(names, key=lambda name: answer["baselines"][name]["brier"])
        loss = (ours - truth) ** 2
        difference = self.bootstrap(loss - (said[best] - truth) ** 2) if best in said else None
        run = numpy.unique(said["run"], return_inverse=True)[1]
        return {"sample": f"{source} {offset}+{rows}", "serves": answer["probability"]["choice"].get("chosen"),
                "loss": float(loss.mean()), "baseline": best, "baseline_loss": answer["baselines"][best]["brier"],
                "difference": difference, "not_worse": difference is None or difference[0] <= 0,
                } | self.calibration_by(ours, truth, run)

    def bootstrap(self, differences) -> list:
        import numpy
        n = len(differences)
        means = [differences[self.chance.integers(n, size=n)].mean() for _ in range(2000)]
        return [float(q) for q in numpy.quantile(means, [0.025, 0.975])]

    def calibration_by(self, said, truth, run) -> dict:
        """The same of rows of which those of one run have one outcome."""
        import numpy
        at = numpy.minimum((said * 10).astype(int), 9)

        def error(outcome):
            return numpy.abs(numpy.bincount(at, said - outcome, minlength=10)).sum() / len(said)

        drawn = [error(self.chance.random(run.max() + 1)[run] < said) for _ in range(2000)]
        alone = [error(self.chance.random(len(said)) < said) for _ in range(2000)]
        ece, most = float(error(truth)), float(numpy.quantile(drawn, 0.95))
        return {"ece": ece, "ece_most": most, "ece_inside": ece <= most + 1e-12,
                "ece_rows_inside": bool(ece <= numpy.quantile(alone, 0.95) + 1e-12)}

    def calibration(self, said, rows, came) -> dict:
        """The calibration error over ten ranges, beside that of outcomes drawn from what was said."""
        import numpy
        said, rows, came = (numpy.asarray(v, dtype=float) for v in (said, rows, came))
        drawn = self.chance.binomial(rows.astype(int), numpy.clip(said, 0, 1), size=(4000, len(said)))
        most = numpy.quantile(numpy.abs(drawn - rows * said).sum(axis=1), 0.95) / rows.sum()
        ece = float(numpy.abs(came - rows * said).sum() / rows.sum())
        return {"ece": ece, "ece_most": float(most), "ece_inside": bool(ece <= most + 1e-12)}


def of_card(card: dict) -> dict:
    verdict, serves = card["verdict"], card["judged"].get("serves") or [{"name": card["algorithm"][:30]}]
    difference = verdict.get("difference")
    return {"serves": serves[0]["name"], "loss": verdict["ours"], "baseline": verdict["baseline"],
            "baseline_loss": verdict["best_baseline"], "rows": [card["rows_train"], card["rows_test"]],
            "difference": difference and [difference["low"], difference["high"]],
            "not_worse": difference is None and verdict["beats_baselines"] or bool(difference) and difference["low"] <= 0}


def band(n: int, p: float, outside: float = 0.01) -> tuple:
    """The least and the most of n that a binomial share p leaves but for `outside`, half of it on each side."""
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log(1 - p)
            for k in range(n + 1)]
    total, low, high = 0.0, None, n
    for k, log in enumerate(logs):
        total += math.exp(log)
        low = k if low is None and total >= outside / 2 else low
        if total >= 1 - outside / 2:
            high = k
            break
    return low or 0, high


def compare(pipeline: str, data: pathlib.Path, folder: pathlib.Path, samples: int, seed: int, only=None) -> dict:
    found = {}
    for kind in only or ("builds", "table", "hours"):
        sampler = Sampler(pipeline, data, folder, seed)
        found[kind] = []
        while len(found[kind]) < samples:
            one = getattr(sampler, kind)()
            if one is not None:
                found[kind].append(one)
    return found


def table(found: dict) -> str:
    lines = ["| samples | not worse than the best baseline | inside: p90 or ECE |", "|---|---|---|"]
    for kind, samples in found.items():
        held = "p90_inside" if kind == "builds" else "ece_inside"
        lines.append(f"| {kind} | {sum(s['not_worse'] for s in samples)} of {len(samples)} | "
                     f"{sum(s[held] for s in samples)} of {len(samples)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", help="a release build of the program; built now when not given")
    parser.add_argument("--data", default=str(measure.CHECKOUT.parent / "shared/data"))
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=("builds", "table", "hours"))
    parser.add_argument("--work", help="where lakes are made and removed again")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pipeline = measure.program(args.pipeline)
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        found = compare(pipeline, pathlib.Path(args.data).resolve(), pathlib.Path(folder), args.samples, args.seed, args.only)
    print(json.dumps(found) if args.json else table(found))


if __name__ == "__main__":
    main()
