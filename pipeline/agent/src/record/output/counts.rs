//! Test counts from what test runners print at their end. A count that was not printed is absent, never zero.

use super::added;
use serde_json::Value;

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) passed: Option<u64>,
    /// Failed, broke off with an error, or ran out of time.
    pub(crate) failed: Option<u64>,
    /// Skipped, ignored, to do, or expected to fail.
    pub(crate) skipped: Option<u64>,
}

impl Counts {
    fn all(passed: u64, failed: u64, skipped: u64) -> Self {
        Self { passed: Some(passed), failed: Some(failed), skipped: Some(skipped) }
    }

    /// Those of two runs.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            passed: added(self.passed, other.passed),
            failed: added(self.failed, other.failed),
            skipped: added(self.skipped, other.skipped),
        }
    }

    pub(crate) fn seen(self) -> bool {
        self != Self::default()
    }
}

/// Follows the lines of one stream.
#[derive(Default)]
pub(super) struct Tests {
    ended: Counts,
    cargo: Cargo,
    go: Go,
    unittest: Option<u64>,
    /// mocha says passing, failing and pending on lines of their own.
    mocha: Option<Counts>,
    node: Option<Counts>,
}

impl Tests {
    /// One line, without colour and without blanks around it.
    pub(super) fn line(&mut self, line: &str) {
        let found = self
            .cargo
            .line(line)
            .or_else(|| nextest(line))
            .or_else(|| pytest(line))
            .or_else(|| self.unittest(line))
            .or_else(|| jest(line))
            .or_else(|| vitest(line))
            .or_else(|| ctest(line))
            .or_else(|| surefire(line));
        if let Some(found) = found {
            self.ended = self.ended.and(found);
        } else {
            self.go.line(line);
            self.in_parts(line);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let parts = [self.go.counts(), self.mocha.unwrap_or_default(), self.node.unwrap_or_default()];
        parts.into_iter().fold(self.ended, Counts::and)
    }

    /// `Ran 3 tests in 0.001s`, then `OK`, `OK (skipped=1)` or `FAILED (failures=1, errors=2)`.
    fn unittest(&mut self, line: &str) -> Option<Counts> {
        if let Some(rest) = line.strip_prefix("Ran ") {
            let (count, rest) = rest.split_once(" test")?;
            self.unittest = rest.contains(" in ").then(|| count.parse().ok()).flatten();
            return None;
        }
        let more = line.strip_prefix("OK").or_else(|| line.strip_prefix("FAILED"))?;
        let mut counts = Counts::all(0, 0, 0);
        if !more.is_empty() {
            for part in more.strip_prefix(" (")?.strip_suffix(')')?.split(", ") {
                let (name, n) = part.split_once('=')?;
                let n = Some(n.parse().ok()?);
                match name {
                    "failures" | "errors" | "unexpected successes" => counts.failed = added(counts.failed, n),
                    _ => counts.skipped = added(counts.skipped, n),
                }
            }
        }
        let ran = self.unittest.take()?;
        counts.passed = Some(ran.saturating_sub(counts.failed? + counts.skipped?));
        Some(counts)
    }

    fn in_parts(&mut self, line: &str) {
        let tap = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")).and_then(|rest| rest.split_once(' '));
        if let Some((name, Ok(n))) = tap.map(|(name, n)| (name, n.parse::<u64>())) {
            if name == "tests" {
                self.node = Some(self.node.unwrap_or_default());
            }
            let Some(counts) = &mut self.node else { return };
            let slot = match name {
                "pass" => &mut counts.passed,
                "fail" | "cancelled" => &mut counts.failed,
                "skipped" | "todo" => &mut counts.skipped,
                _ => return,
            };
            *slot = added(*slot, Some(n));
            return;
        }
        let mut words = line.split(' ');
        let (Some(Ok(n)), Some(what), rest) = (words.next().map(str::parse::<u64>), words.next(), words.next()) else {
            return;
        };
        match (what, rest, self.mocha) {
            ("passing", Some(time), _) if time.starts_with('(') => self.mocha = Some(Counts::all(n, 0, 0)),
            ("failing", None, Some(counts)) => self.mocha = Some(Counts { failed: Some(n), ..counts }),
            ("pending", None, Some(counts)) => self.mocha = Some(Counts { skipped: Some(n), ..counts }),
            _ => {}
        }
    }
}

/// libtest: `running 3 tests`, then `test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; …`.
///
/// A test that prints such lines itself (one that runs cargo) shows them under `failures:` when it fails. So there only
/// the result that fits what was begun is taken.
#[derive(Default)]
struct Cargo {
    running: Option<u64>,
    failures: bool,
}

impl Cargo {
    fn line(&mut self, line: &str) -> Option<Counts> {
        if let Some(count) =
            line.strip_prefix("running ").and_then(|rest| rest.strip_suffix("tests").or(rest.strip_suffix("test")))
        {
            if !(self.failures && self.running.is_some()) {
                self.running = count.trim().parse().ok();
                self.failures = false;
            }
        } else if line == "failures:" {
            self.failures = true;
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let parts = result.split_once(". ")?.1;
            let of = |name: &str| {
                parts.split("; ").find_map(|part| part.trim().strip_suffix(name)?.trim().parse::<u64>().ok())
            };
            let (passed, failed, ignored) = (of("passed")?, of("failed")?, of("ignored")?);
            let ran = passed + failed + ignored + of("measured").unwrap_or(0);
            self.running.take_if(|running| *running == ran)?;
            self.failures = false;
            return Some(Counts::all(passed, failed, ignored));
        }
        None
    }
}

/// `Summary [   0.2s] 3 tests run: 2 passed (1 slow), 1 failed, 1 skipped`; `2/3 tests run` if it was broken off.
fn nextest(line: &str) -> Option<Counts> {
    let (ran, parts) = line.strip_prefix("Summary [")?.split_once("] ")?.1.split_once(" run: ")?;
    ran.strip_suffix("tests").or_else(|| ran.strip_suffix("test"))?;
    let mut counts = Counts::all(0, 0, 0);
    // `(1 slow, 2 flaky)` tells more of those that passed.
    let mut plain = String::new();
    let mut depth = 0;
    for c in parts.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    for part in plain.split(',') {
        let (n, what) = part.trim().split_once(' ')?;
        let n = Some(n.parse().ok()?);
        match what.trim() {
            "passed" => counts.passed = added(counts.passed, n),
            "skipped" => counts.skipped = added(counts.skipped, n),
            _ => counts.failed = added(counts.failed, n), // failed, timed out, exec failed
        }
    }
    Some(counts)
}

/// `===== 1 failed, 2 passed, 1 warning in 0.12s =====`, with `-q` without the frame.
fn pytest(line: &str) -> Option<Counts> {
    let (parts, time) = line.trim_matches('=').trim().rsplit_once(" in ")?;
    let time = time.split(' ').next()?;
    time.strip_suffix('s')?.parse::<f64>().ok()?;
    let mut counts = Counts::all(0, 0, 0);
    if parts == "no tests ran" {
        return Some(counts);
    }
    for part in parts.split(", ") {
        let (n, what) = part.split_once(' ')?;
        let n = Some(n.parse().ok()?);
        match what {
            "passed" | "xpassed" => counts.passed = added(counts.passed, n),
            "failed" | "error" | "errors" => counts.failed = added(counts.failed, n),
            "skipped" | "xfailed" => counts.skipped = added(counts.skipped, n),
            "warning" | "warnings" | "deselected" | "rerun" | "subtests passed" => {}
            _ => return None,
        }
    }
    Some(counts)
}

/// `Tests:       1 failed, 2 skipped, 3 passed, 6 total`
fn jest(line: &str) -> Option<Counts> {
    let parts =
        line.strip_prefix("Tests: ")?.trim().rsplit_once(", ").filter(|(_, total)| total.ends_with(" total"))?.0;
    of_words(parts.split(", "))
}

/// `Tests  1 failed | 3 passed | 1 skipped (5)`
fn vitest(line: &str) -> Option<Counts> {
    let (parts, total) = line.strip_prefix("Tests  ")?.trim().rsplit_once(" (")?;
    total.strip_suffix(')')?.parse::<u64>().ok()?;
    of_words(parts.split(" | "))
}

fn of_words<'t>(parts: impl Iterator<Item = &'t str>) -> Option<Counts> {
    let mut counts = Counts::all(0, 0, 0);
    for part in parts {
        let (n, what) = part.trim().split_once(' ')?;
        let n = Some(n.parse().ok()?);
        match what {
            "passed" => counts.passed = added(counts.passed, n),
            "failed" => counts.failed = added(counts.failed, n),
            "skipped" | "todo" | "pending" | "expected fail" => counts.skipped = added(counts.skipped, n),
            _ => return None,
        }
    }
    Some(counts)
}

/// `80% tests passed, 1 tests failed out of 5`; what did not run is in neither.
fn ctest(line: &str) -> Option<Counts> {
    let (failed, total) = line.split_once("% tests passed, ")?.1.split_once(" tests failed out of ")?;
    let (failed, total) = (failed.parse::<u64>().ok()?, total.parse::<u64>().ok()?);
    Some(Counts { passed: Some(total.checked_sub(failed)?), failed: Some(failed), skipped: None })
}

/// `[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1`; the lines of single classes go on with the time.
fn surefire(line: &str) -> Option<Counts> {
    let at = line.find("Tests run: ")?;
    let mut parts = line[at..].split(", ");
    let mut next = |name: &str| parts.next()?.trim().strip_prefix(name)?.parse::<u64>().ok();
    let (ran, failures, errors) = (next("Tests run: ")?, next("Failures: ")?, next("Errors: ")?);
    let skipped = next("Skipped: ")?;
    if parts.next().is_some() {
        return None;
    }
    Some(Counts::all(ran.checked_sub(failures + errors + skipped)?, failures + errors, skipped))
}

/// go test says each test's end only with `-v` or `-json`; without it only those that failed. Tests, not subtests.
#[derive(Default)]
struct Go {
    passed: u64,
    failed: u64,
    skipped: u64,
    each: bool,
    packages_ok: bool,
    packages_failed: bool,
}

impl Go {
    fn line(&mut self, line: &str) {
        if line.starts_with("=== RUN ") {
            self.each = true;
        } else if let Some(rest) = line.strip_prefix("--- ") {
            let Some((how, test)) = rest.split_once(": ") else { return };
            if test.ends_with("s)") {
                self.test(how, test.split(' ').next().unwrap_or_default());
            }
        } else if line.starts_with("ok  \t") {
            self.packages_ok = true;
        } else if line.starts_with("FAIL\t") {
            self.packages_failed = true;
        } else if line.starts_with('{') && line.contains("\"Action\":\"") && line.contains("\"Test\":\"") {
            let Ok(event) = serde_json::from_str::<Value>(line) else { return };
            let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
            self.each = true;
            self.packages_ok = true;
            self.test(&text("Action").to_uppercase(), text("Test"));
        }
    }

    fn test(&mut self, how: &str, name: &str) {
        if name.contains('/') {
            return;
        }
        match how {
            "PASS" => self.passed += 1,
            "FAIL" => self.failed += 1,
            "SKIP" => self.skipped += 1,
            _ => {}
        }
    }

    fn counts(&self) -> Counts {
        if !self.packages_ok && !self.packages_failed {
            return Counts::default();
        }
        // A package that did not compile has failed without a test.
        let failed = (self.failed > 0 || !self.packages_failed).then_some(self.failed);
        let each = |n: u64| self.each.then_some(n);
        Counts { passed: each(self.passed), failed, skipped: each(self.skipped) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reader;

    fn read(text: &str) -> [Option<u64>; 3] {
        let mut reader = Reader::default();
        reader.take(text.as_bytes());
        let counts = reader.findings().counts;
        [counts.passed, counts.failed, counts.skipped]
    }

    fn all(passed: u64, failed: u64, skipped: u64) -> [Option<u64>; 3] {
        [Some(passed), Some(failed), Some(skipped)]
    }

    #[test]
    fn cargo_test_adds_its_binaries_up() {
        let text = "running 3 tests\ntest a ... ok\ntest b ... FAILED\ntest c ... ignored\n\nfailures:\n\n---- b stdout ----\n\
            running 7 tests\ntest result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
            failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s\n\
            running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(read(text), all(2, 1, 1));
    }

    #[test]
    fn a_run_that_broke_off_has_no_counts() {
        assert_eq!(read("running 3 tests\ntest a ... ok\n"), [None; 3]);
        assert_eq!(read("test result: fine\n3 passed the exam\nhello\n"), [None; 3]);
    }

    #[test]
    fn runners_are_read_by_their_last_lines() {
        for (text, want) in [
            (
                "     Summary [   0.003s] 4 tests run: 2 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 5 skipped",
                all(2, 2, 5),
            ),
            ("     Summary [   0.003s] 1/3 tests run: 1 passed, 0 skipped", all(1, 0, 0)),
            ("     Summary [   0.003s] 1 test run: 1 passed, 0 skipped", all(1, 0, 0)),
            (
                "==== 1 failed, 3 passed, 2 skipped, 1 xfailed, 1 xpassed, 1 warning, 1 error in 0.12s ====",
                all(4, 2, 3),
            ),
            ("3 passed in 61.12s (0:01:01)", all(3, 0, 0)),
            ("====== no tests ran in 0.01s ======", all(0, 0, 0)),
            ("Tests:       1 failed, 2 skipped, 1 todo, 3 passed, 7 total", all(3, 1, 3)),
            ("Tests:       3 passed, 3 total", all(3, 0, 0)),
            ("      Tests  1 failed | 3 passed | 1 skipped (5)", all(3, 1, 1)),
            ("Ran 4 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)", all(1, 2, 1)),
            ("Ran 1 test in 0.001s\n\nOK", all(1, 0, 0)),
            ("  3 passing (5ms)\n  1 pending\n  2 failing\n", all(3, 2, 1)),
            ("# tests 3\n# suites 0\n# pass 2\n# fail 1\n# cancelled 0\n# skipped 0\n# todo 0\n", all(2, 1, 0)),
            ("80% tests passed, 1 tests failed out of 5", [Some(4), Some(1), None]),
            ("[ERROR] Tests run: 5, Failures: 1, Errors: 1, Skipped: 1", all(2, 2, 1)),
            ("[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.1 s", [None; 3]),
        ] {
            assert_eq!(read(&format!("noise\n{text}\n")), want, "{text}");
        }
    }

    #[test]
    fn go_says_how_many_passed_only_when_it_names_them() {
        assert_eq!(read("ok  \tacme/a\t0.01s\nok  \tacme/b\t(cached)\n"), [None, Some(0), None]);
        let failed =
            "--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/sub (0.00s)\nFAIL\nFAIL\tacme/a\t0.01s\nok  \tacme/b\t0.1s\n";
        assert_eq!(read(failed), [None, Some(1), None]);
        let each = "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n--- SKIP: TestB (0.00s)\nPASS\nok  \tacme/a\t0.1s\n";
        assert_eq!(read(each), all(1, 0, 1));
        let json = "{\"Action\":\"run\",\"Package\":\"a\",\"Test\":\"TestA\"}\n{\"Action\":\"pass\",\"Package\":\"a\",\"Test\":\"TestA\"}\n\
            {\"Action\":\"pass\",\"Package\":\"a\"}\n";
        assert_eq!(read(json), all(1, 0, 0));
        assert_eq!(read("FAIL\tacme/a [build failed]\n"), [None; 3]);
    }
}
