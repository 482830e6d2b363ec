"""Writes team/, a made-up month of a made-up team, and team-next/, a week after it under the limits that the plan of
jobs/demo.toml set: the same bytes every time. Standard library only.

    python3 data-samples/make.py

Every rule that the models could learn is written down here, next to the noise that hides it. README.md says what
this can and cannot tell.
"""

import gzip
import json
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

FROM = datetime(2026, 10, 22, tzinfo=timezone.utc)
UNTIL = datetime(2026, 11, 21, tzinfo=timezone.utc)
STEP = timedelta(minutes=10)

# The plan of jobs/demo.toml is applied at the one, and looked at by the other.
APPLIED = datetime(2026, 11, 22, tzinfo=timezone.utc)
NEXT_UNTIL = datetime(2026, 11, 29, tzinfo=timezone.utc)
ENV = "acme-dev"
MIB = 1 << 20
GIB = 1 << 30

# People resized two services on this morning; the team's verdicts on it are among the events.
RESIZED = datetime(2026, 10, 27, 6, tzinfo=timezone.utc)
PLAN = "p20261027T060000Z-3f9c2a10"

# A new version of the api was rolled out under double traffic.
DEPLOYED = (datetime(2026, 11, 4, 13, tzinfo=timezone.utc), datetime(2026, 11, 4, 17, tzinfo=timezone.utc))

LIMITS = {  # cores, bytes; the same as in compose/compose.yaml
    "web": (4.0, 8 * GIB),
    "api": (1.5, 1 * GIB),
    "worker": (2.0, 2 * GIB),
    "db": (2.0, 4 * GIB),
    "cache": (0.5, 4 * GIB),
}

PLANNED = {  # what that plan set, of the services that it changed
    "web": (1.05, 997 * MIB),
    "api": (1.88, 1 * GIB),
    "worker": (2.0, 2560 * MIB),
}

# The load test that was announced.
TESTED = (datetime(2026, 11, 22, 9, tzinfo=timezone.utc), datetime(2026, 11, 22, 12, tzinfo=timezone.utc))


def limits(service, at):
    cores, memory = LIMITS[service]
    if at > APPLIED:
        cores, memory = PLANNED.get(service, LIMITS[service])
    if at < RESIZED and service == "api":
        cores = 2.0
    if at < RESIZED and service == "cache":
        memory = 6 * GIB
    return cores, memory


def stamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def usual_load(at):
    """How busy the team is, about 0 to 1.1: two humps a day, Tuesday the fullest, weekends nearly empty."""
    day = [1.0, 1.1, 1.04, 1.0, 0.82, 0.1, 0.07][at.weekday()]
    hour = at.hour + at.minute / 60
    humps = math.exp(-(((hour - 10.5) / 1.9) ** 2)) + 0.95 * math.exp(-(((hour - 15.2) / 2.1) ** 2))
    nightly = 0.35 * math.exp(-(((hour - 2.5) / 0.5) ** 2))  # jobs, also on weekends
    return 0.04 + day * humps + nightly


def clip(value, low, high):
    return max(low, min(high, value))


def simulate(rng, begin=FROM, until=UNTIL):
    """Every service at every sample: {service: [(end of interval, figures)]}."""
    month = {}
    for service in LIMITS:
        samples, drift, cached = [], 0.0, 0.0
        at = begin + STEP
        while at < until:
            drift = 0.85 * drift + rng.gauss(0, 0.06)  # busy and quiet hours cling together
            load = usual_load(at - STEP / 2) * math.exp(drift)
            if service == "api" and DEPLOYED[0] < at <= DEPLOYED[1]:
                load = load * 1.6 + 0.3
            if service == "api" and TESTED[0] < at <= TESTED[1]:
                load = load * 1.5 + 0.3
            samples.append((at, figures(rng, service, at, load, cached)))
            cached = samples[-1][1].pop("_cached")
            at += STEP
        month[service] = samples
    return month


def figures(rng, service, at, load, cached):
    cpu_limit, memory_limit = limits(service, at)
    wobble = math.exp(rng.gauss(0, 0.08))
    cpu = {  # what it would use if nothing held it back
        "web": 0.05 + 0.26 * load,  # idle: a tenth of its limit
        "api": 0.12 + 1.42 * load,  # over its limit at busy hours
        "worker": 0.10 + 1.05 * load,
        "db": 0.25 + 1.1 * load,  # right-sized
        "cache": 0.04 + 0.18 * load,
    }[service] * wobble
    memory = {  # MiB
        "web": 560 + 60 * load,
        "api": 480 + 190 * load,
        "worker": 1100 + 940 * load,  # over its limit at busy hours
        "db": 2620 + 420 * load,
        "cache": 310 + 60 * load,  # a tenth of its limit
    }[service] * math.exp(rng.gauss(0, 0.02)) * MIB
    if service == "db":
        cached = clip(cached + 2 * load - 0.4, 0, 160)  # page cache that grows and is given back slowly
        memory += cached * MIB

    # The scheduler throttles bursts long before the mean reaches the limit.
    pressed = cpu / cpu_limit
    throttled = clip((pressed - 0.7) / 0.75, 0.0, 0.95)
    psi_cpu = clip(0.6 * throttled + 0.01 * load + rng.gauss(0, 0.004), 0.0, 1.0)

    peak = memory * (1.02 + abs(rng.gauss(0, 0.02)))
    short = max(0.0, peak / memory_limit - 1)
    psi_memory = clip(0.04 + 2.5 * short + rng.gauss(0, 0.01), 0.0, 0.8) if short else 0.0
    kills = 1 if short and rng.random() < clip(2.5 * short, 0, 0.45) else 0
    if kills:
        memory *= 0.62  # it came back smaller
    throughput = load * wobble
    out = {
        "interval_s": 600,
        "cpu_cores": round(min(cpu, 0.98 * cpu_limit), 3),
        "cpu_limit_cores": cpu_limit,
        "throttled_ratio": round(throttled, 3),
        "memory_bytes": int(min(memory, 0.97 * memory_limit) // MIB * MIB),
        "memory_peak_bytes": int(min(peak, memory_limit) // MIB * MIB),
        "memory_limit_bytes": memory_limit,
        "oom_kills": kills,
        "io_read_bytes": int(throughput * (90 if service == "db" else 8)) * MIB,
        "io_write_bytes": int(throughput * (60 if service in ("db", "worker") else 5)) * MIB,
        "net_rx_bytes": int(throughput * (240 if service in ("web", "api") else 40)) * MIB // 4,
        "net_tx_bytes": int(throughput * (420 if service in ("web", "cache") else 60)) * MIB // 4,
        "psi_cpu_some": round(psi_cpu, 3),
        "psi_memory_some": round(psi_memory, 3),
        "psi_memory_full": round(psi_memory * 0.4, 3),
        "psi_io_some": round(clip((0.05 if service == "db" else 0.01) * throughput, 0.0, 1.0), 3),
        "_cached": cached,
    }
    if kills:
        out["top_process"] = {"name": "python", "memory_bytes": int(memory_limit * 0.8) // MIB * MIB}
    return out


def event(at, kind, payload, **outer):
    outer = {"env" if k == "environment" else k: v for k, v in outer.items() if v is not None}
    return {"ts": stamp(at), "type": kind, **outer, "payload": payload}


class Repo:
    def __init__(self, name, language, service, sloc, commands, folders):
        self.name, self.language, self.service, self.sloc = name, language, service, sloc
        self.commands, self.folders, self.last_pr, self.last_run = commands, folders, 100, {}


# (command line, kind, seconds when warm, MiB) of what people and CI do in each repository.
REPOS = [
    Repo("acme/api", "rust", "api", 42_000, {
        "build": ("cargo build", 95, 240), "test": ("cargo test", 150, 300), "lint": ("cargo clippy", 40, 180),
    }, ["src/routes", "src/store", "src/auth", "tests"]),
    Repo("acme/web", "typescript", "web", 31_000, {
        "build": ("npm run build", 55, 900), "test": ("npm test", 70, 700), "lint": ("npx eslint .", 22, 380),
    }, ["src/pages", "src/components", "src/api", "test"]),
    Repo("acme/data", "python", "worker", 18_000, {
        "build": ("python -m build", 25, 160), "test": ("pytest -q", 110, 420), "lint": ("ruff check .", 6, 70),
    }, ["jobs", "models", "features", "tests"]),
]
ENDINGS = {"rust": "rs", "typescript": "ts", "python": "py"}
TITLES = ["Handle empty input", "Retry on timeout", "Cache lookups", "Split the handler", "Fix login redirect",
          "Add paging", "Drop the old field", "Faster import", "Validate totals", "Show progress", "Rename columns",
          "Stream the export", "Bump dependencies", "Fix flaky test", "Support dark mode", "Limit the queue"]
NOTES = ["waiting for the schema change", "the slow test is the import one", "tried a second index, no gain",
         "needs a decision on names", "paired on this", "works on staging", "left the old path for one release"]


class Month:
    """Plays the team's month against the simulated services."""

    def __init__(self, rng, usage):
        self.rng, self.events, self.runs = rng, [], 0
        self.state = {service: dict(samples) for service, samples in usage.items()}

    def add(self, at, kind, payload, **outer):
        if FROM <= at < UNTIL:
            self.events.append(event(at, kind, payload, **outer))

    def contention(self, service, at):
        slot = FROM + STEP * ((at - FROM) // STEP + 1)
        return self.state[service].get(slot) or self.state[service][UNTIL - STEP]

    def run(self, repo, job, at, churn, ci):
        """One execution on the repository's service: what it took, used, and how it ended."""
        rng, service = self.rng, repo.service
        command, seconds, mib = repo.commands[job]
        state, (cpu_limit, memory_limit) = self.contention(service, at), limits(service, at)
        last = repo.last_run.get(job)
        cold = last is None or at - last > timedelta(hours=5) or rng.random() < (0.25 if ci else 0.04)
        repo.last_run[job] = at
        changed = churn["src_churn"] + 0.5 * churn["test_churn"]
        slow = (1 + 0.22 * math.log1p(changed / 60)) * (1.9 if cold else 1.0) * (1.25 if ci else 1.0)
        # Both stalls are the service's own, so runs at its busy hours are the slow ones.
        slow *= 1 + 1.6 * state["throttled_ratio"] + 1.3 * state["psi_memory_some"]
        duration = seconds * slow * math.exp(rng.gauss(0, 0.13))
        memory = mib * (1 + 0.12 * math.log1p(changed / 100)) * math.exp(rng.gauss(0, 0.07)) * MIB
        room = memory_limit - state["memory_bytes"]
        killed = service == "worker" and memory > room and rng.random() < 0.35
        failing = clip(0.06 + 0.035 * math.log1p(changed / 40) + (0.12 if job == "test" and not ci else 0), 0, 0.5)
        failed = killed or rng.random() < failing
        if killed:
            duration *= rng.uniform(0.2, 0.8)
            memory = min(memory, room)
            # The service's own sample of that moment must show it too.
            there = self.contention(service, at + timedelta(seconds=duration))
            there["oom_kills"] += 1
            there["memory_peak_bytes"] = there["memory_limit_bytes"]
            there["psi_memory_some"] = max(0.08, there["psi_memory_some"])
        elif failed:
            duration *= rng.uniform(0.5, 1.0)
        cores = min(cpu_limit, {"build": 1.7, "test": 1.2, "lint": 0.9}[job]) * (1 - 0.45 * state["throttled_ratio"])
        result = "error" if killed else "failure" if failed else "success"
        if ci and duration > 900:
            duration, result, failed = 900.0, "timeout", True
        payload = {
            "duration_ms": int(duration * 1000),
            "cpu_ms": int(duration * cores * rng.uniform(0.8, 1.0) * 1000),
            "memory_peak_bytes": int(memory) // MIB * MIB,
            "io_read_bytes": int((600 if cold else 30) * rng.uniform(0.7, 1.3)) * MIB,
            "io_write_bytes": int(mib * rng.uniform(0.2, 0.5)) * MIB,
            "cpu_limit_cores": cpu_limit,
            "memory_limit_bytes": memory_limit,
            "throttled_ratio": state["throttled_ratio"],
            "oom_killed": killed,
            "psi_cpu_some": state["psi_cpu_some"],
            "psi_memory_some": state["psi_memory_some"],
            "psi_io_some": state["psi_io_some"],
            "cache": "cold" if cold else "warm",
            "language": repo.language,
        }
        return command, payload, result, failed, 137 if killed else 1 if failed else 0

    def local_run(self, repo, job, at, churn, outer):
        command, payload, _, failed, code = self.run(repo, job, at, churn, ci=False)
        payload = {"command": command, "exit_code": code, "kind": job, **payload,
                   "src_churn": churn["src_churn"], "test_churn": churn["test_churn"]}
        if job == "test":
            wrong = self.rng.randint(1, 4) if code == 1 else 0
            total = repo.sloc // 140
            payload |= {"passed": total - wrong, "failed": wrong, "skipped": 3}
            if wrong:
                payload["stdout_sample"] = f"{wrong} failed, {total - wrong} passed"
        self.add(at, "test" if job == "test" else "command", payload, resource=f"{ENV}/{repo.service}", **outer)
        return failed, at + timedelta(milliseconds=payload["duration_ms"])

    def ci(self, repo, at, churn, sha, outer, workflow="ci"):
        """The jobs of one push; a flaky failure is run again and passes. Gives the end and whether it is green."""
        ended, green = at, True
        for job in ("lint", "build", "test"):
            begin = at
            for attempt in (1, 2):
                queued = self.rng.expovariate(1 / (4 + 35 * usual_load(begin)))
                begin += timedelta(seconds=int(queued) + 1)
                _, payload, result, failed, _ = self.run(repo, job, begin, churn, ci=True)
                self.runs += 1
                self.add(begin, "ci_run", {
                    "run_id": f"{repo.name.split('/')[1]}-{self.runs}", "workflow": workflow, "job": job,
                    "result": result, "queued_ms": int(queued * 1000), "runner": "self-hosted", "sha": sha,
                    "attempt": attempt, **churn, **payload, "from_fork": False, "author_association": "MEMBER",
                }, resource=f"{ENV}/{repo.service}", **outer)
                begin += timedelta(milliseconds=payload["duration_ms"])
                if not failed or self.rng.random() < 0.6:
                    break
            ended, green = max(ended, begin), green and not failed
        return ended, green

    def work(self, at, minutes):
        """`at` and so many minutes of somebody's working time: nights and weekends are passed over."""
        at += timedelta(minutes=max(0.2, minutes))
        while at.weekday() > 4 or not 7 <= at.hour < 18:
            morning = at.replace(hour=7, minute=30, second=0) + timedelta(days=1 if at.hour >= 7 else 0)
            at = morning + timedelta(seconds=self.rng.randint(0, 3 * 3600))
        return at

    def pull_request(self, repo, at, nth):
        rng = self.rng
        repo.last_pr += 1
        title, who = rng.choice(TITLES), f"dev-{rng.randint(1, 6)}"
        branch = f"{rng.choice(['fix', 'feature'])}/{title.lower().replace(' ', '-')}-{repo.last_pr}"
        churn = dict.fromkeys(["jobs", "commits", "team_size", "src_churn", "test_churn", "files_changed",
                               "files_added", "files_deleted", "files_modified", "src_files", "doc_files",
                               "other_files", "tests_added", "tests_deleted", "commits_on_files_touched"], 0)
        churn |= {"jobs": 3, "team_size": 6, "sloc": repo.sloc, "test_lines_per_kloc": 310.5,
                  "commits_on_files_touched": rng.randint(1, 40)}
        size = math.exp(rng.gauss(3.0, 0.7))  # lines an edit
        at = self.work(at, 0)

        number, opened = repo.last_pr, False

        def outer():
            # One in four editors does not know the pull request before it is open: only the branch links the two.
            known = opened or nth % 4 != 2
            return {"repo": repo.name, "branch": branch, "pr": number if known else None, "developer": who,
                    "environment": ENV, "session": f"{who}-{at:%m%d}"}

        for _ in range(rng.randint(1, 5)):  # commits
            files = []
            for _ in range(rng.randint(4, 16)):
                folder = rng.choice(repo.folders)
                file = f"{folder}/{rng.choice(['mod', 'index', 'parse', 'query', 'view', 'task'])}.{ENDINGS[repo.language]}"
                added, removed = int(rng.expovariate(1 / size)) + 1, int(rng.expovariate(2 / size))
                self.add(at, "edit", {"file": file, "lines_added": added, "lines_removed": removed}, **outer())
                churn["test_churn" if "test" in folder else "src_churn"] += added + removed
                if file not in files:
                    files.append(file)
                at = self.work(at, rng.expovariate(1 / 7))
                if rng.random() < 0.10:
                    lines = sorted(rng.randint(1, 400) for _ in range(2))
                    self.add(at, "debug", {"breakpoints": [f"{file}:{n}" for n in lines],
                                           "duration_ms": rng.randint(20, 900) * 1000}, **outer())
                if rng.random() < 0.15:
                    service = rng.choice(["db", "cache", "api"])
                    slow = 1 + 4 * self.contention(service, at)["throttled_ratio"]
                    self.add(at, "api_call", {
                        "service": service, "endpoint": rng.choice(["/health", "/v1/items", "/v1/totals"]),
                        "status": 503 if rng.random() < 0.03 * slow else 200,
                        "duration_ms": int(rng.expovariate(1 / 40) * slow) + 2}, **outer())
            for job in rng.choices(["build", "test", "test", "lint"], k=rng.randint(1, 4)):
                failed, at = self.local_run(repo, job, at, churn, outer())
                at = self.work(at, rng.expovariate(1 / 4))
                if failed and rng.random() < 0.8:
                    file = rng.choice(files)
                    self.add(at, "edit", {"file": file, "lines_added": 3, "lines_removed": 2}, **outer())
                    at = self.work(at, rng.expovariate(1 / 3))
                    _, at = self.local_run(repo, job, at, churn, outer())
                    at = self.work(at, 1)
            sha = f"{rng.getrandbits(160):040x}"
            churn["commits"] += 1
            churn["files_changed"] += len(files)
            churn["files_modified"] = churn["files_changed"] - churn["files_added"]
            churn["src_files"] = churn["files_changed"]
            churn["tests_added"] = churn["test_churn"] // 25
            self.add(at, "commit", {"sha": sha, "message": title, "files_changed": len(files), "files": files,
                                    "insertions": int(size * len(files)), "deletions": int(size * len(files) / 2)},
                     **outer())
            at = self.work(at, 0.5)
            self.add(at, "push", {"sha": sha, "message": title, "files_changed": len(files)}, **outer())
            at = self.work(at, 0.4)
            action = "synchronize" if opened else "opened"
            opened = True
            self.add(at, "pr", {"action": action, "title": title, "labels": [branch.split("/")[0]],
                                "from_fork": False, "author_association": "MEMBER"}, **outer())
            ended, green = self.ci(repo, at + timedelta(seconds=5), churn, sha, outer())
            at = self.work(ended, rng.expovariate(1 / 60))
            if rng.random() < 0.4:
                self.add(at, "annotation", {"note": rng.choice(NOTES)}, **outer())
        reviewer = f"dev-{rng.randint(1, 6)}"
        for action, minutes in [("review_requested", 5), ("reviewed", 150), ("commented", 20), ("approved", 90)]:
            at = self.work(at, rng.expovariate(1 / minutes))
            person = who if action == "review_requested" else reviewer
            self.add(at, "pr", {"action": action, "title": title}, **outer() | {"developer": person})
        at = self.work(at, rng.expovariate(1 / 45))
        if nth % 10 == 3:  # six of sixty stay open
            return
        action = "closed" if nth % 9 == 5 else "merged"
        self.add(at, "pr", {"action": action, "title": title}, **outer())
        if action == "merged":
            main = {"repo": repo.name, "branch": "main", "environment": ENV}
            self.ci(repo, at + timedelta(seconds=9), churn, sha, main, workflow="main")


def story(month):
    """What is scheduled, what was adjusted, and what the team said about it."""
    def at(text):
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)

    month.add(at("2026-11-02T09:30:00"), "schedule", {
        "event_id": "deploy-api-2026-11-04", "event_type": "deployment", "start_time": stamp(DEPLOYED[0]),
        "end_time": stamp(DEPLOYED[1]), "details": {"scale": 1.6, "version": "2.4.0"},
    }, environment=ENV, resource=f"{ENV}/api")
    month.add(at("2026-11-20T15:10:00"), "schedule", {
        "event_id": "load-api-2026-11-22", "event_type": "load", "start_time": "2026-11-22T09:00:00Z",
        "end_time": "2026-11-22T12:00:00Z", "details": {"scale": 1.5, "why": "load test before the sale"},
    }, environment=ENV, resource=f"{ENV}/api")
    items = [
        ("1", "api", {"cpu_cores": 2.0, "memory_bytes": GIB}, {"cpu_cores": 1.5, "memory_bytes": GIB}),
        ("2", "cache", {"cpu_cores": 0.5, "memory_bytes": 6 * GIB}, {"cpu_cores": 0.5, "memory_bytes": 4 * GIB}),
    ]
    for number, service, before, after in items:
        month.add(RESIZED, "adjustment", {
            "plan_id": PLAN, "item_id": f"3f9c2a10-{number}", "action": "resize", "before": before, "after": after,
            "result": "applied"}, environment=ENV, resource=f"{ENV}/{service}")
    for when, who, number, service, verdict, note in [
        ("2026-10-27T12:05:00", "dev-3", "1", "api", "slowed-down", "test runs before lunch take half as long again"),
        ("2026-10-28T15:40:00", "dev-1", "1", "api", "slowed-down", "same here in the afternoon"),
        ("2026-10-29T09:12:00", "dev-5", "2", "cache", "neutral", None),
        ("2026-10-30T16:30:00", "dev-2", "2", "cache", "helpful", "no difference felt, two GiB back"),
        ("2026-11-05T10:20:00", "dev-4", "1", "api", "slowed-down", "rollout day was the worst"),
    ]:
        payload = {"item_id": f"3f9c2a10-{number}", "verdict": verdict, "note": note}
        month.add(at(when), "feedback", {k: v for k, v in payload.items() if v is not None},
                  developer=who, environment=ENV, resource=f"{ENV}/{service}")
    day = FROM
    while day < UNTIL:
        merged = sum(1 for e in month.events if e["type"] == "pr" and e["payload"]["action"] == "merged"
                     and e["ts"].startswith(f"{day:%Y-%m-%d}"))
        end = day + timedelta(hours=23, minutes=55)
        month.add(end, "kpi", {"metric": "pull_requests_merged", "value": merged, "unit": "1"}, environment=ENV)
        day += timedelta(days=1)


def write(path, events):
    text = "".join(json.dumps(e, separators=(",", ":")) + "\n" for e in events)
    # No name and no time in the header, or the bytes would change with every run.
    with open(path, "wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(text.encode())
    print(f"{path.name}: {len(events)} events, {path.stat().st_size / 1e6:.2f} MB")


def usage_events(usage):
    samples = [event(at, "usage", {k: v for k, v in state.items()}, environment=ENV, resource=f"{ENV}/{service}")
               for service, states in usage.items() for at, state in states]
    return sorted(samples, key=lambda e: e["ts"])


def main():
    folder = Path(__file__).parent / "team"
    folder.mkdir(exist_ok=True)
    usage = simulate(random.Random(20261001))
    month = Month(random.Random(20261101), usage)
    starts = []
    for nth in range(60):
        repo = REPOS[nth % 3]
        at = FROM + timedelta(days=month.rng.uniform(0.3, 28.6))
        if at.weekday() > 4:
            at -= timedelta(days=2)  # or Mondays would get three days of starts
        starts.append((month.work(max(at, FROM), 1), nth, repo))
    for at, nth, repo in sorted(starts, key=lambda start: start[0]):
        month.pull_request(repo, at, nth)
    for day in range((UNTIL - FROM).days):  # the nightly build of each main branch
        for repo in REPOS:
            at = FROM + timedelta(days=day, hours=2, minutes=10 + 7 * REPOS.index(repo))
            quiet = {"jobs": 3, "commits": 1, "team_size": 6, "src_churn": 0, "test_churn": 0, "files_changed": 0,
                     "sloc": repo.sloc}
            month.ci(repo, at, quiet, f"{month.rng.getrandbits(160):040x}",
                     {"repo": repo.name, "branch": "main", "environment": ENV}, workflow="nightly")
    story(month)
    write(folder / "usage.ndjson.gz", usage_events(usage))
    write(folder / "activity.ndjson.gz", sorted(month.events, key=lambda e: e["ts"]))
    folder = folder.with_name("team-next")
    folder.mkdir(exist_ok=True)
    write(folder / "usage.ndjson.gz", usage_events(simulate(random.Random(20261130), APPLIED, NEXT_UNTIL)))


if __name__ == "__main__":
    main()
