//! The engine's words as people's, and which name is most like another.

use arrow::error::ArrowError;

/// `… at Line: 2, Column: 7` as what was said and the place.
pub(super) fn located(text: &str) -> (&str, Option<(usize, usize)>) {
    let Some(at) = text.rfind(" at Line: ") else { return (text, None) };
    let mut numbers = text[at..].split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    (&text[..at], numbers.next().zip(numbers.next()))
}

pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(rest.find(after).map_or(rest, |end| &rest[..end]))
}

/// The name that is most like what was written, when it is alike at all.
pub(super) fn nearest(written: &str, names: &[String]) -> Option<usize> {
    let written = written.to_lowercase();
    let scores = names.iter().map(|name| strsim::damerau_levenshtein(&written, &name.to_lowercase()));
    let (at, distance) = scores.enumerate().min_by_key(|(_, distance)| *distance)?;
    (distance * 5 <= written.chars().count() * 2).then_some(at)
}

/// The table that is most like what was written: by its own name first, which may stand under another schema.
pub(super) fn nearest_table(written: &str, tables: &[String]) -> Option<usize> {
    let own = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let (bare, full) = (own(written), written.to_lowercase());
    let scores = tables.iter().map(|table| {
        (strsim::damerau_levenshtein(&bare, &own(table)), strsim::damerau_levenshtein(&full, &table.to_lowercase()))
    });
    let (at, (distance, _)) = scores.enumerate().min_by_key(|(_, score)| *score)?;
    if distance * 5 <= bare.chars().count() * 2 { Some(at) } else { nearest(written, tables) }
}

pub(super) fn arrow_words(error: &ArrowError) -> String {
    match error {
        ArrowError::DivideByZero => "division by zero".into(),
        ArrowError::CastError(text)
        | ArrowError::ComputeError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ParseError(text)
        | ArrowError::ArithmeticOverflow(text)
        | ArrowError::SchemaError(text)
        | ArrowError::CsvError(text)
        | ArrowError::JsonError(text)
        | ArrowError::NotYetImplemented(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// The engine's words without what concerns its makers: prefixes, backtraces, requests for bug reports, lists of candidates.
pub(super) fn plain(text: &str) -> String {
    let mut text = text;
    for end in
        ["\n\nbacktrace:", "\nThis issue was likely", "\nThis was likely caused", ". This was likely", "\nBacktrace"]
    {
        text = text.split(end).next().unwrap_or(text);
    }
    loop {
        let before = text.len();
        for prefix in [
            "Error during planning: ",
            "Execution error: ",
            "External error: ",
            "Internal error: ",
            "Schema error: ",
            "Arrow error: ",
            "Parquet error: ",
            "External: ",
            "Object Store error: ",
            "Optimizer rule 'simplify_expressions' failed",
            "type_coercion",
            "caused by",
            "\n",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text).trim_start();
        }
        if text.len() == before {
            break;
        }
    }
    let text = text.split("\n\tCandidate functions").next().unwrap_or(text);
    let text = text.split(" You might need to add explicit type casts").next().unwrap_or(text);
    sql_types(text.trim().trim_end_matches('.'))
}

/// Types by the names that SQL has for them.
pub(super) fn sql_types(text: &str) -> String {
    const TYPES: &[(&str, &str)] = &[
        ("LargeUtf8", "text"),
        ("Utf8View", "text"),
        ("Utf8", "text"),
        ("UInt64", "unsigned bigint"),
        ("Int64", "bigint"),
        ("Int32", "integer"),
        ("Float64", "double"),
        ("Boolean", "boolean"),
        ("Date32", "date"),
        ("Timestamp(µs, \"UTC\")", "timestamp"),
        ("Timestamp(µs)", "timestamp"),
        ("Timestamp(ns)", "timestamp"),
        ("Interval(MonthDayNano)", "interval"),
    ];
    let mut text = without_types(text);
    for (name, word) in TYPES {
        text = text.replace(name, word);
    }
    text
}

/// `Int64(1)` and `Utf8("x")`, the engine's way to write values, as `1` and `'x'`.
pub(crate) fn without_types(text: &str) -> String {
    const TYPES: &[&str] = &["Int64(", "Float64(", "Utf8(", "Utf8View(", "Boolean(", "UInt64("];
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, name)) = TYPES.iter().filter_map(|name| Some((rest.find(name)?, name))).min() {
        let inner = &rest[at + name.len()..];
        let free = !rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let value = match inner.strip_prefix('"') {
            Some(quoted) => quoted.find("\")").map(|end| (format!("'{}'", &quoted[..end]), end + 3)),
            None => inner.find(')').map(|end| (inner[..end].to_owned(), end + 1)),
        };
        match value.filter(|_| free) {
            Some((value, length)) => {
                plain.push_str(&rest[..at]);
                plain.push_str(&value);
                rest = &inner[length..];
            }
            None => {
                plain.push_str(&rest[..at + name.len()]);
                rest = inner;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["marts.runs", "marts.usage", "staging.events"].map(str::to_owned);
        assert_eq!(nearest("mart.runs", &names), Some(0));
        assert_eq!(nearest("events", &["events".to_owned()]), Some(0));
        assert_eq!(nearest("something else", &names), None);
    }

    #[test]
    fn the_nearest_table_may_stand_under_another_schema() {
        let names = ["features.runs", "marts.daily", "marts.runs", "staging.events"].map(str::to_owned);
        for (written, meant) in [
            ("marts.run", "marts.runs"),
            ("mart.runs", "marts.runs"),
            ("marts.event", "staging.events"),
            ("marts.dayly", "marts.daily"),
        ] {
            assert_eq!(nearest_table(written, &names).map(|at| names[at].as_str()), Some(meant), "{written}");
        }
        assert_eq!(nearest_table("marts.x", &names[3..]), None);
    }

    #[test]
    fn what_concerns_the_engine_s_makers_is_left_out() {
        assert_eq!(plain("Error during planning: no.\n\nbacktrace:   0: std"), "no");
        assert_eq!(plain("Cannot add Utf8View to Int64(1) and Int64"), "Cannot add text to 1 and bigint");
        assert_eq!(without_types("Utf8(\"a(b)\") || x + Int64(-1) + myInt64(2)"), "'a(b)' || x + -1 + myInt64(2)");
        assert_eq!(located("Expected: x at Line: 3, Column: 9"), ("Expected: x", Some((3, 9))));
    }
}
