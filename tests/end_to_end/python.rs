//! The Python that has what `tests/python/requirements.txt` names.

use crate::program::{checkout, say};
use std::process::{Command, Stdio};

/// `PIPELINE_TEST_PYTHON`, else `python3`; none, and loudly so, where it lacks a package.
pub fn python(what: &str) -> Option<String> {
    let python = std::env::var("PIPELINE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let text = std::fs::read_to_string(checkout().join("tests/python/requirements.txt")).unwrap();
    let versions = "import sys, importlib.metadata as m\n\
        sys.exit(any(m.version(line.split('==')[0]) != line.split('==')[1] for line in sys.argv[1].split()))";
    let ended = Command::new(&python).args(["-c", versions, &text]).stderr(Stdio::null()).status();
    if ended.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    say(&format!(
        "NOT TESTED: {what}. {python} lacks what tests/python/requirements.txt names: make a venv of it and say where in \
         PIPELINE_TEST_PYTHON, as .ci/run does."
    ));
    None
}
