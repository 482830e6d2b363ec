//! Variables as Compose fills them in: `.env` beside the file, and the defaults written in the file itself.
//!
//! The variables of a shell win over both in Compose, but belong to one call of it: a figure that rests on a variable is
//! read by what is on disk, noted, and never written.

use std::collections::BTreeMap;

/// Deeper defaults within defaults are not unfolded.
const DEEPEST: usize = 16;

/// What `.env` sets.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads the text of a `.env` file as Compose does; a value that needs a variable nobody sets is left out. And the first
    /// line for which Compose refuses the file.
    pub(super) fn of(text: &str) -> (Self, Option<String>) {
        let mut variables = Self::default();
        let mut wrong = None;
        let mut rest = text.trim_start_matches('\u{feff}');
        let number = |rest: &str| text[..text.len() - rest.len()].matches('\n').count() + 1;
        while !rest.is_empty() {
            let end = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
            let line = rest[..end].trim();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            let assigned = line.split_once(['=', ':']).filter(|(name, _)| is_name(name.trim()));
            let Some((name, value)) = assigned else {
                // A name alone takes the value that the shell has.
                let name = line.split(['=', ':']).next().unwrap_or_default().trim();
                if !line.starts_with('#') && !name.is_empty() && !is_name(name) {
                    wrong.get_or_insert_with(|| format!("line {}: {name:?} is no name of a variable", number(rest)));
                }
                rest = &rest[end..];
                continue;
            };
            let value = value.trim_start();
            // A quoted value may go on over lines.
            let from = rest.len() - rest[..end].trim_start().len() - rest[end..].len();
            let from = from + rest[from..].find(['=', ':']).map_or(0, |at| at + 1);
            let body = rest[from..].trim_start_matches([' ', '\t']);
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            if let Some(quote) = quote.filter(|quote| quoted(&body[1..], *quote).is_none()) {
                wrong.get_or_insert_with(|| format!("line {}: the quote {quote} is not closed", number(rest)));
            }
            let (value, used) = match quote.and_then(|quote| quoted(&body[1..], quote)) {
                Some((value, length)) => (value, rest.len() - body.len() + 1 + length),
                None => (unquoted(value).to_owned(), 0),
            };
            let value = if quote == Some('\'') { Some(value) } else { variables.filled(&value).ok() };
            if let Some(value) = value {
                variables.0.insert(name.trim().to_owned(), value);
            }
            let end = rest[used..].find('\n').map_or(rest.len(), |newline| used + newline + 1);
            rest = &rest[end..];
        }
        (variables, wrong)
    }

    /// These, and where they say nothing, others.
    pub(super) fn or(&self, others: Self) -> Self {
        let mut all = others.0;
        all.extend(self.0.clone());
        Self(all)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The text with its variables filled in.
    ///
    /// # Errors
    /// The name of the first variable that nobody sets and that has no default.
    pub(super) fn filled(&self, text: &str) -> Result<String, String> {
        self.fill(text, 0)
    }

    fn fill(&self, text: &str, depth: usize) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            filled += &rest[..at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('$') {
                filled.push('$');
                rest = behind;
                continue;
            }
            let braced = rest.strip_prefix('{').and_then(|inner| Some((inner, closing(inner)?)));
            let (expression, behind) = match braced {
                Some((inner, end)) => (&inner[..end], &inner[end + 1..]),
                None => rest.split_at(name_length(rest)),
            };
            if expression.is_empty() || depth > DEEPEST {
                return Err(text.to_owned());
            }
            filled += &self.expanded(expression, depth)?;
            rest = behind;
        }
        Ok(filled + rest)
    }

    /// `NAME`, `NAME:-default`, `NAME?error`, `NAME+instead`, …
    fn expanded(&self, expression: &str, depth: usize) -> Result<String, String> {
        let (name, operation) = expression.split_at(name_length(expression));
        let value = self.get(name);
        let (filled, operation) = match operation.strip_prefix(':') {
            Some(operation) => (value.filter(|value| !value.is_empty()), operation),
            None => (value, operation),
        };
        let unset = || name.to_owned();
        match (operation.chars().next(), operation.get(1..)) {
            (None, _) => value.map(str::to_owned).ok_or_else(unset),
            (Some('-'), Some(default)) => filled.map_or_else(|| self.fill(default, depth + 1), |v| Ok(v.to_owned())),
            (Some('?'), _) => filled.map(str::to_owned).ok_or_else(unset),
            (Some('+'), Some(instead)) => filled.map_or(Ok(String::new()), |_| self.fill(instead, depth + 1)),
            _ => Err(expression.to_owned()),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']'))
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Where the brace closes that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            '{' if text[..at].ends_with('$') => depth += 1,
            _ => {}
        }
    }
    None
}

/// A value up to its closing quote, and the bytes up to behind it.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            _ if c == quote => return Some((value, at + 1)),
            '\\' if quote == '"' => match rest.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                '$' => value.push_str("$$"),
                other => value.push(other),
            },
            _ => value.push(c),
        }
    }
    None
}

fn unquoted(text: &str) -> &str {
    let comment = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
    let comment = if text.starts_with('#') { 0 } else { comment };
    text[..comment].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotenv_file_is_read_as_compose_reads_it() {
        let (variables, wrong) = Variables::of(
            "\u{feff}# c\nA=1 # one\r\nexport B='$A # x'\nC=\"${A}\\n\\\"\" # c\nD: yes\nE=\nF=${NOBODY}\nG=\"a\nb\"\nH=${A}2#3\nno line\n=x\nI='open\n",
        );
        for (name, value) in [
            ("A", Some("1")),
            ("B", Some("$A # x")),
            ("C", Some("1\n\"")),
            ("D", Some("yes")),
            ("E", Some("")),
            ("F", None),
            ("G", Some("a\nb")),
            ("H", Some("12#3")),
            ("I", Some("'open")),
        ] {
            assert_eq!(variables.get(name), value, "{name}");
        }
        assert_eq!(wrong.as_deref(), Some("line 11: \"no line\" is no name of a variable"));
        for (text, wrong) in [
            ("A=1\nB='open\n", Some("line 2: the quote ' is not closed")),
            ("\n# a b = c\nFROM_SHELL\nexport A=1\nB: 2\n=x\n", None),
            ("A=1\nB C=2\n", Some("line 2: \"B C\" is no name of a variable")),
            ("<<<<<<< HEAD\n", Some("line 1: \"<<<<<<< HEAD\" is no name of a variable")),
        ] {
            assert_eq!(Variables::of(text).1.as_deref(), wrong, "{text:?}");
        }
    }

    #[test]
    fn variables_are_filled_in_with_their_defaults() {
        let (variables, _) = Variables::of("SET=2g\nEMPTY=\n");
        for (text, filled) in [
            ("$SET", "2g"),
            ("${SET}", "2g"),
            ("${NO:-8g}", "8g"),
            ("${EMPTY:-8g}", "8g"),
            ("${EMPTY-8g}", ""),
            ("${NO:-${SET:-1g}}x", "2gx"),
            ("${SET:+1}${NO:+2}${EMPTY+3}", "13"),
            ("${SET:?must}", "2g"),
            ("$$SET a", "$SET a"),
            ("plain", "plain"),
        ] {
            assert_eq!(variables.filled(text).as_deref(), Ok(filled), "{text}");
        }
        for (text, name) in [("$NO", "NO"), ("${NO:?x}", "NO"), ("${NO", "${NO"), ("${EMPTY:?x}", "EMPTY"), ("$", "$")]
        {
            assert_eq!(variables.filled(text).unwrap_err(), name, "{text}");
        }
        let endless = "${A:-".repeat(100_000);
        assert!(variables.filled(&endless).is_err());
    }
}
