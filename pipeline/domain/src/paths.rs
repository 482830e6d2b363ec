//! What the files of a change are, by their names: the same for the SQL tables and for what learns from them.

use std::path::{Component, Path, PathBuf};

/// What a file is to whoever builds and runs what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Says which versions of packages are taken.
    Lockfile,
    /// Says what a project needs, or how it is built.
    Manifest,
    /// Says what a CI system does.
    Ci,
    /// Is text for people.
    Doc,
    /// Tests.
    Test,
    /// Is compiled or run.
    Source,
    /// Anything else.
    Other,
}

impl Role {
    /// In SQL: `file_role(path)`.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

const MANIFESTS: [&str; 27] = [
    "build.gradle",
    "build.gradle.kts",
    "build.rs",
    "build.sbt",
    "cargo.toml",
    "cmakelists.txt",
    "composer.json",
    "configure.ac",
    "docker-compose.yml",
    "compose.yaml",
    "dockerfile",
    "gemfile",
    "go.mod",
    "makefile",
    "meson.build",
    "package.json",
    "pipfile",
    "pom.xml",
    "pyproject.toml",
    "rakefile",
    "requirements.txt",
    "requirements-dev.txt",
    "rust-toolchain.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "tsconfig.json",
];
const LOCKFILES: [&str; 10] = [
    "cargo.lock",
    "composer.lock",
    "gemfile.lock",
    "go.sum",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "poetry.lock",
    "uv.lock",
    "yarn.lock",
];
const CI: [&str; 7] = [
    ".gitlab-ci.yml",
    ".travis.yml",
    "appveyor.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
    "buildkite.yml",
    "jenkinsfile",
];
const CI_FOLDERS: [&str; 3] = [".github/workflows/", ".github/actions/", ".circleci/"];
const DOCS: [&str; 7] = ["adoc", "md", "mdx", "org", "rst", "tex", "txt"];
const DOC_NAMES: [&str; 5] = ["authors", "changelog", "copying", "license", "readme"];
const TEST_FOLDERS: [&str; 6] = ["__tests__", "spec", "specs", "test", "testing", "tests"];
const SOURCES: [&str; 42] = [
    "bash", "c", "cc", "clj", "cpp", "cs", "css", "cxx", "dart", "erl", "ex", "exs", "go", "groovy", "h", "hpp", "hs",
    "html", "java", "jl", "js", "jsx", "kt", "lua", "m", "mjs", "ml", "php", "pl", "proto", "py", "pyx", "r", "rb",
    "rs", "scala", "sh", "sql", "swift", "ts", "tsx", "vue",
];

/// What a file is, by its path from the root of the repository; upper case counts as lower.
pub fn role(path: &str) -> Role {
    let path = path.to_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_test = || {
        folders.split('/').any(|folder| TEST_FOLDERS.contains(&folder))
            || stem.starts_with("test_")
            || ["_test", ".test", "_spec", ".spec"].iter().any(|end| stem.ends_with(end))
    };
    match name {
        _ if LOCKFILES.contains(&name) => Role::Lockfile,
        _ if MANIFESTS.contains(&name) => Role::Manifest,
        _ if CI.contains(&name) || CI_FOLDERS.iter().any(|folder| path.starts_with(folder)) => Role::Ci,
        _ if DOCS.contains(&kind) || DOC_NAMES.contains(&name) => Role::Doc,
        _ if SOURCES.contains(&kind) && is_test() => Role::Test,
        _ if SOURCES.contains(&kind) => Role::Source,
        _ => Role::Other,
    }
}

/// `..` taken away by words, as Compose and Kustomize do it: symbolic links are not followed.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_name_says() {
        for (path, want) in [
            ("Cargo.lock", "lockfile"),
            ("web/package-lock.json", "lockfile"),
            ("crates/net/Cargo.toml", "manifest"),
            ("Makefile", "manifest"),
            (".github/workflows/ci.yml", "ci"),
            (".travis.yml", "ci"),
            ("docs/guide.md", "doc"),
            ("LICENSE", "doc"),
            ("requirements.txt", "manifest"),
            ("tests/data/notes.txt", "doc"),
            ("src/net/mod.rs", "source"),
            ("src/net/mod_test.go", "test"),
            ("tests/end_to_end.rs", "test"),
            ("web/app.spec.ts", "test"),
            ("src/latest.py", "source"),
            ("assets/logo.png", "other"),
            ("tests/logo.png", "other"),
            ("", "other"),
        ] {
            assert_eq!(role(path).name(), want, "{path}");
        }
    }
}
