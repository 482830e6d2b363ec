//! One value as text for eyes: how wide it is on a terminal, and nothing in it that a terminal obeys.

use arrow::array::{Array, UnionArray};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

/// What stands for a null. Empty text is blank, so the two differ.
pub(crate) const NULL: &str = "NULL";

/// A text with every control character written out, and those that turn the direction of text: data moves no cursor.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if hidden(c) && c.is_ascii() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if hidden(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is one that a terminal obeys, that turns the direction of text or breaks a line, or that nobody sees.
/// The joiners stay: scripts and emoji are written with them.
pub fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns of a terminal that a text takes.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// The text, or its beginning and `…`, no wider than `limit`.
pub(crate) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    // No character is narrower than nothing and most take one byte or more a column.
    if text.len() <= limit || width(text) <= limit {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..fitting(text, limit.saturating_sub(1))]))
}

/// Bytes of the longest beginning that is no wider than `limit`.
pub(crate) fn fitting(text: &str, limit: usize) -> usize {
    let (mut end, mut wide) = (0, 0);
    for (at, c) in text.char_indices() {
        let mut buffer = [0; 4];
        wide += width(c.encode_utf8(&mut buffer));
        if wide > limit {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}

/// The values of a column as text; none for a null.
pub(crate) fn texts(column: &dyn Array) -> Result<Vec<Option<String>>, ArrowError> {
    let options = FormatOptions::default().with_null("null");
    // What `json_get` gives is of one type here and of another there: each value by itself.
    if let Some(union) = column.as_any().downcast_ref::<UnionArray>() {
        return (0..union.len())
            .map(|row| {
                let value = union.value(row);
                match value.logical_null_count() {
                    0 => ArrayFormatter::try_new(&value, &options)?.value(0).try_to_string().map(Some),
                    _ => Ok(None),
                }
            })
            .collect();
    }
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let nulls = column.logical_nulls();
    (0..column.len())
        .map(|row| match nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            true => Ok(None),
            false => formatter.value(row).try_to_string().map(Some),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let text = "a\u{1b}[2Jb\nc\u{9b}d\u{202e}e\u{7f}";
        assert_eq!(visible(text), "a\\x1b[2Jb\\nc\\u{9b}d\\u{202e}e\\x7f");
        assert_eq!(visible("日本語 👩‍💻 é"), "日本語 👩‍💻 é");
        assert_eq!(visible("a\u{2028}b\u{85}c\u{200b}d\u{e0041}"), "a\\u{2028}b\\u{85}c\\u{200b}d\\u{e0041}");
    }

    #[test]
    fn a_text_is_cut_by_what_it_takes_on_the_screen() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 2), "a…");
        for limit in 1..8 {
            assert!(width(&cut("a日b本c語d", limit)) <= limit, "{limit}");
        }
    }
}
