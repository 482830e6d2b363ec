"""Records real builds in containers whose processor, memory, disk or neighbours are limited, beside free twins.

    python3 record.py --work DIR --pipeline BIN prepare                  # system and sources; needs the network
    python3 record.py --work DIR --pipeline BIN [--until 14:30] record   # about an hour; goes on where it stopped
    python3 record.py --work DIR table                                   # events.ndjson.gz and runs.csv, here

Needs root, debootstrap, dockerd, cargo, npm, node and pip; two cores: everything recorded runs on core 0, this script,
the engine and the collector on core 1. What each run's constraint is, is written down before it starts.
"""
import argparse
import csv
import datetime
import gzip
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import time

from grid import BY_NAME, LEAD_S, NEIGHBOURS, PROJECTS, SEED, SETTINGS, TWINS_FIRST, Project, Setting

HERE = pathlib.Path(__file__).parent
PACKAGES = "gcc,g++,make,libc6-dev,pkg-config,perl,dpkg-dev,python3,python3-dev,python3-setuptools,openjdk-17-jdk-headless"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, **options)


class Recorder:
    def __init__(self, work: pathlib.Path, pipeline: pathlib.Path | None):
        self.work, self.pipeline = work, pipeline
        self.socket = f"unix://{work}/docker.sock"
        self.raw = work / "raw"
        self.raw.mkdir(parents=True, exist_ok=True)

    def docker(self, *words, **options):
        return run("docker", "-H", self.socket, *words, **options)

    def start_engine(self):
        """An engine of our own. The containers on core 0, and we on core 1, go before anything else that wants a core."""
        for name in ("contention", "contention-recorder"):
            group = pathlib.Path("/sys/fs/cgroup/cpu") / name
            group.mkdir(exist_ok=True)
            (group / "cpu.shares").write_text("65536")
        (group / "cgroup.procs").write_text(str(os.getpid()))
        pathlib.Path("/sys/fs/cgroup/cpuacct/contention").mkdir(exist_ok=True)  # read before the first container makes it
        # The engine syncs the file system below its layers whenever a container goes: in memory that is nothing.
        if not (self.work / "docker").is_mount():
            (self.work / "docker").mkdir(exist_ok=True)
            run("mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", self.work / "docker")
        log = open(self.work / "dockerd.log", "ab")
        self.engine = subprocess.Popen(
            ["dockerd", "--iptables=false", "--bridge=none", "-H", self.socket, "--data-root", self.work / "docker",
             "--exec-root", self.work / "exec", "-p", self.work / "docker.pid"], stdout=log, stderr=log)
        for _ in range(60):
            if subprocess.run(["docker", "-H", self.socket, "version"], capture_output=True).returncode == 0:
                return
            time.sleep(0.5)
        raise SystemExit("the engine does not start: see dockerd.log")

    # ---- the image and the sources

    def prepare(self):
        root = self.work / "rootfs"
        if not root.exists():
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root)
            sources = root / "etc/apt/sources.list"
            sources.write_text(sources.read_text() + sources.read_text().replace("deb ", "deb-src "))
            shutil.copy(shutil.which("node"), root / "usr/local/bin/node")
        rust = self.work / "rust"
        if not rust.exists():
            sysroot = subprocess.check_output(["rustc", "--print", "sysroot"], text=True).strip()
            for part in ("bin", "lib"):
                shutil.copytree(pathlib.Path(sysroot) / part, rust / part, symlinks=True)
        self.make_image()
        for project in PROJECTS:
            done = self.work / "state" / project.name
            if not done.exists():
                print("fetching", project.name, flush=True)
                folder = self.work / "fetching" / project.name
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                {"debian": self.from_debian, "pypi": self.from_pypi, "npm": self.from_npm, "crate": self.from_crate,
                 "sys-crate": self.from_sys_crate}[project.source[0]](folder, *project.source[1:])
                if project.language == "Java":
                    run("sh", "-c", "mkdir out; find src/main/java -name '*.java' | sort > files", cwd=folder)
                done.parent.mkdir(exist_ok=True)
                folder.rename(done)

    def make_image(self):
        """All of the system but /usr, which is mounted from the disk so that reading it can be made slow."""
        without = ["--exclude=./sources", "--exclude=./usr/*", "--exclude=./var/cache", "--exclude=./var/lib/apt"]
        files = subprocess.Popen(["tar", "-C", self.work / "rootfs", *without, "-c", "."], stdout=subprocess.PIPE)
        self.docker("import", "-", "contention", stdin=files.stdout, stdout=subprocess.DEVNULL)

    def from_debian(self, folder, package):
        """Upstream's own source, without Debian's changes."""
        root = self.work / "rootfs"
        inside = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root}/proc", "chroot", root]
        run(*inside, "sh", "-c", f"mkdir -p /sources/{package}; cd /sources/{package}; apt-get update -qq; "
            f"apt-get source -qq --download-only {package}")
        (tarball,) = (root / "sources" / package).glob("*.orig.tar.*z")
        run("tar", "-xf", tarball, "-C", folder, "--strip-components=1")

    def from_pypi(self, folder, package, *tools):
        run("pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder.parent, package)
        tarball = folder.parent / (package.replace("==", "-") + ".tar.gz")
        run("tar", "-xf", tarball, "-C", folder, "--strip-components=1")
        if tools:
            run("pip", "install", "-q", "--target", folder / ".tools", *tools)

    def from_npm(self, folder, *packages):
        run("npm", "init", "-y", cwd=folder, stdout=subprocess.DEVNULL)
        run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages, cwd=folder)
        shutil.rmtree(folder / "node_modules/three/examples", ignore_errors=True)

    def cargo(self, folder, crate, version, features):
        (folder / "src").mkdir()
        (folder / "src/main.rs").write_text("fn main() {}\n")
        (folder / "Cargo.toml").write_text(
            '[package]\nname = "builds"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n[dependencies]\n'
            f'{crate} = {{ version = "{version}", features = {json.dumps(features)} }}\n')
        environment = os.environ | {"CARGO_HOME": str(self.work / "cargo")}
        run("cargo", "fetch", "-q", "--target", "x86_64-unknown-linux-gnu", cwd=folder, env=environment)

    def from_crate(self, folder, crate, version, features):
        """Its dependencies are built here, so that the recorded build is of this crate alone."""
        self.cargo(folder, crate, version, features)
        for words in (["build", "-q"], ["clean", "-q", "-p", crate]):
            self.docker("run", "--rm", *self.options(folder), "contention", "cargo", *words, "--offline")

    def from_sys_crate(self, folder, crate, version, inside):
        self.cargo(folder, crate, version, [])
        (source,) = (self.work / "cargo/registry/src").glob(f"*/{crate}-{version[1:]}/{inside}")
        shutil.rmtree(folder)
        shutil.copytree(source, folder)

    # ---- one run

    def options(self, source):
        """What all containers have in common: core 0, no network, the sources, the toolchains."""
        return ["--network", "none", "--cpuset-cpus", "0", "--cgroup-parent", "contention", "-v", f"{source}:/src", "-w", "/src",
                "-v", f"{self.work}/rootfs/usr:/usr:ro",
                "-v", f"{self.work}/rust:/opt/rust:ro", "-v", f"{self.work}/cargo:/cargo", "-e", "CARGO_HOME=/cargo",
                "-e", "CARGO_TARGET_DIR=/src/target", "-e", "PYTHONPATH=/src/.tools",
                "-e", "PATH=/src/node_modules/.bin:/opt/rust/bin:/usr/local/bin:/usr/bin:/bin"]

    def named(self, name, repo=None):
        """Its name and labels, and a folder for temporary files on the disk."""
        temporary = self.work / "tmp" / name
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        labels = ["pipeline.env=contention", f"pipeline.service={name}"] + ([f"pipeline.repo={repo}"] if repo else [])
        return ["--name", name, "-v", f"{temporary}:/tmp", *(word for label in labels for word in ("--label", label))]

    def page_cache(self, project, cold):
        """The system and the toolchain out of the page cache, or into it on our own account: never on the container's."""
        buffer = bytearray(1 << 20)
        for top in ("rootfs/usr", "rust", "cargo") if project.language == "Rust" else ("rootfs/usr",):
            for folder, _, names in os.walk(self.work / top):
                for path in (os.path.join(folder, name) for name in names):
                    if os.path.isfile(path) and not os.path.islink(path):
                        with open(path, "rb", 0) as file:
                            if cold:
                                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                            while not cold and file.readinto(buffer):
                                pass

    def start_neighbour(self, kind, number, project):
        if kind == "build":
            other = BY_NAME["lua" if project.name == "lz4" else "lz4"]
            command = f"while :; do rm -rf /tmp/b; cp -a /src /tmp/b; (cd /tmp/b/{other.folder}; {other.command}); done"
            options, words = [], ["sh", "-c", command]
            source, repo = self.work / "state" / other.name, other.repo
        else:
            options, words = NEIGHBOURS[kind]
            source, repo = self.work / "state" / project.name, None
        name = f"neighbour-{number}"
        self.docker("run", "-d", "--rm", *self.named(name, repo), *self.options(f"{source}"), *options, "contention", *words,
                    stdout=subprocess.DEVNULL)
        return name

    def limits(self, project, setting):
        """In bytes and bytes a second, from the twins and the cold run of this project that were recorded before."""
        rows = [row for row in self.rows() if row["project"] == project.name]
        twins = [row for row in rows if row["setting"].startswith("twin-")]
        memory = reads = None
        if setting.memory:
            memory = int(setting.memory * statistics.median(row["peak_bytes"] for row in twins)) >> 12 << 12
        if setting.reads:
            read = next(row for row in rows if row["setting"] == "cold")["read_bytes"]
            reads = int(setting.reads * read / statistics.median(row["duration_ms"] / 1000 for row in twins))
        patience_s = max([30.0] + [5 * row["duration_ms"] / 1000 for row in twins])
        return memory, reads, patience_s

    def record(self, project: Project, setting: Setting):
        key = f"{project.name}-{setting.name}"
        memory, reads, patience_s = self.limits(project, setting)
        job, out = self.work / "job", self.work / "out"
        for folder in (job, out):
            shutil.rmtree(folder, ignore_errors=True)
        out.mkdir()
        run("cp", "-a", self.work / "state" / project.name, job)
        self.page_cache(project, setting.cold)
        outer = {"repo": project.repo, "env": "contention", "resource": f"contention/{project.name}", "session": key,
                 "developer": "recorder"}
        imposed = {"constraint": setting.constraint, "setting": setting.name, "cpu_limit_cores": setting.cpus,
                   "memory_limit_bytes": memory, "read_limit_bytes_per_s": reads, "cold_cache": setting.cold,
                   "neighbours": len(setting.neighbours), "neighbour": setting.neighbours[0] if setting.neighbours else None}
        note = {"note": "constraint"} | {name: value for name, value in imposed.items() if value is not None}
        events = [{"ts": now(), "type": "annotation", **outer, "payload": note}]
        (self.raw / f"{key}.constraint.ndjson").write_text(json.dumps(events[0]) + "\n")

        with open(self.work / "usage.ndjson", "wb") as usage:
            collector = subprocess.Popen([self.pipeline, "collect", "docker", "--host", self.socket, "--interval", "1s",
                                          "--tag", f"session={key}"], stdout=usage, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        neighbours = [self.start_neighbour(kind, n + 1, project) for n, kind in enumerate(setting.neighbours)]
        time.sleep(LEAD_S if neighbours else 0.5)
        limits = (["--cpus", setting.cpus] if setting.cpus else []) + (
            ["--memory", memory, "--memory-swap", memory] if memory else []) + (
            ["--device-read-bps", f"{disk(self.work)}:{reads}"] if reads else [])
        tags = [word for name, value in outer.items() for word in ("--tag", f"{name}={value}")]
        before, began = cores(), time.time()
        build = subprocess.Popen([str(word) for word in [
            "docker", "-H", self.socket, "run", *self.named(project.name, project.repo), *self.options(job), *limits,
            "-v", f"{self.pipeline}:/opt/pipeline:ro", "-v", f"{out}:/out", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
            "--cgroupns", "host", "contention", "sh", "-c",
            f"cd {project.folder}; exec /opt/pipeline record --out /out/events.ndjson {' '.join(tags)} -- {project.command}",
        ]], stdout=open(self.raw / f"{key}.log", "wb"), stderr=subprocess.STDOUT)
        stopped = False
        try:
            exit_code = build.wait(patience_s)
        except subprocess.TimeoutExpired:
            stopped = True  # SIGTERM reaches the command by way of the recorder, which then still writes its event
            subprocess.run(["docker", "-H", self.socket, "stop", "-t", "10", project.name], capture_output=True)
            exit_code = build.wait(60)
        took_s = time.time() - began
        outside = [round((b - a) / took_s, 3) for a, b in zip(before, cores())]
        time.sleep(0.2)
        for name in [project.name, *neighbours]:
            self.docker("rm", "-f", name, stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        collector.send_signal(signal.SIGTERM)
        collector.wait()

        dump = out / "events.ndjson"
        told = [json.loads(line) for line in dump.read_text().splitlines()] if dump.exists() else []
        used = [json.loads(line) for line in (self.work / "usage.ndjson").read_text().splitlines()]
        own = [event["payload"] for event in used if event.get("resource") == outer["resource"]]
        if stopped and not told:
            return None  # the engine never got as far as starting the command: again next time
        mine = next((event for event in told if event["type"] in ("command", "test")), None)
        measured = mine["payload"] if mine else {}
        oom_kills = max([measured.get("oom_kills", 0), sum(sample.get("oom_kills", 0) for sample in own)])
        exit_code = measured.get("exit_code", exit_code)
        row = {"run": key, "project": project.name, "language": project.language} | imposed | {
            "started": mine["ts"] if mine else events[0]["ts"], "duration_ms": measured.get("duration_ms", round(took_s * 1000)),
            "cpu_ms": measured.get("cpu_ms"), "exit_code": exit_code, "oom_kills": oom_kills,
            "killed": "stopped" if stopped else "" if exit_code == 0 else "oom" if oom_kills else "failed",
            "event": bool(mine), "outside_core0": outside[0], "outside_core1": outside[1],
            "read_bytes": measured.get("io_read_bytes", 0),
            "peak_bytes": max([measured.get("memory_charged_peak_bytes", 0), *(s.get("memory_highest_bytes", 0) for s in own)])}
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events + used + told)
        (self.raw / f"{key}.ndjson").write_text(lines)
        (self.raw / f"{key}.constraint.ndjson").unlink()
        (self.raw / f"{key}.json").write_text(json.dumps(row))  # last: a run without it is made again
        return row

    def rows(self):
        return [json.loads(path.read_text()) for path in self.raw.glob("*.json")]

    def record_all(self, until, only):
        first, later = [], []
        for project in PROJECTS:
            for setting in SETTINGS:
                early = setting.name == "cold" or setting.name in [f"twin-{n}" for n in range(1, TWINS_FIRST + 1)]
                (first if early else later).append((project, setting))
        chance = random.Random(SEED)
        chance.shuffle(first)
        chance.shuffle(later)
        for number, (project, setting) in enumerate(first + later, 1):
            if until and time.strftime("%H:%M") >= until:
                return
            if setting.name.startswith(only) and not (self.raw / f"{project.name}-{setting.name}.json").exists():
                row = self.record(project, setting)
                print(number, project.name, setting.name, *(row[name] for name in ("duration_ms", "exit_code", "killed")) if row
                      else ("did not start",), flush=True)

    # ---- what is published

    def table(self):
        rows = sorted(self.rows(), key=lambda row: row["started"])
        for row in rows:
            others = [twin for twin in rows if twin["project"] == row["project"] and twin["setting"].startswith("twin-")
                      and twin["exit_code"] == 0]
            durations = [twin["duration_ms"] for twin in others]
            row["twins"], row["twin_median_ms"] = len(durations), statistics.median(durations)
            row["twin_spread"] = round((max(durations) - min(durations)) / row["twin_median_ms"], 4)
            row["ratio"] = round(row["duration_ms"] / row["twin_median_ms"], 4)
            beyond = row["ratio"] > 1.25 and (row["duration_ms"] > max(durations) or row["setting"].startswith("twin-"))
            row["label"] = "killed" if row["killed"] in ("oom", "failed") else "slowed" if beyond else "healthy"
        columns = ["run", "project", "language", "setting", "constraint", "cpu_limit_cores", "memory_limit_bytes",
                   "read_limit_bytes_per_s", "cold_cache", "neighbours", "neighbour", "started", "duration_ms", "cpu_ms", "exit_code",
                   "killed", "oom_kills", "event", "twins", "twin_median_ms", "twin_spread", "ratio", "label", "outside_core0", "outside_core1"]
        with open(HERE / "runs.csv", "w", newline="") as file:
            table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        with open(HERE / "events.ndjson.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
            for row in rows:
                packed.write((self.raw / f"{row['run']}.ndjson").read_bytes())
        counts = {}
        for row in rows:
            counts[row["constraint"], row["label"]] = counts.get((row["constraint"], row["label"]), 0) + 1
        print(len(rows), "runs;", ", ".join(f"{c} {l}: {n}" for (c, l), n in sorted(counts.items())))


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def disk(path):
    device = os.stat(path).st_dev
    name = pathlib.Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    return f"/dev/{name}"


def cores():
    """Seconds of core 0 and core 1 used so far by everything but the recorded containers."""
    groups = pathlib.Path("/sys/fs/cgroup/cpuacct")
    everything, ours = ((groups / part / "cpuacct.usage_percpu").read_text().split() for part in (".", "contention"))
    return [(int(a) - int(b)) / 1e9 for a, b in zip(everything, ours)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "record", "table"])
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch: about 6 GB")
    parser.add_argument("--pipeline", type=pathlib.Path, help="the program")
    parser.add_argument("--until", help="start no run after this time of day")
    parser.add_argument("--only", default="", help="settings that begin with this")
    arguments = parser.parse_args()
    recorder = Recorder(arguments.work.resolve(), arguments.pipeline and arguments.pipeline.resolve())
    if arguments.step == "table":
        return recorder.table()
    if arguments.step == "record":
        os.sched_setaffinity(0, {1})
    recorder.start_engine()
    try:
        if arguments.step == "prepare":
            recorder.prepare()
        else:
            recorder.make_image()
            recorder.record_all(arguments.until, arguments.only)
    finally:
        recorder.engine.terminate()
        recorder.engine.wait()
        run("umount", recorder.work / "docker")


if __name__ == "__main__":
    main()
