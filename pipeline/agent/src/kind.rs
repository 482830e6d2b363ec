//! From a command line to what it was for: `build`, `test`, `lint`, `run` or `other`.
//!
//! Rules by name only, on purpose: what a command prints or touches is not looked at. A wrong guess costs one
//! wrongly grouped run; `kind` can be set in the event by whoever knows better.

use std::ffi::OsString;

pub(crate) const BUILD: &str = "build";
pub(crate) const TEST: &str = "test";
pub(crate) const LINT: &str = "lint";

/// Programs that do one thing.
const ALONE: &[(&str, &[&str])] = &[
    ("test", &["pytest", "tox", "nox", "jest", "vitest", "mocha", "ctest", "phpunit", "rspec", "playwright"]),
    ("lint", &["eslint", "ruff", "flake8", "mypy", "pylint", "black", "isort", "pyright", "prettier", "rustfmt"]),
    ("lint", &["shellcheck", "golangci-lint", "rubocop", "stylelint", "clang-tidy", "clang-format", "gofmt"]),
    ("build", &["cc", "gcc", "g++", "clang", "clang++", "rustc", "javac", "tsc", "webpack", "ninja", "meson"]),
    ("build", &["rollup", "esbuild", "terser", "swc", "parcel"]),
    ("run", &["node", "python", "ruby", "java", "php", "uvicorn", "gunicorn", "flask", "psql", "redis-cli"]),
];

/// Programs whose next words say what they do, with what they do when no word is known.
const RUNNERS: &[(&str, &[&str])] = &[
    ("build", &["make", "gmake", "ninja", "cmake", "gradle", "gradlew", "mvn", "mvnw", "bazel", "vite", "next", "sbt"]),
    ("other", &["cargo", "go", "npm", "yarn", "pnpm", "bun", "deno", "just", "task", "rake", "mix", "dotnet"]),
    ("other", &["docker", "podman", "docker-compose", "swift", "zig", "stack", "cabal", "composer"]),
    ("other", &["pip", "uv", "poetry", "pdm", "pipenv"]),
];

/// Words after a runner. `check` compiles for cargo and tests for make; see [`word`].
const WORDS: &[(&str, &[&str])] = &[
    ("test", &["test", "tests", "t", "nextest", "spec", "verify", "pytest", "jest", "vitest", "e2e"]),
    ("lint", &["lint", "clippy", "fmt", "format", "vet", "typecheck", "eslint"]),
    (
        "build",
        &["build", "b", "compile", "doc", "install", "package", "bundle", "assemble", "all", "ci", "sync", "fetch"],
    ),
    ("run", &["run", "r", "start", "serve", "server", "dev", "up", "exec", "watch"]),
];

/// Programs that only run the rest of the line.
const WRAPPERS: &[&str] = &["sudo", "env", "time", "nice", "nohup", "npx", "xvfb-run", "stdbuf", "exec", "caffeinate"];

/// The same, with words of their own before it: `timeout 60 make`, `taskset -c 1 cargo build`.
const WRAPPERS_WITH_VALUES: &[&str] = &["timeout", "taskset", "ionice", "chrt", "cpulimit", "strace", "flock"];

/// Wrappers of two words: `uv run pytest`.
const WRAPPERS_RUN: &[&str] = &["uv", "poetry", "pipenv", "hatch", "pdm", "rye", "bundle"];

/// Programs that print line after line and leave the terminal as it is.
const PRINTS_LINES: &[&str] = &[
    "cargo", "npm", "yarn", "pnpm", "bun", "go", "pip", "uv", "poetry", "pdm", "pytest", "unittest", "tox", "nox",
    "jest", "vitest", "mocha", "ctest", "gradle", "gradlew", "mvn", "mvnw", "dotnet", "rspec", "phpunit",
];

/// Of those, what makes them wait for keys.
const WAITS_FOR_KEYS: &[&str] = &["watch", "watchAll", "w", "i", "interactive", "pdb", "ui", "trace", "inspect"];

/// What a command line is for, and what to expect of it.
#[derive(Debug)]
pub(crate) struct Purpose {
    pub(crate) kind: &'static str,
    /// Its output can be read on a terminal, too.
    pub(crate) prints_lines: bool,
    pub(crate) words: Vec<String>,
}

/// What a command line is for.
pub(crate) fn purpose(cmd: &[OsString]) -> Purpose {
    let words: Vec<String> = cmd.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (kind, program) = of(&words);
    let keys = |word: &String| WAITS_FOR_KEYS.contains(&word.trim_start_matches('-')) && word.starts_with('-');
    let prints_lines = matches!(kind, BUILD | TEST | LINT)
        && PRINTS_LINES.contains(&program.as_str())
        && !words.iter().any(|word| keys(word) || word == "watch");
    Purpose { kind, prints_lines, words }
}

/// Whether a command line builds, tests or lints.
pub(crate) fn is_work(words: &[String]) -> bool {
    matches!(of(words).0, BUILD | TEST | LINT)
}

/// The kind, and the program that does it.
fn of(words: &[String]) -> (&'static str, String) {
    let Some(first) = words.iter().position(|w| !w.starts_with('-') && !w.contains('=')) else {
        return ("other", String::new());
    };
    let (program, rest) = (name(&words[first]), &words[first + 1..]);
    if WRAPPERS.contains(&program) {
        return of(rest);
    }
    if WRAPPERS_WITH_VALUES.contains(&program) {
        let known = |word: &&String| {
            let name = name(word);
            WRAPPERS.contains(&name) || lookup(ALONE, name).or_else(|| lookup(RUNNERS, name)).is_some()
        };
        return of(&rest[rest.iter().position(|word| known(&word)).unwrap_or(0)..]);
    }
    if WRAPPERS_RUN.contains(&program) && rest.first().is_some_and(|w| w == "run" || w == "exec") {
        return of(&rest[1..]);
    }
    if matches!(program, "sh" | "bash" | "zsh" | "dash") {
        return match rest.iter().position(|w| w.starts_with('-') && w.ends_with('c')) {
            Some(flag) => (rest.get(flag + 1).map_or("other", |line| of_line(line)), program.to_owned()),
            None => ("run", program.to_owned()),
        };
    }
    if program == "python"
        && let Some(flag) = rest.iter().position(|w| w == "-m")
    {
        let module = rest.get(flag + 1).map(String::as_str).unwrap_or_default();
        return match module {
            "unittest" => (TEST, module.to_owned()),
            "build" | "compileall" => (BUILD, module.to_owned()),
            _ => of(&rest[flag + 1..]),
        };
    }
    if program == "python" && rest.first().is_some_and(|script| script.ends_with("setup.py")) {
        return (word(program, &rest[1..]).unwrap_or("run"), program.to_owned());
    }
    let kind = lookup(ALONE, program)
        .unwrap_or_else(|| lookup(RUNNERS, program).map_or("other", |unknown| word(program, rest).unwrap_or(unknown)));
    (kind, program.to_owned())
}

/// Of `cd x && make | tee log`, the last command is the point of it, and of a pipe the first.
fn of_line(line: &str) -> &'static str {
    let commands = line.replace("&&", ";").replace("||", ";");
    let last = commands.split([';', '\n']).rfind(|part| !part.trim().is_empty()).unwrap_or("");
    let first = last.split('|').next().unwrap_or("");
    of(&first.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).0
}

/// The first word a runner knows, up to `--`.
fn word(program: &str, rest: &[String]) -> Option<&'static str> {
    let scripts = matches!(program, "npm" | "yarn" | "pnpm" | "bun" | "deno");
    // The folder of `make -C tests` is no target.
    let is_folder = |at: usize| at > 0 && rest[at - 1] == "-C";
    let words = rest.iter().take_while(|w| *w != "--").enumerate().filter(|(at, _)| !is_folder(*at));
    words.map(|(_, word)| word).filter(|w| !w.starts_with(['-', '+'])).find_map(|text| {
        let stem = text.split([':', '-', '_', '.']).next().unwrap_or(text);
        match stem {
            "run" if scripts => None, // `npm run build` builds
            "check" => Some(if program == "cargo" { BUILD } else { TEST }),
            "test" | "t" if program == "cargo" && rest.iter().any(|word| word == "--no-run") => Some(BUILD),
            _ => lookup(WORDS, stem),
        }
    })
}

/// The program without its folder, `.exe`, and version: `/usr/bin/python3.11` is `python`.
fn name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".exe");
    match name {
        _ if name.starts_with("python") => "python",
        "pip3" => "pip",
        _ => name,
    }
}

fn lookup(table: &[(&'static str, &[&str])], word: &str) -> Option<&'static str> {
    table.iter().find(|(_, words)| words.contains(&word)).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_tells_what_it_is_for() {
        for (line, want) in [
            ("pytest -q", "test"),
            ("npx rollup src/main.js -o out.js", "build"),
            ("python3 setup.py build_ext -j2", "build"),
            ("make -C tests", "build"),
            ("taskset -c 1 nice cargo build -j1", "build"),
            ("timeout 60 pytest", "test"),
            ("timeout 60 ./program", "other"),
            ("cargo test --no-run", "build"),
            ("make -C src test", "test"),
            ("/usr/bin/python3.11 -m pytest", "test"),
            ("python -m unittest", "test"),
            ("python manage.py", "run"),
            ("cargo +nightly nextest run", "test"),
            ("cargo test --release", "test"),
            ("cargo check", "build"),
            ("cargo clippy --all-targets", "lint"),
            ("cargo run -- test", "run"),
            ("go test ./build/...", "test"),
            ("npm run build", "build"),
            ("npm run test:unit", "test"),
            ("npm start", "run"),
            ("npx eslint .", "lint"),
            ("uv run pytest", "test"),
            ("make", "build"),
            ("make -j4 check", "test"),
            ("RUST_LOG=debug cargo build", "build"),
            ("docker compose up -d", "run"),
            ("docker build .", "build"),
            ("pip3 install six", "build"),
            ("npm ci", "build"),
            ("./gradlew clean test", "test"),
            ("git status", "other"),
            ("", "other"),
        ] {
            let cmd: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(purpose(&cmd).kind, want, "{line}");
        }
        for (line, want) in
            [("cd web && npm test", "test"), ("pytest 2>&1 | tee log", "test"), ("make; echo done", "other")]
        {
            assert_eq!(purpose(&["sh", "-c", line].map(OsString::from)).kind, want, "{line}");
        }
    }

    #[test]
    fn only_programs_that_print_lines_are_read_on_a_terminal() {
        for (line, want) in [
            ("cargo test", true),
            ("uv run pytest -q", true),
            ("npm ci", true),
            ("pytest --pdb", false),
            ("jest --watch", false),
            ("cargo run", false),
            ("make menuconfig", false),
            ("git log", false),
            ("sh -c pytest", false),
        ] {
            let cmd: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(purpose(&cmd).prints_lines, want, "{line}");
        }
    }
}
