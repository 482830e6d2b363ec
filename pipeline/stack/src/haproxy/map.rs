//! The text of a `routes.map`: a line a group, its name and its share of the users in whole per cent.
//!
//! HAProxy's own form of a map file: a key, spaces, a value; lines that are empty or begin with `#` say nothing. Everything
//! but the changed shares is kept to the byte.

use crate::StackError;
use domain::task::Shares;

/// The shares that a text sets.
///
/// # Errors
/// The first line that is no group and share, that names a group again, or with which all shares come to more than 100.
pub(super) fn parse(text: &str) -> Result<Shares, StackError> {
    let mut shares = Shares::new();
    for (n, line) in text.lines().enumerate() {
        let wrong = |what: String| StackError::Syntax { line: n + 1, column: 1, what };
        let Some((group, share)) = entry(line) else { continue };
        let share = share.parse::<u8>().ok().filter(|share| *share <= 100);
        let share =
            share.ok_or_else(|| wrong("a line is a group and its share, a whole number from 0 to 100".into()))?;
        if shares.insert(group.to_owned(), share).is_some() {
            return Err(wrong(format!("the group {group} is there twice")));
        }
        if total(&shares) > 100 {
            return Err(wrong("the shares come to more than 100".to_owned()));
        }
    }
    Ok(shares)
}

/// The text with these shares and nothing else touched; groups that are not named get none.
pub(super) fn edited(text: &str, shares: &Shares) -> String {
    let mut missing = shares.clone();
    let mut out = String::with_capacity(text.len() + 32);
    for line in text.split_inclusive('\n') {
        match entry(line) {
            Some((group, old)) => {
                let new = missing.remove(group).unwrap_or(0).to_string();
                let at = line.len() - line[line.find(group).map_or(0, |at| at + group.len())..].trim_start().len();
                out.push_str(&line[..at]);
                out.push_str(&new);
                out.push_str(&line[at + old.len()..]);
            }
            None => out.push_str(line),
        }
    }
    if !missing.is_empty() && !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    for (group, share) in missing {
        out.push_str(&format!("{group} {share}\n"));
    }
    out
}

/// What all of them come to.
fn total(shares: &Shares) -> u32 {
    shares.values().map(|share| u32::from(*share)).sum()
}

/// The key and the value of a line; none where it says nothing.
fn entry(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (group, share) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    Some((group, share.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(all: &[(&str, u8)]) -> Shares {
        all.iter().map(|(group, share)| ((*group).to_owned(), *share)).collect()
    }

    #[test]
    fn only_the_shares_are_changed() {
        let text = "# who gets whom\n\nblue\t 100\r\n  green 0";
        assert_eq!(parse(text).unwrap(), shares(&[("blue", 100), ("green", 0)]));
        let new = edited(text, &shares(&[("green", 10), ("blue", 90), ("amber", 0)]));
        assert_eq!(new, "# who gets whom\n\nblue\t 90\r\n  green 10\namber 0\n");
        assert_eq!(edited(text, &parse(text).unwrap()), text);
        assert_eq!(edited(&new, &shares(&[("blue", 100)])), "# who gets whom\n\nblue\t 100\r\n  green 0\namber 0\n");
    }

    #[test]
    fn what_is_no_share_is_told_with_its_line() {
        for (text, line, what) in [
            ("blue 100\ngreen\n", 2, "whole number"),
            ("blue 101", 1, "whole number"),
            ("blue 1.5", 1, "whole number"),
            ("blue 60\ngreen 41\n", 2, "more than 100"),
            ("blue 1\nblue 1\n", 2, "twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(&error, StackError::Syntax { line: l, .. } if *l == line), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
