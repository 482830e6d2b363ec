"""What is recorded: the projects, and what is done to each of them. `record.py` does it."""
from dataclasses import dataclass

SEED = 20261121
TWINS_FIRST, TWINS = 3, 4
LEAD_S = 4  # neighbours run this long before the build starts


@dataclass
class Project:
    name: str
    repo: str
    language: str
    source: tuple  # where from, and what
    command: str
    folder: str = "."


CXX = "CXXFLAGS='-O2 -g -Iinclude'"
PROJECTS = [
    Project("lua", "lua/lua", "C", ("debian", "lua5.4"), "make -j2 linux-noreadline", "src"),
    Project("lz4", "lz4/lz4", "C", ("debian", "lz4"), "make -j2 -C lib liblz4.a"),
    Project("sqlite", "sqlite/sqlite", "C", ("sys-crate", "libsqlite3-sys", "=0.30.1", "sqlite3"),
            "make sqlite3.o CFLAGS='-O0 -g -DSQLITE_ENABLE_FTS5'"),
    Project("fmt", "fmtlib/fmt", "C++", ("debian", "fmtlib"), f"make -j2 src/format.o src/os.o {CXX}"),
    Project("re2", "google/re2", "C++", ("debian", "re2"),
            "make -j2 obj/re2/dfa.o obj/re2/parse.o obj/re2/re2.o obj/re2/regexp.o obj/re2/prog.o CXXFLAGS=-O1"),
    Project("msgpack", "msgpack/msgpack-python", "Python", ("pypi", "msgpack==1.1.0"), "python3 setup.py build_ext"),
    Project("networkx", "networkx/networkx", "Python", ("pypi", "networkx==3.3", "pytest==8.3.3"),
            "python3 -m pytest -q networkx/algorithms/approximation"),
    Project("tokio", "tokio-rs/tokio", "Rust", ("crate", "tokio", "=1.41.0", ["full"]), "cargo build --offline -p tokio"),
    Project("regex", "rust-lang/regex", "Rust", ("crate", "regex-automata", "=0.4.8", []),
            "cargo build --offline -p regex-automata"),
    Project("syn", "dtolnay/syn", "Rust", ("crate", "syn", "=2.0.85", ["full", "extra-traits", "visit"]),
            "cargo build --offline -p syn"),
    Project("rxjs", "ReactiveX/rxjs", "TypeScript", ("npm", "rxjs@7.8.1", "typescript@5.6.3"),
            "tsc -p src/tsconfig.esm.json --outDir /src/out", "node_modules/rxjs"),
    Project("three", "mrdoob/three.js", "JavaScript", ("npm", "three@0.169.0", "terser@5.36.0"),
            "terser build/three.module.js --compress --mangle --output three.min.js", "node_modules/three"),
    Project("commons-lang", "apache/commons-lang", "Java", ("debian", "libcommons-lang3-java"),
            "javac -encoding ISO-8859-1 -nowarn -d out @files"),
]
BY_NAME = {project.name: project for project in PROJECTS}


@dataclass
class Setting:
    """What is imposed. Memory in shares of the twins' peak, the read limit in shares of a cold run's bytes a second."""
    name: str
    constraint: str = "none"
    cpus: float | None = None
    memory: float | None = None
    reads: float | None = None
    cold: bool = False
    neighbours: tuple = ()


SETTINGS = [Setting(f"twin-{n}") for n in range(1, TWINS + 1)] + [
    Setting("cold", "io", cold=True),
    Setting("cpu-0.7", "cpu", cpus=0.7), Setting("cpu-0.5", "cpu", cpus=0.5), Setting("cpu-0.3", "cpu", cpus=0.3),
    *(Setting(f"memory-{share}", "memory", memory=share) for share in (0.9, 0.75, 0.6, 0.4)),
    # Cold, so that the toolchain's pages are charged to the container too and fight with the compiler's own.
    Setting("memory-1.2-cold", "memory", memory=1.2, cold=True),
    Setting("hog", "neighbours", neighbours=("hog",)), Setting("two-hogs", "neighbours", neighbours=("hog", "hog")),
    Setting("half-hog", "neighbours", neighbours=("half-hog",)), Setting("build", "neighbours", neighbours=("build",)),
    Setting("paging", "neighbours", neighbours=("paging",)),
    Setting("gentle", "neighbours", neighbours=("gentle",)),
    Setting("roomy", "none", cpus=1.0, memory=2.0), Setting("memory-1.3", "memory", memory=1.3),
    Setting("reads", "io", reads=1.0, cold=True),
]
SPIN = "while True: pass"
NEIGHBOURS = {  # options of the container, and what it runs
    "hog": ([], ["python3", "-c", SPIN]),
    "half-hog": (["--cpus", "0.5"], ["python3", "-c", SPIN]),
    "gentle": (["--cpus", "0.08"], ["python3", "-c", SPIN]),
    # New pages all the time: zeroed by the kernel, streamed through the caches, given back.
    "paging": ([], ["python3", "-c", "while True: bytearray(b'x') * (256 << 20)"]),
}
