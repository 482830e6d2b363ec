//! Where in a text something stands.

use datafusion::common::Span;

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file; none for a query of the command line.
    pub file: Option<String>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// Characters from the column that are meant, at least 1.
    pub length: usize,
}

/// A query and where it stands: in a file, in a line after others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The file; none for a query of the command line.
    pub file: Option<String>,
    /// One statement, without the `;` at its end.
    pub text: String,
    /// Its first line in the file, from 1.
    pub first_line: usize,
    /// Its first column in that line, from 1.
    pub first_column: usize,
}

impl Statement {
    /// A query that stands alone.
    pub fn new(text: impl Into<String>) -> Self {
        Self { file: None, text: text.into(), first_line: 1, first_column: 1 }
    }

    /// A file that is one query.
    pub fn of_file(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..Self::new(text) }
    }

    /// What an error names: the file, or that it is the query.
    pub(crate) fn what(&self) -> String {
        self.file.clone().unwrap_or_else(|| "the query".to_owned())
    }

    /// A place by line and column inside the statement.
    pub(super) fn place(&self, line: usize, column: usize, length: usize) -> Option<Place> {
        let text = self.text.lines().nth(line.checked_sub(1)?)?.to_owned();
        let column = column.max(1);
        let (line, shift) = match line {
            1 => (self.first_line, self.first_column - 1),
            _ => (self.first_line + line - 1, 0),
        };
        // The line of the file begins before the statement: the caret stands under the statement's own words.
        let text = format!("{}{text}", " ".repeat(shift));
        Some(Place { file: self.file.clone(), line, column: column + shift, text, length: length.max(1) })
    }

    pub(super) fn span(&self, span: Span) -> Option<Place> {
        let (start, end) = (span.start, span.end);
        let length = if start.line == end.line { end.column.saturating_sub(start.column) } else { 1 };
        self.place(start.line as usize, start.column as usize, length as usize)
    }

    /// The first place where a name stands as a whole word.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        for (number, line) in self.text.lines().enumerate() {
            let code = line.split("--").next().unwrap_or_default();
            for (at, _) in code.match_indices(name) {
                let free = !code[..at].chars().next_back().is_some_and(word)
                    && !code[at + name.len()..].chars().next().is_some_and(word);
                if free && !name.is_empty() {
                    return self.place(number + 1, code[..at].chars().count() + 1, name.chars().count());
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_from_the_file_s_first_line_and_the_caret_stands_under_the_word() {
        let statement = Statement {
            file: Some("a.sql".into()),
            text: "select\n  nope from x".into(),
            first_line: 4,
            first_column: 3,
        };
        let place = statement.find("nope").unwrap();
        assert_eq!((place.line, place.column, place.length), (5, 3, 4));
        let first = statement.find("select").unwrap();
        assert_eq!((first.line, first.column), (4, 3));
        assert_eq!(statement.find("nop"), None, "a whole word");
    }
}
