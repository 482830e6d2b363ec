//! Closing brackets and quoted text at a key's own column, or left of it: YAML's grammar forbids them, but libyaml, and
//! so Compose and PyYAML, do not look at columns inside brackets and quotes. And tabs between a key and its value.
//!
//! The text is rewritten for our stricter parser, character for character, so that every place in it stays where it
//! was: the line breaks before such a line become blanks, and so do the comments that would swallow what follows.

/// The text with such lines joined to the ones before; none where there are none.
pub(crate) fn relaxed(text: &str) -> Option<String> {
    let mut scan = Scan { old: text.chars().collect(), new: text.chars().collect(), at: 0 };
    while scan.at < scan.old.len() {
        scan.line();
    }
    (scan.new != scan.old).then(|| scan.new.into_iter().collect())
}

struct Scan {
    old: Vec<char>,
    new: Vec<char>,
    at: usize,
}

impl Scan {
    fn peek(&self) -> Option<char> {
        self.old.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\u{feff}')) {
            self.at += 1;
        }
    }

    /// To behind the next line break.
    fn rest_of_line(&mut self) {
        while let Some(c) = self.peek() {
            self.at += 1;
            if c == '\n' {
                break;
            }
        }
    }

    fn is_space(&self, at: usize) -> bool {
        self.old.get(at).is_none_or(|c| c.is_whitespace())
    }

    /// One line of block style, with everything that its last value holds.
    fn line(&mut self) {
        let start = self.at;
        self.blanks();
        // The column of the innermost key or dash: what belongs to its value stands to the right of it.
        let mut key = self.at - start;
        loop {
            match self.peek() {
                Some('-' | '?') if self.is_space(self.at + 1) => {
                    key = self.at - start;
                    self.at += 1;
                    self.blanks();
                    continue;
                }
                Some('&' | '!') => {
                    while !self.is_space(self.at) {
                        self.at += 1;
                    }
                    self.blanks();
                    continue;
                }
                _ => {}
            }
            let begin = self.at;
            match self.peek() {
                Some('"' | '\'') => self.quoted(key),
                Some('[' | '{') => self.flow(key),
                Some('|' | '>') => return self.block_scalar(key),
                _ => self.plain(),
            }
            self.blanks();
            if self.peek() == Some(':') && self.is_space(self.at + 1) && begin < self.at {
                key = begin - start;
                self.at += 1;
                let behind = self.at;
                self.blanks();
                // A tab that only separates is a blank to libyaml.
                self.new[behind..self.at].fill(' ');
            } else {
                return self.rest_of_line();
            }
        }
    }

    /// A plain scalar up to the colon that makes it a key, a comment, or the end of the line.
    fn plain(&mut self) {
        while let Some(c) = self.peek() {
            let ends = match c {
                '\n' => true,
                ':' => self.is_space(self.at + 1),
                '#' => self.at == 0 || self.is_space(self.at - 1),
                _ => false,
            };
            if ends {
                break;
            }
            self.at += 1;
        }
    }

    fn block_scalar(&mut self, key: usize) {
        self.rest_of_line();
        while self.at < self.old.len() {
            let start = self.at;
            self.blanks();
            if !matches!(self.peek(), None | Some('\n' | '\r')) && self.at - start <= key {
                self.at = start;
                return;
            }
            self.rest_of_line();
        }
    }

    fn quoted(&mut self, key: usize) {
        let quote = self.peek();
        self.at += 1;
        while let Some(c) = self.peek() {
            match c {
                '\\' if quote == Some('"') && self.old.get(self.at + 1) != Some(&'\n') => self.at += 2,
                '\n' => self.line_break(key, self.at, false),
                _ if Some(c) == quote => {
                    self.at += 1;
                    if quote != Some('\'') || self.peek() != quote {
                        return;
                    }
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    fn flow(&mut self, key: usize) {
        let mut depth = 0_usize;
        let mut comment = None;
        while let Some(c) = self.peek() {
            let begins = self.at == 0 || self.is_space(self.at - 1) || "[{,:".contains(self.old[self.at - 1]);
            match c {
                '"' | '\'' if begins => {
                    self.quoted(key);
                    continue;
                }
                '#' if begins => {
                    comment = Some(self.at);
                    while !matches!(self.peek(), None | Some('\n')) {
                        self.at += 1;
                    }
                    continue;
                }
                '\n' => {
                    self.line_break(key, comment.take().unwrap_or(self.at), true);
                    continue;
                }
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// At a line break: where the next content stands too far to the left, everything `from` here up to it becomes
    /// blanks. Inside brackets comments are no content.
    fn line_break(&mut self, key: usize, from: usize, in_flow: bool) {
        loop {
            self.at += 1;
            let start = self.at;
            self.blanks();
            match self.peek() {
                Some('\r' | '\n') => {}
                Some('#') if in_flow => {}
                Some(_) if self.at - start <= key => return self.new[from..self.at].fill(' '),
                _ => return,
            }
            while self.peek().is_some_and(|c| c != '\n') {
                self.at += 1;
            }
            if self.peek().is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_quotes_left_of_their_value_are_joined_to_the_line_before() {
        for (text, wanted) in [
            ("a:\n  b: [\n    1\n  ]\nc: 2\n", "a:\n  b: [\n    1   ]\nc: 2\n"),
            ("a:\n  b: [\n    1 # ]\n\n  # x\n  ]\n", "a:\n  b: [\n    1              ]\n"),
            ("a:\n  - [\n  1\n  ]\n", "a:\n  - [   1   ]\n"),
            ("a: \"x\ny # z\n\n  \"\n", "a: \"x y # z\n\n  \"\n"),
            ("a:\n  b: 'it''s\n  é'\n", "a:\n  b: 'it''s   é'\n"),
            ("a: {\r\n}\r\n", "a: {\r }\r\n"),
            ("a:\t1\t# \t\n", "a: 1\t# \t\n"),
        ] {
            let found = relaxed(text).unwrap();
            assert_eq!(found, wanted);
            assert_eq!(found.chars().count(), text.chars().count());
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        for text in [
            "a: [\n  1\n  ]\n",
            "a: |\n  [\n b\n  \"\nc: it's [\nd: # [\n",
            "a:\n  - b: >-\n      \"x\n\n    c: 1\n",
            "a: don't\nb: 'it''s'\n\"c\": {d: it's}\n",
            "- - [a,\n     b]\n",
            "a: [",
            "a: \"",
            "",
        ] {
            assert_eq!(relaxed(text), None, "{text}");
        }
    }
}
