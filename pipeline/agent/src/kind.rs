//! From a command line to what it was for: `build`, `test`, `lint`, `run` or `other`.
//!
//! Rules by name only, on purpose: what a command prints or touches is not looked at. A wrong guess costs one
//! wrongly grouped run; `kind` can be set in the event by whoever knows better.

use std::ffi::OsString;

/// Programs that do one thing.
const ALONE: &[(&str, &[&str])] = &[
    ("test", &["pytest", "tox", "nox", "jest", "vitest", "mocha", "ctest", "phpunit", "rspec", "playwright"]),
    ("lint", &["eslint", "ruff", "flake8", "mypy", "pylint", "black", "isort", "pyright", "prettier", "rustfmt"]),
    ("lint", &["shellcheck", "golangci-lint", "rubocop", "stylelint", "clang-tidy", "clang-format", "gofmt"]),
    ("build", &["cc", "gcc", "g++", "clang", "clang++", "rustc", "javac", "tsc", "webpack", "ninja", "meson"]),
    ("run", &["node", "python", "ruby", "java", "php", "uvicorn", "gunicorn", "flask", "psql", "redis-cli"]),
];

/// Programs whose next words say what they do, with what they do when no word is known.
const RUNNERS: &[(&str, &[&str])] = &[
    ("build", &["make", "gmake", "ninja", "cmake", "gradle", "gradlew", "mvn", "mvnw", "bazel", "vite", "next", "sbt"]),
    ("other", &["cargo", "go", "npm", "yarn", "pnpm", "bun", "deno", "just", "task", "rake", "mix", "dotnet"]),
    ("other", &["docker", "podman", "docker-compose", "swift", "zig", "stack", "cabal", "composer"]),
];

/// Words after a runner. `check` compiles for cargo and tests for make; see [`word`].
const WORDS: &[(&str, &[&str])] = &[
    ("test", &["test", "tests", "t", "nextest", "spec", "verify", "pytest", "jest", "vitest", "e2e"]),
    ("lint", &["lint", "clippy", "fmt", "format", "vet", "typecheck", "eslint"]),
    ("build", &["build", "b", "compile", "doc", "install", "package", "bundle", "assemble", "all"]),
    ("run", &["run", "r", "start", "serve", "server", "dev", "up", "exec", "watch"]),
];

/// Programs that only run the rest of the line.
const WRAPPERS: &[&str] = &["sudo", "env", "time", "nice", "nohup", "npx", "xvfb-run", "stdbuf", "exec", "caffeinate"];

/// Wrappers of two words: `uv run pytest`.
const WRAPPERS_RUN: &[&str] = &["uv", "poetry", "pipenv", "hatch", "pdm", "rye", "bundle"];

/// What a command line is for.
pub(crate) fn kind(cmd: &[OsString]) -> &'static str {
    let words: Vec<String> = cmd.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    of(&words)
}

fn of(words: &[String]) -> &'static str {
    let Some(first) = words.iter().position(|w| !w.starts_with('-') && !w.contains('=')) else { return "other" };
    let (program, rest) = (name(&words[first]), &words[first + 1..]);
    if WRAPPERS.contains(&program) {
        return of(rest);
    }
    if WRAPPERS_RUN.contains(&program) && rest.first().is_some_and(|w| w == "run" || w == "exec") {
        return of(&rest[1..]);
    }
    if matches!(program, "sh" | "bash" | "zsh" | "dash") {
        return match rest.iter().position(|w| w.starts_with('-') && w.ends_with('c')) {
            // Of `cd x && make`, the last command is the point of it.
            Some(flag) => rest.get(flag + 1).map_or("other", |line| {
                let last = line.split(['&', ';', '|']).rfind(|part| !part.trim().is_empty()).unwrap_or("");
                of(&last.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            }),
            None => "run",
        };
    }
    if program == "python"
        && let Some(flag) = rest.iter().position(|w| w == "-m")
    {
        return match rest.get(flag + 1).map(String::as_str) {
            Some("unittest") => "test",
            Some("build" | "pip" | "compileall") => "build",
            _ => of(&rest[flag + 1..]),
        };
    }
    if let Some(found) = lookup(ALONE, program) {
        return found;
    }
    lookup(RUNNERS, program).map_or("other", |unknown| word(program, rest).unwrap_or(unknown))
}

/// The first word a runner knows, up to `--`.
fn word(program: &str, rest: &[String]) -> Option<&'static str> {
    let scripts = matches!(program, "npm" | "yarn" | "pnpm" | "bun" | "deno");
    rest.iter().take_while(|w| *w != "--").filter(|w| !w.starts_with(['-', '+'])).find_map(|text| {
        let stem = text.split([':', '-', '_', '.']).next().unwrap_or(text);
        match stem {
            "run" if scripts => None, // `npm run build` builds
            "check" => Some(if program == "cargo" { "build" } else { "test" }),
            _ => lookup(WORDS, stem),
        }
    })
}

/// The program without its folder, `.exe`, and version: `/usr/bin/python3.11` is `python`.
fn name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".exe");
    if name.starts_with("python") { "python" } else { name }
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
            ("./gradlew clean test", "test"),
            ("git status", "other"),
            ("", "other"),
        ] {
            let cmd: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(kind(&cmd), want, "{line}");
        }
        let shell = ["sh", "-c", "cd web && npm test"].map(OsString::from);
        assert_eq!(kind(&shell), "test");
    }
}
