//! What must hold of a column: said in words, asserted in SQL.

use std::fmt;

/// What must hold of a column wherever it has a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// It has a value.
    NotNull,
    /// At least that.
    AtLeast(f64),
    /// More than that.
    MoreThan(f64),
    /// From the first to the second, both taken in.
    Between(f64, f64),
    /// One of these words.
    OneOf(Vec<String>),
    /// It is in that column of that table: `schema.table`, `column`.
    References(String, String),
}

impl Rule {
    /// Reads `not null`, `>= 0`, `> 0`, `0 to 1`, `one of: a, b` or `in marts.runs.event_id`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| text.to_owned());
        if text == "not null" {
            Ok(Self::NotNull)
        } else if let Some(least) = text.strip_prefix(">= ") {
            number(least).map(Self::AtLeast)
        } else if let Some(more) = text.strip_prefix("> ") {
            number(more).map(Self::MoreThan)
        } else if let Some(words) = text.strip_prefix("one of: ") {
            Ok(Self::OneOf(words.split(',').map(|word| word.trim().to_owned()).collect()))
        } else if let Some((table, column)) = text.strip_prefix("in ").and_then(|path| path.rsplit_once('.')) {
            Ok(Self::References(table.to_owned(), column.to_owned()))
        } else if let Some((low, high)) = text.split_once(" to ") {
            Ok(Self::Between(number(low)?, number(high)?))
        } else {
            Err(text.to_owned())
        }
    }

    /// SQL that is true of a row that breaks it; none for a reference, which takes another table.
    pub(crate) fn broken_by(&self, column: &str) -> Option<String> {
        let column = format!("\"{column}\"");
        Some(match self {
            Self::NotNull => format!("{column} is null"),
            Self::AtLeast(least) => format!("{column} < {least}"),
            Self::MoreThan(more) => format!("{column} <= {more}"),
            Self::Between(low, high) => format!("({column} < {low} or {column} > {high})"),
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                format!("{column} not in ({})", words.join(", "))
            }
            Self::References(..) => return None,
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNull => f.write_str("not null"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::MoreThan(more) => write!(f, "> {more}"),
            Self::Between(low, high) => write!(f, "{low} to {high}"),
            Self::OneOf(words) => write!(f, "one of: {}", words.join(", ")),
            Self::References(table, column) => write!(f, "in {table}.{column}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_what_it_prints() {
        for text in ["not null", ">= 0", "> 0.5", "0 to 1", "one of: a, b", "in marts.runs.event_id"] {
            assert_eq!(Rule::read(text).unwrap().to_string(), text);
        }
        assert!(Rule::read("about 0 to 1").is_err());
    }
}
