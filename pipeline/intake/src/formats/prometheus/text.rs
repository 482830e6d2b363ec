//! A line of the Prometheus text exposition or of OpenMetrics, with its time.

use crate::formats::Object;
use serde_json::Value;

/// From here on an integer counts milliseconds, as Prometheus writes them, not seconds, as OpenMetrics does: as
/// seconds it would be the year 5138, as milliseconds it is 1973.
const MILLISECONDS: f64 = 1e11;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// The unit of a metric.
    Unit(String, String),
    /// Nothing that is kept: a type, a help text, a comment, the end.
    Comment,
    /// A sample. The name is the label `__name__`.
    Sample { labels: Object, value: String, seconds: f64 },
}

/// Whether a dump that begins with this line is of this form.
pub(super) fn recognises(line: &str) -> bool {
    if ["# HELP ", "# TYPE ", "# UNIT "].iter().any(|start| line.starts_with(start)) || line.trim() == "# EOF" {
        return true;
    }
    // A value without a time is refused later, with the reason; the braces tell enough.
    let Ok((labels, rest)) = series(line) else { return false };
    let number = |text: Option<&str>| text.is_some_and(|text| text.parse::<f64>().is_ok());
    let mut words = rest.split_whitespace();
    number(words.next()) && (number(words.next()) || labels.len() > 1)
}

/// Reads a line.
pub(super) fn read(line: &str) -> Result<Line, &'static str> {
    let line = line.trim();
    if let Some(comment) = line.strip_prefix('#') {
        let mut words = comment.split_whitespace();
        return Ok(match (words.next(), words.next(), words.next()) {
            (Some("UNIT"), Some(metric), Some(unit)) => Line::Unit(metric.to_owned(), unit.to_owned()),
            _ => Line::Comment,
        });
    }
    if line.is_empty() {
        return Ok(Line::Comment);
    }
    let (labels, rest) = series(line)?;
    let mut words = rest.split_whitespace();
    let value = words.next().ok_or("a sample has no value")?;
    // What follows `#` is an exemplar: a trace, not a sample.
    let time =
        words.next().filter(|word| *word != "#").ok_or("a sample has no time: only dumps with times are read")?;
    if words.next().is_some_and(|word| word != "#") {
        return Err("a sample has more than a value and a time");
    }
    let read: f64 = time.parse().map_err(|_| "the time of a sample is no number")?;
    let seconds = if time.contains(['.', 'e', 'E']) { read } else { seconds(read) };
    Ok(Line::Sample { labels, value: value.to_owned(), seconds })
}

/// A time that is written as a whole number, in seconds.
pub(super) fn seconds(time: f64) -> f64 {
    if time.abs() >= MILLISECONDS { time / 1e3 } else { time }
}

/// The name and labels at the start of a line, and what follows them. The name may stand before the braces, or inside
/// them, in quotes or as a label.
fn series(line: &str) -> Result<(Object, &str), &'static str> {
    let mut labels = Object::new();
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    if !name.is_empty() {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
            return Err("the line is neither a sample nor a comment");
        }
        labels.insert("__name__".into(), Value::String(name.to_owned()));
    }
    let Some(inside) = rest.trim_start().strip_prefix('{') else {
        return if name.is_empty() { Err("the line is neither a sample nor a comment") } else { Ok((labels, rest)) };
    };
    rest = inside.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (key, after) = match rest.strip_prefix('"') {
            Some(after) => quoted(after)?,
            None => {
                let end = rest.find(|c: char| c == '=' || c == '}' || c.is_whitespace()).ok_or(OPEN)?;
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        let after = after.trim_start();
        let after = match after.strip_prefix('=') {
            Some(value) => {
                let value = value.trim_start().strip_prefix('"').ok_or("the value of a label is not in quotes")?;
                let (value, after) = quoted(value)?;
                labels.insert(key, Value::String(value));
                after
            }
            // A name in quotes, as names with any letters are written.
            None if rest.starts_with('"') => {
                labels.insert("__name__".into(), Value::String(key));
                after
            }
            None => return Err("a label has no value"),
        };
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.starts_with('}') => after,
            None => return Err(OPEN),
        };
    }
}

const OPEN: &str = "the labels of a sample do not end";

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => match letters.next().ok_or(OPEN)?.1 {
                'n' => out.push('\n'),
                escaped @ ('\\' | '"') => out.push(escaped),
                // Any other backslash stands for itself.
                other => out.extend(['\\', other]),
            },
            letter => out.push(letter),
        }
    }
    Err(OPEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(line: &str) -> (Value, String, f64) {
        match read(line) {
            Ok(Line::Sample { labels, value, seconds }) => (Value::Object(labels), value, seconds),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn both_dialects_are_read_with_their_units_of_time() {
        let open = sample(r#"up{job="a"} 1 1790813290.25 # {trace_id="KOO5S4vxi0o"} 0.67"#);
        assert_eq!(open, (json!({"__name__": "up", "job": "a"}), "1".to_owned(), 1_790_813_290.25));
        assert_eq!(sample("up 1 1790813290250").2, 1_790_813_290.25);
        assert_eq!(sample("up 1 1790813290").2, 1_790_813_290.0);
        assert_eq!(sample("go:x_total\t+Inf\t1790813290").1, "+Inf");
        assert_eq!(read("# UNIT build_seconds seconds"), Ok(Line::Unit("build_seconds".into(), "seconds".into())));
        for comment in ["# EOF", "#", "", "  ", "# HELP up Whether it is.", "# TYPE up gauge", "# any word"] {
            assert_eq!(read(comment), Ok(Line::Comment), "{comment}");
        }
    }

    #[test]
    fn labels_may_hold_anything() {
        let escaped = sample(r#"m{a="x\"}, #\\\n", b = "ü" , } 2 1790813290"#);
        assert_eq!(escaped.0, json!({"__name__": "m", "a": "x\"}, #\\\n", "b": "ü"}));
        assert_eq!(sample(r#"{"my.metric", a="1"} 2 1790813290"#).0, json!({"__name__": "my.metric", "a": "1"}));
        assert_eq!(sample(r#"{__name__="up"} 2 1790813290000"#).0, json!({"__name__": "up"}));
    }

    #[test]
    fn what_is_no_sample_is_refused_with_the_reason() {
        let time = "a sample has no time: only dumps with times are read";
        for (line, reason) in [
            (r#"up{job="a"} 1"#, time),
            (r#"up 1 # {trace_id="x"} 0.67"#, time),
            ("up", "a sample has no value"),
            ("up 1 soon", "the time of a sample is no number"),
            ("up 1 2 3", "a sample has more than a value and a time"),
            (r#"up{a="1"#, OPEN),
            (r#"up{a="1\"#, OPEN),
            ("up{", OPEN),
            (r#"up{a="1" b="2"} 1 2"#, OPEN),
            ("up{a=1} 1 2", "the value of a label is not in quotes"),
            ("up{a} 1 2", "a label has no value"),
            ("9lives 1 2", "the line is neither a sample nor a comment"),
            ("größe 1 2", "the line is neither a sample nor a comment"),
        ] {
            assert_eq!(read(line), Err(reason), "{line}");
        }
    }

    #[test]
    fn only_such_lines_are_recognised() {
        for line in ["# HELP up x", "# EOF", r#"up{a="1"} 1"#, "up 1 1790813290"] {
            assert!(recognises(line), "{line}");
        }
        for line in ["", "#!/bin/sh", "# a comment", "hello world", "up 1", "{\"ts\": 1", "{\"a\": 1, \"b\"", "{}"] {
            assert!(!recognises(line), "{line}");
        }
    }
}
