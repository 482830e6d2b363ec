#!/usr/bin/env python3
"""Record builds and test runs of real packages.

    python3 record.py --work DIR [--pipeline PROGRAM] [--only NAME …] [--until STEP] [--minutes N] [--dry-run]
    python3 record.py --work DIR --pack

Each package of packages.toml becomes a git checkout of its own under DIR, whose commits are released versions, fetched
from the registry by its ordinary client. Its steps are run in order by `pipeline record`; packages take turns by chance
(fixed seed), so that every prefix of the recording is a smaller sample. What was recorded is not recorded again: SIGTERM
ends it after the step it is at, and started again it goes on. `--pack` writes events.ndjson.gz and runs.csv beside this file.

A step is "VERSION STATE COMMAND". VERSION counts from 1; when it goes up, the files of that version are laid over the
last ones, only what differs is written, and the commit is made before the next step: as one edits, builds, commits.
STATE is `clean` (committed first, then everything that git does not know is deleted, save installed tools), `keep` (on
top of what the last step left), or `fetch` (as `keep`; a download, which is not counted as a build).
"""
import argparse
import csv
import gzip
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20261121
# Not seen by git, so that `churn` and `paths` are those of the sources.
BUILT = """/target/ /Cargo.lock node_modules/ .venv/ build/ dist/ out/ *.egg-info/ __pycache__/ .*_cache/ *.pyc *.so *.o
*.a *.lo *.d *.tsbuildinfo package-lock.json .hypothesis/ .coverage /*.whl""".split()
COLUMNS = ["record_id", "package", "version", "state", "cores", "command"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="checkouts, caches, logs and the recording so far")
    parser.add_argument("--pipeline", default="pipeline", help="the program")
    parser.add_argument("--only", nargs="*", help="these packages")
    parser.add_argument("--until", type=int, default=99, help="the first steps of each package only")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no step after that")
    parser.add_argument("--dry-run", action="store_true", help="print what would be run")
    parser.add_argument("--pack", action="store_true", help="write the files of this folder")
    args = parser.parse_args()
    args.work = args.work.resolve()
    if args.pack:
        return pack(args.work)

    packages = load(HERE / "packages.toml")
    turns = [p for p in packages for _ in p["steps"]]
    random.Random(SEED).shuffle(turns)
    turns = [p for p in turns if not args.only or p["name"] in args.only]
    began, seen, stop = time.monotonic(), {}, []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    for package in turns:
        number = seen[package["name"]] = seen.get(package["name"], 0) + 1
        if number > min(args.until, len(package["steps"])) or number <= done(args.work, package):
            continue
        if args.dry_run:
            print(package["name"], *package["steps"][number - 1])
        elif not stop and time.monotonic() - began < args.minutes * 60:
            run(args, package, number)


def load(path):
    """The packages, each with its steps as (version, state, command)."""
    table = tomllib.loads(path.read_text())
    for package in table["package"]:
        steps = package["steps"]
        steps = table["steps"][steps] if isinstance(steps, str) else steps
        package["steps"] = [(int(v), state, command) for v, state, command in (s.split(None, 2) for s in steps)]
        package["language"] = package.get("language") or LANGUAGES[package["registry"]]
        counted = [(version, command) for version, state, command in package["steps"] if state != "fetch"]
        assert len(set(counted)) == len(counted) <= 20, f"{package['name']}: a step twice, or more than 20"
    return table["package"]


LANGUAGES = {"crates": "Rust", "pypi": "Python", "npm": "TypeScript", "debian": "C"}


# One step.


def run(args, package, number):
    home = args.work / package["name"]
    version, state, command = package["steps"][number - 1]
    if not (home / "trees.json").exists():
        prepare(args.work, package)
    source = home / package["name"]
    here = json.loads((home / "state.json").read_text())
    record = [args.pipeline, "record", "--out", str(args.work / "events.ndjson"), "--tag", "env=builds"]
    record += ["--tag", f"resource=builds/{package['name']}", "--tag", "developer=robin"]

    # What was built on is committed before one goes on, as long as the version stays.
    def commit():
        if here["version"] != here["committed"]:
            git(source, "commit", "-qm", f"{package['name']} {package['versions'][here['version'] - 1]}")
            subprocess.run([*record, "--commit"], cwd=source, check=True)
            here["committed"] = here["version"]

    overlaid = version != here["version"]
    if overlaid:
        commit()
        trees = json.loads((home / "trees.json").read_text())
        git(source, "read-tree", "-u", "--reset", trees[version - 1])
        here["version"] = version
    elif number > 1 and package["steps"][number - 2][1] != "fetch":
        commit()  # the first build of a version comes before its commit, also where a download came before it
    if state == "clean":
        commit()
        git(source, "clean", "-fdxq", "-e", "node_modules", "-e", ".venv", "-e", "/Cargo.lock")
    save(home / "state.json", here)

    record += ["--samples", "5s", "--", *words(command)]
    log = args.work / "logs" / f"{package['name']}-{number:02}.log"
    log.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    with open(log, "wb") as out:
        code = subprocess.run(record, cwd=source, env=environment(home, package, command), stdin=subprocess.DEVNULL,
                              stdout=out, stderr=out).returncode
    took = time.monotonic() - began
    here["done"] = number
    event = last_run(args.work / "events.ndjson")
    row = [event["payload"]["record_id"], package["name"], package["versions"][version - 1], state,
           len(os.sched_getaffinity(0)), command]
    with open(args.work / "runs.csv", "a", newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(row)
    save(home / "state.json", here)
    cores = event["payload"].get("cpu_ms", 0) / 1000 / max(took, 0.001)
    print(f"{time.strftime('%H:%M:%S')} {took:6.1f} s {cores:4.1f} cores exit {code:3} {event['payload']['kind']:5}",
          package["name"], version, state, command, flush=True)


def words(command):
    """`A=1 make -j2` as `env A=1 make -j2`; a line with shell signs goes to a shell."""
    if any(sign in command for sign in "&|;"):
        return ["sh", "-c", command]
    parts = shlex.split(command)
    return ["env", *parts] if "=" in parts[0] else parts


def environment(home, package, command):
    """Own caches for each package, so that what it downloads is what it needs."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CARGO_", "npm_", "PIPELINE_LAKE"))}
    env |= {"CARGO_HOME": str(home / "cargo"), "npm_config_cache": str(home / "npm"), "PIP_CACHE_DIR": str(home / "pip"),
            "PIPELINE_PSEUDONYM_KEY": "the key of the recordings", "CARGO_TERM_COLOR": "never", "NO_COLOR": "1", "CI": "true"}
    # A version that asks for an old toolchain is built with the one that is here.
    env["RUSTUP_TOOLCHAIN"] = env.get("RUSTUP_TOOLCHAIN", "stable")
    if package["registry"] == "pypi":
        venv = home / ".venv"
        env |= {"VIRTUAL_ENV": str(venv), "PATH": f"{venv}/bin:{env['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        env.pop("PYENV_VERSION", None)
    return env


def last_run(path):
    """The last command or test of the recording so far."""
    with open(path, "rb") as lines:
        lines.seek(max(0, path.stat().st_size - (1 << 20)))
        events = [json.loads(line) for line in lines.read().splitlines()[-400:] if line.startswith(b"{\"")]
    return [event for event in events if event["type"] in ("command", "test")][-1]


def done(work, package):
    state = work / package["name"] / "state.json"
    return json.loads(state.read_text())["done"] if state.exists() else 0


def save(path, value):
    path.with_suffix(".new").write_text(json.dumps(value))
    path.with_suffix(".new").replace(path)


# The checkout of a package.


def prepare(work, package):
    """A repository with the tree of each version, and the first one committed."""
    home = work / package["name"]
    shutil.rmtree(home, ignore_errors=True)
    source = home / package["name"]
    source.mkdir(parents=True)
    git(source, "init", "-q", "-b", "main")
    git(source, "config", "user.name", "Robin Example")
    git(source, "config", "user.email", "robin@example.com")
    git(source, "config", "gc.auto", "0")
    git(source, "remote", "add", "origin", f"https://github.com/{package['repo']}.git")
    (source / ".git/info/exclude").write_text("\n".join(BUILT + package.get("built", [])) + "\n")
    trees = []
    for version in package["versions"]:
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            unpacked = unpack(fetch(work, package, version), Path(scratch))
            git(source, "--work-tree", unpacked, "add", "-A", "-f", ".", folder=unpacked)
            trees.append(git(source, "write-tree"))
    git(source, "read-tree", "-u", "--reset", trees[0])
    git(source, "commit", "-qm", f"{package['name']} {package['versions'][0]}")
    if package["registry"] == "pypi":
        subprocess.run([sys.executable, "-m", "venv", home / ".venv"], check=True)
    save(home / "state.json", {"version": 1, "committed": 1, "done": 0})
    save(home / "trees.json", trees)


def git(source, *args, folder=None):
    env = os.environ | {"GIT_DIR": str(source / ".git"), "GIT_CONFIG_GLOBAL": os.devnull}
    answer = subprocess.run(["git", *map(str, args)], cwd=folder or source, env=env, check=True, text=True,
                            stdout=subprocess.PIPE)
    return answer.stdout.strip()


def unpack(archives, scratch):
    """The folder that the first archive holds; further ones (Debian's components) are left out."""
    shutil.unpack_archive(archives[0], scratch, filter="data") if not str(archives[0]).endswith(".crate") else \
        subprocess.run(["tar", "-xzf", archives[0], "-C", scratch], check=True)
    (top,) = scratch.iterdir()
    return top


# The registries, each by its own client.


def fetch(work, package, version):
    name, folder = package["name"], work / "archives" / f"{package['name']}-{version}".replace(":", "_")
    found = archives(folder)
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        FETCH[package["registry"]](work, package.get("source", name), version, folder)
        found = archives(folder)
    return found


def archives(folder):
    """The sources in a folder: of Debian's, the one from upstream, without what Debian added."""
    found = sorted(p for p in folder.glob("*") if p.name.endswith((".crate", ".tgz", ".gz", ".xz", ".bz2", ".zip")))
    return [p for p in found if ".debian.tar" not in p.name and ".orig-" not in p.name]


def from_crates(work, name, version, folder):
    home = work / "archives/cargo"
    env = os.environ | {"CARGO_HOME": str(home)}
    subprocess.run(["cargo", "info", "-q", f"{name}@{version}"], env=env, check=True, stdout=subprocess.DEVNULL)
    (crate,) = home.glob(f"registry/cache/*/{name}-{version}.crate")
    shutil.copy(crate, folder)


def from_pypi(work, name, version, folder):
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
                    "-d", folder, f"{name}=={version}"], check=True)


def from_npm(work, name, version, folder):
    subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def from_debian(work, name, version, folder):
    """From the machine's own mirror, but of all of Debian's suites."""
    apt = work / "archives/apt"
    if not (apt / "conf").exists():
        for sub in ["state/lists/partial", "cache/archives/partial"]:
            (apt / sub).mkdir(parents=True, exist_ok=True)
        text = "".join(p.read_text() for p in Path("/etc/apt").glob("sources.list.d/debian.sources"))
        mirror = next(line.split()[1] for line in text.splitlines() if line.startswith("URIs:"))
        suites = ["bookworm", "trixie", "forky", "sid"]
        (apt / "list").write_text("".join(f"deb-src {mirror} {suite} main\n" for suite in suites))
        (apt / "conf").write_text(f'Dir::State "{apt}/state";\nDir::Cache "{apt}/cache";\n'
                                  f'Dir::Etc::sourcelist "{apt}/list";\nDir::Etc::sourceparts "/dev/null";\n'
                                  'APT::Sandbox::User "root";\n')
        subprocess.run(["apt-get", "-qq", "update"], env=os.environ | {"APT_CONFIG": str(apt / "conf")}, check=True)
    subprocess.run(["apt-get", "-qq", "source", "--download-only", f"{name}={version}"], cwd=folder,
                   env=os.environ | {"APT_CONFIG": str(apt / "conf")}, check=True, stdout=subprocess.DEVNULL)


FETCH = {"crates": from_crates, "pypi": from_pypi, "npm": from_npm, "debian": from_debian}


# What lives in the repository.


def pack(work):
    """Without what a run left that was broken off: it has no row in runs.csv."""
    known = {row[0] for row in csv.reader(open(work / "runs.csv"))} | {None}
    with open(work / "events.ndjson", "rb") as lines, open(HERE / "events.ndjson.gz", "wb") as file:
        with gzip.GzipFile("", "wb", 9, file, mtime=0) as out:
            out.writelines(line for line in lines if json.loads(line)["payload"].get("record_id") in known)
    with open(HERE / "runs.csv", "w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(COLUMNS)
        out.write((work / "runs.csv").read_text())


if __name__ == "__main__":
    main()
