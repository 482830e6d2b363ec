//! The rules file on a person's disk: read, and refused with its line where it cannot be meant.

use crate::failure::{Exit, Failure, in_toml};
use domain::rules::{DEFAULT, Rules};
use std::fs;
use std::path::Path;

/// The rules of a file, or the ones inside where none is named. Archives are looked for beside the file.
pub fn read_rules(path: Option<&Path>) -> Result<Rules, Failure> {
    let (text, name) = match path {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
            (text, path.display().to_string())
        }
        None => (DEFAULT.to_owned(), "the rules inside".to_owned()),
    };
    let mut rules: Rules = toml::from_str(&text).map_err(|error| {
        Failure::new(Exit::Failed, format!("{name}: {}", in_toml(&text, &error)))
            .hint("`pipeline schema rules` prints what may be written, with the rules that hold without a file")
    })?;
    let folder = path.and_then(Path::parent).unwrap_or(Path::new("."));
    for service in &mut rules.service {
        if let Some(archive) = &mut service.archive {
            let full = std::path::absolute(folder.join(&*archive)).unwrap_or_else(|_| folder.join(&*archive));
            *archive = full.display().to_string();
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        fs::write(&path, text).unwrap();
        read_rules(Some(&path)).unwrap_err().what
    }

    #[test]
    fn the_rules_inside_can_be_read_and_a_malformed_file_is_told_its_line() {
        assert_eq!(read_rules(None).unwrap().rule.len(), 8);
        for (text, line, why) in [
            ("[[rule]]\nwhen = \"contention\"\nabove = \"60%\"\nthen = \"dance\"\n", 4, "unknown variant"),
            ("\n[[rule]]\nwhen = \"contention\"\nthen = \"resize\"\n", 2, "needs `above`"),
            ("[[rule]]\nwhen = \"leak\"\nabove = \"90%\"\nthen = \"resize\"\n", 1, "leads to restart"),
            ("# mine\n\n[[rule]]\nwhen = \"build_time\"\nabove = \"soon\"\nthen = \"optimize\"\n", 3, "as \"15m\""),
            ("[[runner]]\nname = \"big\"\ncpu = \"four\"\nmemory = \"16GiB\"\n", 1, "write cores"),
            ("[approve]\nactions = []\nmost_risk = \"low\"\nmost_items = 3\n", 1, "approves nothing"),
            ("[[rule]\n", 1, ""),
        ] {
            let said = refused(text);
            assert!(said.contains(&format!("line {line}: ")) && said.contains(why), "{text}: {said}");
        }
    }
}
