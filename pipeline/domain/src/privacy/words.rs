//! A field's name as words, and names in letters that only look different.

/// How much of a long name is looked at, in bytes: what a field holds is said at its end.
const LONGEST: usize = 96;

/// Words of a name that are told apart.
const WORDS: usize = 12;

/// The words of a name, in small letters, on the stack: decoders ask for every key of every event.
pub(super) struct Words {
    text: [u8; LONGEST],
    /// Where each word ends; a word begins where the one before it ends.
    ends: [u8; WORDS],
    count: usize,
}

impl Words {
    /// Of a name in ASCII; other letters are left out.
    pub(super) fn new(key: &str) -> Self {
        let bytes = key.as_bytes();
        let bytes = &bytes[bytes.len().saturating_sub(LONGEST)..];
        let mut words = Self { text: [0; LONGEST], ends: [0; WORDS], count: 0 };
        let (mut length, mut start) = (0, 0);
        for (at, byte) in bytes.iter().enumerate() {
            let next_small = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
            let before = at.checked_sub(1).map_or(b'_', |before| bytes[before]);
            // `mergedBy` and `HTTPUser`, but `DB_PASSWORD`.
            let begins =
                byte.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_uppercase() && next_small);
            let digit = byte.is_ascii_digit() != before.is_ascii_digit() && before.is_ascii_alphanumeric();
            if length > start && (begins || digit && before.is_ascii_digit() || !byte.is_ascii_alphanumeric()) {
                words.end(length);
                start = length;
            }
            // `password2`: digits are no part of the word, but `b64` is one.
            if length > start
                && digit
                && byte.is_ascii_digit()
                && &words.text[start..length] != b"b"
                && &words.text[start..length] != b"base"
            {
                words.end(length);
                start = length;
            }
            if byte.is_ascii_alphanumeric() {
                words.text[length] = byte.to_ascii_lowercase();
                length += 1;
            }
        }
        if length > start {
            words.end(length);
        }
        words
    }

    fn end(&mut self, length: usize) {
        if self.count == WORDS {
            // The first ones become one.
            self.ends.copy_within(1.., 0);
            self.count -= 1;
        }
        self.ends[self.count] = length as u8;
        self.count += 1;
    }

    fn word(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        std::str::from_utf8(&self.text[usize::from(start)..usize::from(self.ends[index])]).unwrap_or_default()
    }

    /// The last word first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = &str> {
        (0..self.count).rev().map(|index| self.word(index))
    }

    /// All of them, written together.
    pub(super) fn joined(&self) -> &str {
        let end = self.count.checked_sub(1).map_or(0, |last| self.ends[last]);
        std::str::from_utf8(&self.text[..usize::from(end)]).unwrap_or_default()
    }
}

/// Letters that are not seen: they hide a word from a search and from nobody who reads it.
pub(super) fn is_unseen(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{180e}')
}

/// A text in small letters, without what is not seen, wide letters as narrow ones.
pub(super) fn folded(text: &str) -> String {
    text.chars().filter(|char| !is_unseen(*char)).map(narrow).flat_map(char::to_lowercase).collect()
}

/// A text without what is not seen, wide letters as narrow ones; none where there is neither.
pub(super) fn shown(text: &str) -> Option<String> {
    let odd = |char: char| is_unseen(char) || narrow(char) != char;
    text.chars().any(odd).then(|| text.chars().filter(|char| !is_unseen(*char)).map(narrow).collect())
}

/// A letter as it is written in ASCII, where it is one of the wide forms, or a full stop of other scripts.
pub(super) fn narrow(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(char as u32 - 0xfee0).unwrap_or(char),
        '。' | '｡' => '.',
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_however_it_is_written() {
        let words = |key: &str| Words::new(key).backwards().map(str::to_owned).collect::<Vec<_>>().join(" ");
        for key in ["merged_by", "mergedBy", "merged-by", "MERGED_BY", "Merged.By", "merged/by", "merged[by]"] {
            assert_eq!(words(key), "by merged", "{key}");
        }
        assert_eq!(words("HTTPUserName2"), "2 name user http");
        assert_eq!(words("key_b64"), "b64 key");
        assert_eq!(words(""), "");
        assert_eq!(words(&format!("{}_password", "x_".repeat(90))).split(' ').next(), Some("password"));
        assert_eq!(folded("ｐａｓｓ\u{200b}Word"), "password");
    }
}
