//! Who is a person in text: mentions, addresses with the names before them, trailers of commits, home folders.

use super::rules::{EMAIL, HASH, MENTION, replace};
use super::{Privacy, filter};
use regex::Match;
use std::borrow::Cow;
use std::ops::Range;

/// Words of code and documents that begin with `@` and are nobody.
const NOBODY: &[&str] = &[
    "abstractmethod",
    "after",
    "aftereach",
    "all",
    "apply",
    "arg",
    "args",
    "autowired",
    "bean",
    "before",
    "beforeeach",
    "brief",
    "cached_property",
    "charset",
    "classmethod",
    "component",
    "contextmanager",
    "dataclass",
    "default",
    "deprecated",
    "deprecationwarning",
    "describe",
    "entity",
    "everyone",
    "example",
    "export",
    "extend",
    "extends",
    "final",
    "font-face",
    "functools.wraps",
    "get",
    "getter",
    "head",
    "here",
    "host",
    "if",
    "ignore",
    "implements",
    "import",
    "include",
    "inject",
    "injectable",
    "inline",
    "input",
    "interface",
    "internal",
    "jvmstatic",
    "keyframes",
    "latest",
    "layer",
    "link",
    "main",
    "master",
    "media",
    "mixin",
    "next",
    "nonnull",
    "nullable",
    "objc",
    "observable",
    "optional",
    "output",
    "overload",
    "override",
    "page",
    "param",
    "params",
    "parameterizedtest",
    "patch",
    "pipe",
    "post",
    "private",
    "property",
    "protected",
    "public",
    "published",
    "put",
    "pytest.fixture",
    "readonly",
    "repository",
    "rest",
    "return",
    "returns",
    "route",
    "safevarargs",
    "see",
    "service",
    "since",
    "staticmethod",
    "state",
    "suppresswarnings",
    "supports",
    "synchronized",
    "template",
    "test",
    "testable",
    "throws",
    "todo",
    "transactional",
    "ts-check",
    "ts-expect-error",
    "ts-ignore",
    "ts-nocheck",
    "type",
    "typedef",
    "use",
    "v1",
    "v2",
    "v3",
    "v4",
    "v5",
    "value",
    "version",
    "warning",
    "wraps",
];

pub(super) fn is_hash(text: &str) -> bool {
    text.len() == 26 && HASH.is_match_at(text, 0)
}

/// Addresses of programs and things that look like an address.
pub(super) fn no_person(local: &str, domain: &str) -> bool {
    let mut labels = domain.split('.');
    let (first, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let last = domain.rsplit('.').next().unwrap_or_default();
    let digit = |text: &str| text.bytes().next().is_some_and(|b| b.is_ascii_digit());
    // `git@github.com:o/r`, `icon@2x.png`, `pkg@1.2.0-beta.rc`, `getty@tty1.service`
    (local == "git" || !local.contains(char::is_alphanumeric))
        || (matches!(first, "1x" | "2x" | "3x" | "4x") && second == last)
        || (digit(first.trim_start_matches('v')) && digit(second))
        || (matches!(last, "service" | "socket" | "timer" | "target" | "mount" | "slice" | "scope") && second == last)
}

impl Privacy {
    pub(super) fn mention_text(&self, name: &str) -> String {
        if is_hash(name) { name.to_owned() } else { self.mention(name) }
    }

    pub(super) fn mentions(&self, text: &mut Cow<'_, str>) {
        let before = text.clone().into_owned();
        replace(text, &MENTION, |c| {
            let name = &c[2];
            let start = c.get(0).map_or(0, |m| m.start()) + c[1].len();
            // `@app.route(` at the start of a line, of a diff or not, is a decorator.
            let decorator = || {
                let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'+' | b'-');
                let line = &before.as_bytes()[..start];
                let length = line.iter().rev().take(64).take_while(blank).count();
                matches!(line[..line.len() - length].last(), None | Some(b'\n' | b'\r'))
            };
            match &c[3] {
                "/" => c[0].to_owned(), // `@scope/package` and `@org/team` are no people
                _ if NOBODY.binary_search(&&*name.to_lowercase()).is_ok() || is_hash(name) => c[0].to_owned(),
                "(" if decorator() => c[0].to_owned(),
                rest => format!("{}@{}{rest}", &c[1], self.mention(name)),
            }
        });
    }

    /// `Alice Doe <alice@example.com>`: the name goes with the address.
    pub(super) fn names_before_addresses(&self, text: &mut Cow<'_, str>) {
        const LONGEST: usize = 96;
        let mut clean = String::new();
        let mut kept = 0;
        for open in memchr::memchr_iter(b'<', text.as_bytes()) {
            let inside = &text[open + 1..text.floor_char_boundary(open + 1 + LONGEST)];
            let inside = inside.split(['>', ' ', '<', '\n']).next().unwrap_or_default();
            if !EMAIL.is_match(inside) {
                continue;
            }
            let from = text.ceil_char_boundary(open.saturating_sub(LONGEST)).max(kept);
            let before = text[from..open].trim_end_matches([' ', '\t', '"', '\\']);
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '\'' | '’' | '-' | '_');
            let name = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
            let is_capital = |word: &str| word.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
            let words = name.split(' ').rev().take(5);
            let mut length = 0;
            let mut longest = 0;
            for word in words {
                length += word.len() + 1;
                if is_capital(word) {
                    longest = length - 1;
                }
            }
            if longest == 0 {
                continue;
            }
            let end = from + before.len();
            let start = end - longest;
            if is_hash(&text[start..end]) {
                continue;
            }
            clean.push_str(&text[kept..start]);
            clean.push_str(&self.mention(&text[start..end]));
            kept = end;
        }
        if kept > 0 {
            clean.push_str(&text[kept..]);
            *text = Cow::Owned(clean);
        }
    }
}

/// The folder below a home folder. A relative path such as `src/home/index.html` is none, nor is a web address.
pub(super) fn home_name(text: &str, found: Match, from: usize) -> Option<Range<usize>> {
    let path = filter::path_before(&text.as_bytes()[from.min(found.start())..found.start()]);
    let lower: Vec<u8> = path.to_ascii_lowercase();
    let web = lower.windows(7).any(|w| w == b"http://" || w == b"ttps://");
    let relative = match path {
        [] => false,
        [b'/' | b'\\', ..] => false,
        path if path.contains(&b':') => false,
        path if path.len() == filter::PATH_WINDOW => false,
        [first, ..] => first.is_ascii_alphanumeric() || *first >= 0x80 || matches!(first, b'.' | b'_' | b'-'),
    };
    let escaped = lower.starts_with(b"%2f") || lower.starts_with(b"%5c");
    // `n/home/…` in JSON inside a text is a line break and a path.
    let line_break = matches!(path, [b'\\', ..]) || text[..found.start()].ends_with("\\n");
    // Routes such as `/users/:id` are lower case; a home folder of that spelling stands on a drive.
    let home_end = found.as_str().len() - found.as_str().find("users").unwrap_or(found.as_str().len());
    let route = home_end > 0 && !filter::on_drive(&text.as_bytes()[..found.end() - home_end]);
    if web || route || (relative && !escaped && !line_break) {
        return None;
    }
    let rest = &text[found.end()..];
    let end = rest
        .find(|c: char| {
            c.is_whitespace() || matches!(c, '/' | '\\' | ':' | '"' | '\'' | '`' | ')' | '>' | ',' | ';' | '%' | ']')
        })
        .unwrap_or(rest.len());
    let name = &rest[..end];
    (!name.is_empty() && !name.starts_with("[masked") && !name.starts_with(['$', '{', '*', '<']))
        .then(|| found.end()..found.end() + end)
}

/// The name after a trailer or in a commit object.
pub(super) fn trailer_name(text: &str, found: Match) -> Option<Range<usize>> {
    const LONGEST: usize = 256;
    let rest = &text[found.end()..text.floor_char_boundary(found.end() + LONGEST)];
    let mut end = rest.find(['<', '\n', '\r', '"', ')']).unwrap_or(rest.len());
    end = rest[..end].find("\\n").unwrap_or(end);
    let name = rest[..end].trim_end();
    if name.is_empty() || name.starts_with("[masked") || name.starts_with("[erased") {
        return None;
    }
    let prefix = found.as_str().trim_end();
    let has_address = rest[end..].starts_with('<');
    let by = prefix.len() >= 4 && prefix[prefix.len() - 4..].eq_ignore_ascii_case("-by:");
    let capital = |word: &str| word.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    let words = name.split(' ').filter(|word| !word.is_empty());
    let like_a_name = prefix.ends_with(':')
        && words.clone().count() <= 4
        && words.clone().all(capital)
        && name.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | '\'' | '’' | '-'));
    (by || has_address || like_a_name).then(|| found.end()..found.end() + name.len())
}
