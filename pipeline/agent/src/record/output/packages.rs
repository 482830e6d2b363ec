//! Registry packages from what package managers print, as package URLs (github.com/package-url/purl-spec):
//! `pkg:cargo/serde@1.0.219`. Packages of the checkout itself, and those from git or a folder, are not from a registry.

use super::added;
use std::collections::BTreeSet;

/// More are not listed: a line in a dump is for a person too.
const MOST: usize = 2000;

/// Follows the lines of one stream.
#[derive(Default)]
pub(super) struct Packages {
    found: BTreeSet<String>,
    added: Option<u64>,
}

impl Packages {
    /// One line, without colour and without blanks around it.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Successfully installed ") {
            rest.split(' ').filter_map(|word| word.rsplit_once('-')).for_each(|(name, v)| self.add("pypi", name, v));
            return;
        }
        if let Some((name, version)) = cargo(line) {
            self.add("cargo", name, version);
        } else if let Some((name, version)) = pip(line).or_else(|| uv(line)) {
            self.add("pypi", name, version);
        } else if let Some((name, version)) = npm(line) {
            self.add("npm", &name, version);
        } else if let Some(count) = npm_added(line) {
            self.added = added(self.added, Some(count));
        }
    }

    fn add(&mut self, registry: &str, name: &str, version: &str) {
        let sound = |text: &str, more: &str| {
            !text.is_empty()
                && text.len() < 215 // npm's bound for a name
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c) || more.contains(c))
        };
        if self.found.len() < MOST
            && sound(name, "@/")
            && sound(version, "!")
            && version.contains(|c: char| c.is_ascii_digit())
        {
            let name = match registry {
                "pypi" => name.to_lowercase().replace('_', "-"),
                "npm" => name.replace('@', "%40"),
                _ => name.to_owned(),
            };
            self.found.insert(format!("pkg:{registry}/{name}@{version}"));
        }
    }

    pub(super) fn found(&self) -> (Vec<String>, Option<u64>) {
        (self.found.iter().cloned().collect(), self.added)
    }
}

/// `Compiling serde v1.0.219`; behind the version, in parentheses, stands where else it came from.
fn cargo(line: &str) -> Option<(&str, &str)> {
    let (what, rest) = line.split_once(' ')?;
    if !matches!(what, "Compiling" | "Checking" | "Downloaded" | "Installing") {
        return None;
    }
    let (name, version) = rest.split_once(' ')?;
    version.strip_prefix('v').filter(|version| !version.contains(' ')).map(|version| (name, version))
}

/// `Downloading requests-2.31.0-py3-none-any.whl (62 kB)`, `Using cached six-1.16.0.tar.gz`.
fn pip(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("Downloading ").or_else(|| line.strip_prefix("Using cached "))?;
    let file = rest.split(' ').next()?.rsplit('/').next()?.trim_end_matches(".metadata");
    if let Some(wheel) = file.strip_suffix(".whl") {
        let mut parts = wheel.split('-');
        return Some((parts.next()?, parts.next()?));
    }
    file.strip_suffix(".tar.gz").or_else(|| file.strip_suffix(".zip"))?.rsplit_once('-')
}

/// uv: `+ requests==2.31.0`.
fn uv(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("+ ")?.split_once("==")
}

/// npm at `--loglevel http`: `npm http fetch GET 200 https://…/@scope/name/-/name-1.3.0.tgz 12ms`; of older versions and
/// of yarn `+ name@1.3.0`.
fn npm(line: &str) -> Option<(String, &str)> {
    if let Some(rest) = line.strip_prefix("npm http fetch GET 200 ") {
        let url = rest.split(' ').next()?;
        let (path, file) = url.rsplit_once("/-/")?;
        let mut parts = path.rsplit('/');
        let base = parts.next()?;
        let scope = parts.next().filter(|part| part.starts_with('@') || part.starts_with("%40"));
        let version = file.strip_suffix(".tgz")?.strip_prefix(base)?.strip_prefix('-')?;
        return Some((scope.map_or_else(|| base.to_owned(), |s| format!("{}/{base}", s.replace("%40", "@"))), version));
    }
    let (name, version) = line.strip_prefix("+ ")?.rsplit_once('@')?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| (name.to_owned(), version))
}

/// `added 57 packages, and audited 58 packages in 2s`
fn npm_added(line: &str) -> Option<u64> {
    let (count, rest) = line.strip_prefix("added ")?.split_once(' ')?;
    rest.starts_with("package").then(|| count.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let mut packages = Packages::default();
        text.lines().for_each(|line| packages.line(line.trim()));
        packages.found().0
    }

    #[test]
    fn what_comes_from_a_registry_is_named_and_what_is_local_is_not() {
        let cargo = "  Downloaded itoa v1.0.15\n   Compiling itoa v1.0.15\n   Compiling acme v0.1.0 (/home/ann/acme)\n\
            Checking left v0.1.0 (https://git.test/left#abc)\n    Finished `dev` profile in 1s\n  Compiling things slowly\n";
        assert_eq!(read(cargo), ["pkg:cargo/itoa@1.0.15"]);
        let pip = "Collecting requests>=2\n  Downloading requests-2.31.0-py3-none-any.whl.metadata (4.6 kB)\n\
            Downloading PyYAML-6.0.tar.gz (1 MB)\n  Using cached typing_extensions-4.12.2-py3-none-any.whl (37 kB)\n\
            Successfully installed idna-3.7 requests-2.31.0\n";
        let want = ["idna@3.7", "pyyaml@6.0", "requests@2.31.0", "typing-extensions@4.12.2"];
        assert_eq!(read(pip), want.map(|name| format!("pkg:pypi/{name}")));
        let npm = "npm http fetch GET 200 https://registry.test/left-pad 50ms (cache miss)\n\
            npm http fetch GET 200 https://registry.test/left-pad/-/left-pad-1.3.0.tgz 12ms (cache miss)\n\
            npm http fetch GET 200 https://registry.test/@babel/core/-/core-7.1.0.tgz 12ms\n+ once@1.4.0\n";
        assert_eq!(read(npm), ["pkg:npm/%40babel/core@7.1.0", "pkg:npm/left-pad@1.3.0", "pkg:npm/once@1.4.0"]);
        assert_eq!(read("+ requests==2.32.0"), ["pkg:pypi/requests@2.32.0"]);
    }

    #[test]
    fn npm_says_how_many_it_added() {
        let mut packages = Packages::default();
        packages.line("added 57 packages, and audited 58 packages in 2s");
        packages.line("added some packages");
        assert_eq!(packages.found().1, Some(57));
    }
}
