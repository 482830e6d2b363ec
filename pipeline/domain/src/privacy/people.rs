//! Who is a person in text: mentions, addresses with the names before them, trailers of commits, home folders.

use super::rules::{ANGLE, EMAIL, HASH, MENTION, replace};
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
    "file",
    "files",
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

/// Words that stand in a person's field and are nobody.
const NO_NAMES: &[&str] = &[
    "all",
    "anonymous",
    "any",
    "auto",
    "automatic",
    "automation",
    "bot",
    "cargo",
    "clion",
    "code",
    "cursor",
    "default",
    "docker",
    "emacs",
    "everyone",
    "false",
    "first",
    "ghost",
    "github-actions",
    "goland",
    "gradle",
    "helix",
    "intellij",
    "kubernetes",
    "last",
    "local",
    "maven",
    "n/a",
    "na",
    "nano",
    "neovim",
    "nil",
    "no",
    "nobody",
    "none",
    "npm",
    "null",
    "nvim",
    "organization",
    "pip",
    "pnpm",
    "public",
    "pycharm",
    "root",
    "rustrover",
    "schedule",
    "scheduled",
    "self",
    "shell",
    "ssh",
    "sublime",
    "system",
    "team",
    "true",
    "undefined",
    "unknown",
    "user",
    "vim",
    "virtualbox",
    "vscode",
    "webstorm",
    "yarn",
    "yes",
    "zed",
];

/// Whether a text could be the name of a person: a login, or up to four words.
pub(super) fn is_name(text: &str) -> bool {
    let text = text.trim();
    let letters = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '\'' | '’' | '-' | '_' | ',');
    (2..=64).contains(&text.len())
        && text.starts_with(char::is_alphabetic)
        && text.chars().all(letters)
        && text.split(' ').count() <= 4
        && !is_hash(text)
        && NO_NAMES.binary_search(&&*text.to_ascii_lowercase()).is_err()
}

/// Whether a text is two to four words that each begin with a capital.
pub(super) fn is_full_name(text: &str) -> bool {
    let capital = |word: &str| word.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    is_name(text)
        && (2..=4).contains(&words.clone().count())
        && words.clone().all(capital)
        && !words.clone().any(is_shout)
}

/// Whether a word is all capitals: `API Gateway` is nobody.
fn is_shout(word: &str) -> bool {
    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Where the name ends that begins in a line.
pub(super) fn trailer_end(text: &str, from: usize) -> usize {
    const LONGEST: usize = 256;
    let rest = &text[from..text.floor_char_boundary(from + LONGEST)];
    let mut end = rest.find(['<', '\n', '\r', '"', ')']).unwrap_or(rest.len());
    end = rest[..end].find("\\n").unwrap_or(end);
    from + rest[..end].trim_end().len()
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
            if !EMAIL.is_match(inside) && !ANGLE.is_match(&text[open..text.floor_char_boundary(open + 1 + LONGEST)]) {
                continue;
            }
            let from = text.ceil_char_boundary(open.saturating_sub(LONGEST)).max(kept);
            let before = text[from..open].trim_end_matches([' ', '\t', '"', '\\']);
            let in_name = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '\'' | '’' | '-' | '_');
            let name = before.rsplit(|c| !in_name(c)).next().unwrap_or_default();
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
            let starts_line = || {
                text[..from + before.len() - name.len()].is_empty()
                    || text[..from + before.len() - name.len()].ends_with('\n')
            };
            if longest == 0 && name.split(' ').count() <= 3 && is_name(name) && starts_line() {
                longest = name.len(); // `ann doe <ann@…>` at the start of a line
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
    // `-I/home/…`: an option and its value in one word.
    let option =
        path.len() <= 24 && path.starts_with(b"-") && !path.iter().any(|byte| matches!(byte, b'/' | b'\\' | b'.'));
    let relative = match path {
        [] => false,
        _ if option => false,
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
    let end = with_blanks(rest, end);
    let name = &rest[..end];
    let route =
        name.starts_with(['$', '{', '*', '<', ':', '-']) || name.starts_with("[masked") || NO_HOMES.contains(&name);
    (!name.is_empty() && !route).then(|| found.end()..found.end() + end)
}

/// The name in a folder that holds one for each person, or behind a tilde.
pub(super) fn other_home_name(text: &str, found: Match) -> Option<Range<usize>> {
    let rest = &text[found.end()..];
    let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))).unwrap_or(rest.len());
    let name = rest[..end].trim_end_matches('.');
    let goes_on = rest[end..].starts_with('/');
    let before = found.as_str();
    // `~latest` is a version and `~ten` a guess; `/media/usb` is a disk.
    let command = || text[..found.start()].trim_end().ends_with("cd");
    let fits = match before {
        _ if before.ends_with('~') => goes_on || command(),
        _ if before.ends_with("media/") => goes_on,
        _ => true,
    };
    let nobody = NO_HOMES.contains(&name) || NO_NAMES.binary_search(&&*name.to_ascii_lowercase()).is_ok();
    (fits && !nobody && name.len() > 2 && is_name(name)).then(|| found.end()..found.end() + name.len())
}

/// Folders beside those of people.
const NO_HOMES: &[&str] = &[
    "Default",
    "Public",
    "Shared",
    "avatars",
    "cdrom",
    "circleci",
    "disk",
    "files",
    "images",
    "lost+found",
    "root",
    "runner",
    "static",
    "tmp",
    "uploads",
    "usb",
    "vsts",
];

/// `jane doe` of `/home/jane doe/x`: up to three more words, of which the last ends where the path goes on.
fn with_blanks(rest: &str, end: usize) -> usize {
    let mut at = end;
    for _ in 0..3 {
        let Some(after) = rest[at..].strip_prefix(' ') else { return end };
        let word =
            after.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '\''))).unwrap_or(after.len());
        if word == 0 || after.starts_with('-') {
            return end;
        }
        at += 1 + word;
        if rest[at..].starts_with(['/', '\\']) {
            return at;
        }
    }
    end
}

/// The name after a trailer or in a commit object.
pub(super) fn trailer_name(text: &str, found: Match) -> Option<Range<usize>> {
    let end = trailer_end(text, found.end());
    let name = &text[found.end()..end];
    if name.is_empty() || name.starts_with("[masked") || name.starts_with("[erased") {
        return None;
    }
    let prefix = found.as_str().trim_end();
    let has_address = text[end..].trim_start_matches(' ').starts_with('<');
    let by = prefix.len() >= 4 && prefix[prefix.len() - 4..].eq_ignore_ascii_case("-by:");
    let capital = |word: &str| word.chars().next().is_some_and(|c| c.is_alphabetic() && !c.is_lowercase());
    let words = name.split(' ').filter(|word| !word.is_empty());
    let like_a_name = prefix.ends_with(':')
        && words.clone().count() <= 4
        && words.clone().all(capital)
        && name.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | '\'' | '’' | '-'));
    (by || has_address || like_a_name).then(|| found.end()..found.end() + name.len())
}
