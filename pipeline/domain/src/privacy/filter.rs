//! Which rules a text could need, in one fast pass: almost no text needs any.
//!
//! Each pair of neighbouring bytes, small letters and capitals alike, is looked up in a table that says which of some
//! hundred and thirty short needles it could begin or go on; a hit is compared with the word it stands for and with what is around
//! it. This is Teddy (Hyperscan) without SIMD: whole pairs instead of half bytes leave so few false hits that it is
//! faster here, where texts are short and needles many. The filter may send a clean text to the rules, but never keeps
//! a text from a rule that would change it.

use super::needles::{ALL, AT, Around, FORM, HOME, KEYS, NEEDLES, PROGRAMS};
use super::tokens;

/// Needles are spread over the bits of two bytes.
const BUCKETS: usize = 16;

/// Small letter and capital are one class, and so is everything that is in no needle.
static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let (mut next, mut needle) = (1, 0);
    while needle < NEEDLES.len() {
        let mut at = 0;
        while at < 3 {
            let byte = NEEDLES[needle].0.as_bytes()[at];
            if classes[byte as usize] == 0 {
                classes[byte as usize] = next;
                classes[byte.to_ascii_uppercase() as usize] = next;
                next += 1;
            }
            at += 1;
        }
        needle += 1;
    }
    assert!(next as usize <= CLASS_COUNT);
    // What stands between two arguments of a list.
    classes[b'\t' as usize] = classes[b' ' as usize];
    classes[b'\x0b' as usize] = classes[b' ' as usize];
    classes
}

const CLASS_COUNT: usize = 64;

/// For two neighbouring classes: in the low half the buckets of needles that begin so, in the high half of those that
/// go on so.
static PAIRS: [u32; CLASS_COUNT * CLASS_COUNT] = {
    let mut pairs = [0; CLASS_COUNT * CLASS_COUNT];
    let classes = classes();
    let mut needle = 0;
    while needle < NEEDLES.len() {
        let bytes = NEEDLES[needle].0.as_bytes();
        let (a, b, c) = (classes[bytes[0] as usize], classes[bytes[1] as usize], classes[bytes[2] as usize]);
        pairs[pair(a, b)] |= 1 << (needle % BUCKETS);
        pairs[pair(b, c)] |= 1 << (needle % BUCKETS + BUCKETS);
        needle += 1;
    }
    pairs
};

const fn pair(a: u8, b: u8) -> usize {
    (a as usize % CLASS_COUNT) * CLASS_COUNT + b as usize % CLASS_COUNT
}

/// The rules that `text` could need; 0 for almost every text.
pub(super) fn rules_for(text: &[u8]) -> u16 {
    let mut found = signs(text) | if tokens::may_hold(text) { FORM } else { 0 };
    let (mut before, mut begun) = (0, 0);
    let mut step = |byte: u8| {
        let class = CLASSES[usize::from(byte)];
        let buckets = PAIRS[pair(before, class)];
        let hit = begun & (buckets >> BUCKETS);
        (before, begun) = (class, buckets & 0xffff);
        hit
    };
    // Four bytes with one branch: there is hardly ever a hit.
    let (words, rest) = text.as_chunks::<4>();
    for (index, word) in words.iter().enumerate() {
        let hits = word.map(&mut step);
        if hits != [0; 4] {
            for (hit, at) in hits.into_iter().zip(index * 4..).filter(|(hit, _)| *hit != 0) {
                look(text, at - 2, hit, &mut found);
            }
            if found == ALL {
                return found;
            }
        }
    }
    for (byte, at) in rest.iter().zip(words.len() * 4..) {
        let hit = step(*byte);
        if hit != 0 {
            look(text, at - 2, hit, &mut found);
        }
    }
    found
}

/// Looks closer at a place where needles of some buckets could begin.
#[cold]
fn look(text: &[u8], at: usize, mut buckets: u32, found: &mut u16) {
    while buckets != 0 {
        let bucket = buckets.trailing_zeros() as usize;
        for (needle, word, offset, rules, around) in NEEDLES.iter().skip(bucket).step_by(BUCKETS) {
            if rules & !*found != 0
                && is_same(&text[at..at + 3], &needle.as_bytes()[..3])
                && confirmed(text, at, word.as_bytes(), *offset, *around)
            {
                *found |= rules;
            }
        }
        buckets &= buckets - 1;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a word begins at `at`: in JSON inside a text the letter of `\n` is no part of it.
fn starts(text: &[u8], at: usize) -> bool {
    match text[..at] {
        [] => true,
        [.., b'\\', _] => true,
        [.., before] => !is_word(before),
    }
}

fn confirmed(text: &[u8], hit: usize, word: &[u8], offset: usize, around: Around) -> bool {
    let Some(start) = hit.checked_sub(offset) else { return false };
    let Some(there) = text.get(start..start + word.len()) else { return false };
    if !is_same(there, word) {
        return false;
    }
    let rest = &text[start + word.len()..];
    match around {
        Around::Any => true,
        Around::Option => follows_program(&text[..start]),
        Around::Odd => odd_follows(rest),
        Around::Profile => {
            let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'-').count();
            name > 0 && !matches!(rest.get(name), Some(b'/' | b'.' | b'_' | b'%'))
        }
        Around::Spelt => {
            let before = text[..start].iter().rev().take(WINDOW).take_while(|b| !b.is_ascii_whitespace());
            let after = rest.iter().take(WINDOW).take_while(|b| !b.is_ascii_whitespace());
            before.clone().any(|b| matches!(b, b'.' | b'_')) && after.clone().any(|b| *b == b'.')
        }
        Around::Key if word == b"key" => {
            let before = text[..start].strip_suffix(b"_").or(text[..start].strip_suffix(b"-"));
            let before = before.unwrap_or(&text[..start]);
            let named = |name: &&str| {
                before.len() >= name.len() && before[before.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes())
            };
            KEYS.iter().any(named) && valued(text, start, rest)
        }
        Around::Key => valued(text, start, rest),
        Around::Word if !starts(text, start) => false,
        Around::Line | Around::Word => {
            matches!(rest.first(), Some(b' ' | b'\t' | b'\x0b' | b':' | b'\\' | b'\n' | b'\r'))
        }
        Around::Folder => {
            let slash = |b: Option<&u8>| matches!(b, Some(b'/' | b'\\' | b'%'));
            let before = &text[..start];
            let open =
                slash(before.last()) || before.ends_with_ignore_case(b"2f") || before.ends_with_ignore_case(b"5c");
            slash(rest.first()) && open && (there != b"users" || on_drive(before))
        }
    }
}

/// Whether two texts are the same but for capitals and the kind of blank.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let same =
        |one: &u8, other: &u8| one.eq_ignore_ascii_case(other) || *other == b' ' && matches!(one, b'\t' | b'\x0b');
    one.iter().zip(other).all(|(one, other)| same(one, other))
}

/// Whether the command that `before` ends with begins with a program that takes a password by an option.
fn follows_program(before: &[u8]) -> bool {
    let command = &before[before.len().saturating_sub(PATH_WINDOW)..];
    let length = command.iter().rev().take_while(|byte| !matches!(byte, b'\n' | b'\r' | b';' | b'|' | b'&')).count();
    let command = &command[command.len() - length..];
    length == PATH_WINDOW || PROGRAMS.iter().any(|program| memchr::memmem::find(command, program.as_bytes()).is_some())
}

/// How far a path is followed back from a home folder.
pub(super) const PATH_WINDOW: usize = 256;

/// The part of a path that `before` ends with.
pub(super) fn path_before(before: &[u8]) -> &[u8] {
    let in_path = |b: &&u8| {
        let sign = matches!(**b, b'/' | b'\\' | b'.' | b'_' | b'-' | b'+' | b'%' | b'$' | b':');
        sign || b.is_ascii_alphanumeric() || **b >= 0x80
    };
    &before[before.len() - before.iter().rev().take(PATH_WINDOW).take_while(in_path).count()..]
}

/// Whether a path is on a drive: `c:/`, `/mnt/c/`, encoded or not. Elsewhere, `/users/` is a route, not `/Users/`.
pub(super) fn on_drive(before: &[u8]) -> bool {
    let path = path_before(before);
    let bare = &path[..path.len() - path.iter().rev().take_while(|b| matches!(b, b'/' | b'\\')).count()];
    let letter = matches!(bare, [.., b'/', letter] if letter.is_ascii_alphabetic());
    // `\\server\users\ann`
    let server = path.starts_with(b"\\\\");
    letter || server || path.len() == PATH_WINDOW || path.iter().any(|b| matches!(b, b':' | b'%'))
}

trait EndsWith {
    fn ends_with_ignore_case(&self, end: &[u8]) -> bool;
}

impl EndsWith for [u8] {
    fn ends_with_ignore_case(&self, end: &[u8]) -> bool {
        self.len() >= end.len() && self[self.len() - end.len()..].eq_ignore_ascii_case(end)
    }
}

/// How far behind a word what it announces is looked for, in bytes.
pub(super) const ANNOUNCED: usize = 160;

/// The longest word that is looked at there, in bytes.
pub(super) const LONGEST: usize = 128;

/// Whether a character ends a word there.
pub(super) fn is_between(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\'' | '`' | '=' | ',' | '&' | '(' | ')' | '<' | '>' | ':' | '@' | '/' | '\\' | '{' | '}' | '[' | ']'
        )
}

/// Whether soon a word follows in which small letters, capitals and digits are mixed. The words are those of the rule, but
/// that blanks beyond ASCII part none: it may only see more.
fn odd_follows(rest: &[u8]) -> bool {
    let is_end = |byte: &u8| byte.is_ascii() && is_between(char::from(*byte));
    rest[..rest.len().min(ANNOUNCED + LONGEST)].split(is_end).any(|word| {
        let has = |is: fn(&u8) -> bool| word.iter().any(is);
        word.len() >= 6 && has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
    })
}

/// How far is looked around a word; beyond, the answer is yes.
const WINDOW: usize = 128;

/// Whether a name that goes on in `rest` has a value after it, or is an option.
fn valued(text: &[u8], start: usize, rest: &[u8]) -> bool {
    // `--db-password x`: a dash before any part of the name.
    let name = text[..start].iter().rev().take(WINDOW);
    let length = name.clone().take_while(|b| is_word(**b) || **b == b'-').count();
    if length == WINDOW || name.take(length).any(|b| *b == b'-') {
        return true;
    }
    let window = &rest[..rest.len().min(WINDOW)];
    let named = window.iter().take_while(|b| is_word(**b) || **b == b'-').count();
    let blank = |b: &&u8| matches!(**b, b'"' | b'\'' | b'`' | b']' | b'(' | b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let after = named + window[named..].iter().take_while(blank).count();
    match window.get(after) {
        Some(b'=' | b':' | b'\\' | b'>') => true,
        Some(b'-') if window.get(after + 1) == Some(&b'>') => true,
        // `password is x7Bd…`: one of the next two words is more than a word.
        Some(_) => window[after..]
            .split(|b| blank(&b))
            .filter(|word| !word.is_empty())
            .take(2)
            .any(|word| word.len() >= 8 && word.iter().any(u8::is_ascii_digit)),
        None => window.len() < rest.len(),
    }
}

/// The rules that an `@` or a `~` could need.
fn signs(text: &[u8]) -> u16 {
    let mut found = 0;
    let mut scheme = None;
    for at in memchr::memchr2_iter(b'@', b'~', text) {
        let rest = &text[at + 1..];
        if text[at] == b'~' {
            let begins =
                at == 0 || matches!(text[at - 1], b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'=' | b':' | b'(' | 0x0b);
            found |= if begins && rest.first().is_some_and(u8::is_ascii_alphabetic) { HOME } else { 0 };
            continue;
        }
        let next = rest.first();
        // A name begins with a letter or digit; `@@ -1,3 +1,3 @` in every diff does not.
        let named = next
            .is_some_and(|next| next.is_ascii_alphanumeric() || *next >= 0x80 || matches!(next, b'\\' | b'[' | b']'));
        let mut in_url =
            || next == Some(&b'/') || *scheme.get_or_insert_with(|| memchr::memmem::find(text, b"://").is_some());
        if named || found & AT == 0 && in_url() {
            found |= AT;
        }
        if found == AT | HOME {
            break;
        }
    }
    found
}

/// Every needle is the part of its word that it says to be.
#[cfg(test)]
pub(super) fn needles_are_sound() -> bool {
    NEEDLES.iter().all(|(needle, word, at, ..)| {
        let part = &word.as_bytes()[*at..];
        let length = needle.len().min(part.len());
        needle.len() >= 3 && part[..length].eq_ignore_ascii_case(&needle.as_bytes()[..length])
    })
}
