//! What is masked in text, rule by rule. Every pattern runs in linear time, and what is looked at by hand is bounded.

use super::filter::{self, KEYS};
use super::{MASK, Privacy};
use regex::{Captures, Match, Regex};
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::sync::LazyLock;

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        pub(super) static $name: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(&$text).expect("the pattern is a constant"));
    };
}

pattern!(HASH, r"u-[0-9a-f]{24}");
pattern!(URL_LOGIN, r#"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s:@?#"'<>`]*:[^/\s?#"'<>`]*)@"#);
const AT_SIGN: &str = r"(?:(?i-u:@|%40|\\{1,2}u0040)|＠)";
const DOMAIN: &str = concat!(
    r"(?:[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}\-]*)(?:\.[\p{L}\p{N}\p{M}\-]+)*",
    r"\.(?:[\p{L}\p{M}]{2,}|(?i-u:xn--[a-z0-9-]+)))",
);
const LOCAL: &str = r"[\p{L}\p{N}\p{M}._%+\-]";
// All of `a@b.cc@d.ee` and `a@b.cc-@d.ee` is one address: what would be left of it looks like another.
pattern!(EMAIL, format!("({LOCAL}+){AT_SIGN}({DOMAIN})((?:{LOCAL}*{AT_SIGN}{DOMAIN})*)"));
pattern!(MENTION, r"(^|[^\w@/.\]`-])@([\p{L}\p{N}](?:[\p{L}\p{N}\p{M}_\-]|\.[\p{Ll}\p{N}])*)([/(]?)");
pattern!(HOME_PATH, r"(?i-u:([/\\]|%2f|%5c)+(?:home|users|documents and settings)([/\\]|%2f|%5c)+)");
pattern!(
    TOKEN,
    concat!(
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|$)",
        r"|(?-u:\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)",
        r"|(?-u:\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bgl(?:pat|dt|rt)-[A-Za-z0-9_\-]{16,})",
        r"|(?-u:\bxox[abeprs]-[A-Za-z0-9\-]{10,}|\bsk-[A-Za-z0-9_\-]{20,}|\bnpm_[A-Za-z0-9]{30,})",
        r"|(?-u:[srp]k_(?:live|test)_[A-Za-z0-9]{10,}|\bAIza[A-Za-z0-9_\-]{30,}|\bhf_[A-Za-z0-9]{20,})",
        r"|(?-u:\bSG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}|\bpypi-[A-Za-z0-9_\-]{20,})",
        r"|(?-u:\bdckr_pat_[A-Za-z0-9_\-]{16,}|\bya29\.[A-Za-z0-9_\-]{16,}|\bGOCSPX-[A-Za-z0-9_\-]{16,})",
        r"|(?-u:\bdapi[0-9a-f]{32}|\bhvs\.[A-Za-z0-9_\-]{20,})",
        r"|(?-u:\bwhsec_[A-Za-z0-9]{8}[A-Za-z0-9+/=]{12,}|\bglsa_[A-Za-z0-9_]{20,})",
        r"|(?i-u:hooks\.slack\.com/[A-Za-z0-9_/]{12,})",
        r"|(?-u:\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*)",
    )
);
pattern!(
    KEY,
    format!(
        concat!(
            r#"(?i-u:(?:(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|_pass|(?:{})[_-]?key)[a-z0-9_-]*"#,
            // `signal: killed` and `Signed-off-by: …` are no signatures.
            r#"|(?:\b|[_-])sig(?:nature)?(?:v?[0-9_-][a-z0-9_-]*)?)\\*["'`]?\]?\s*(?:=>|:=|={{1,3}}|:)[ \t]*)"#
        ),
        KEYS.join("|")
    )
);
pattern!(
    SWITCH,
    concat!(
        r#"(?i-u:(?:(?:^|[\s"'`(,])--|[ \t"'`]-)(?:[a-z0-9]+[-_])*?"#,
        r#"(?:password|passwd|passphrase|pass|token|secret|api-?key|access-?key|secret-?key|private-?key|auth)"#,
        r#"(?:\s+|=|\\*["'],\s*))"#
    )
);
pattern!(USER_LOGIN, r#"(?:^|[\s"'`])(?:-u|--user)[ =]+\\*["']?[^\s:"'\\]+:"#);
/// Whatever stands between a program and its option, up to the next command.
const ARGUMENTS: &str = r"(?:[\t\x20-%'-:<-{}~]*?[ \t])??";
// One pattern each: what one program takes for its option may be another's.
pattern!(MYSQL, format!(r"(?-u:\b(?:mysql|mariadb)[a-z_-]*[ \t]{ARGUMENTS}-p)"));
pattern!(SSHPASS, r"(?-u:\bsshpass[ \t]+-p[ \t]*)");
pattern!(CLIENT_LOGIN, format!(r"(?-u:\blogin[ \t]{ARGUMENTS}-p[ \t=]+)"));
pattern!(REDIS, format!(r"(?-u:\bredis-cli[ \t]{ARGUMENTS}-a[ \t]+)"));
pattern!(HEADER_LINE, r#"(?i-u:(?:authorization|\bcookie|\bset-cookie)\\*["'`]?\s*(?:=>|:|=|\\*["'],)[ \t]*)"#);
pattern!(SCHEME, r"(?i-u:\b(bearer|basic)[ \t]+)([A-Za-z0-9._~+/=\-]{8,})");
pattern!(
    NETRC_LOGIN,
    concat!(
        r"(?-u:\b(?:machine[ \t\r\n]+[!-~]+|default)[ \t\r\n]+login[ \t\r\n]+)(\S+)",
        r"((?-u:[ \t\r\n]+(?:account[ \t\r\n]+[!-~]+[ \t\r\n]+)?password[ \t\r\n]+))(\S+)"
    )
);
pattern!(
    TRAILER_NAME,
    concat!(
        r"(?im-u:(?:^|\\n)[ \t]*[a-z-]{1,40}-by:[ \t]*",
        r"|(?:signed-off|co-authored|co-developed|reviewed|acked|tested|reported|suggested|approved|helped)-by:[ \t]*",
        r"|(?:requested|authored|committed|merged|mentored|debugged|pair-programmed)-by:[ \t]*",
        r"|(?:^|\\n)[ \t>+-]*(?:author|committer|tagger)(?::[ \t]*|[ \t]+))"
    )
);

/// Replaces what a pattern finds; the text stays as it is where nothing changes.
pub(super) fn replace(text: &mut Cow<'_, str>, pattern: &Regex, with: impl Fn(&Captures) -> String) {
    if let Cow::Owned(clean) = pattern.replace_all(text, |c: &Captures| with(c))
        && clean != **text
    {
        *text = Cow::Owned(clean);
    }
}

/// Replaces what stands after a pattern: `what` says which bytes, if any.
fn replace_after(
    text: &mut Cow<'_, str>,
    pattern: &Regex,
    what: impl Fn(&str, Match) -> Option<Range<usize>>,
    with: impl Fn(&str) -> String,
) {
    let mut clean = String::new();
    let (mut kept, mut at) = (0, 0);
    while at <= text.len() {
        let Some(found) = pattern.find_at(text, at) else { break };
        // The blanks it ends with may be what the next one begins with: `--password --token x`.
        at = (found.start() + found.as_str().trim_end().len()).max(at + 1);
        // What was taken for a value may begin the next one: `sshpass -p mysql -px`.
        if found.end() <= kept {
            continue;
        }
        let Some(range) = what(text, found).filter(|range| range.end > kept) else { continue };
        let old = &text[range.clone()];
        let new = with(old);
        if new == old {
            at = at.max(range.end);
            continue;
        }
        at = at.max(range.start);
        if kept == 0 || range.start > kept {
            clean.push_str(&text[kept..range.start]);
            clean.push_str(&new);
        }
        kept = range.end;
    }
    if kept > 0 {
        clean.push_str(&text[kept..]);
        *text = Cow::Owned(clean);
    }
}

/// The value that begins at `at`: to its closing quote, or as far as a word goes. Whether it was quoted.
pub(super) fn value_at(text: &str, at: usize) -> (Range<usize>, bool) {
    let bytes = text.as_bytes();
    let mut start = at;
    // Python's f"", r"", b"".
    if bytes.get(start).is_some_and(|b| matches!(b, b'f' | b'F' | b'r' | b'b' | b'u'))
        && bytes.get(start + 1).is_some_and(|b| matches!(b, b'"' | b'\''))
    {
        start += 1;
    }
    let slashes = bytes[start..].iter().take_while(|b| **b == b'\\').count();
    match bytes.get(start + slashes) {
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            start += slashes + 1;
            let mut end = start;
            while let Some(byte) = bytes.get(end) {
                match byte {
                    b'\n' | b'\r' => break,
                    // In JSON inside a text the closing quote is escaped as deep as the opening one.
                    b'\\' if slashes > 0 => {
                        let run = bytes[end..].iter().take_while(|b| **b == b'\\').count();
                        if run <= slashes && bytes.get(end + run) == Some(quote) {
                            break;
                        }
                        end += run;
                        if bytes.get(end) == Some(quote) {
                            end += 1;
                        }
                    }
                    b'\\' => end += 2,
                    byte if byte == quote => break,
                    _ => end += 1,
                }
            }
            let mut end = end.min(bytes.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            (start..end, true)
        }
        _ => {
            let rest = &text[start..];
            let mut chars = rest.char_indices().peekable();
            let mut end = rest.len();
            while let Some((at, char)) = chars.next() {
                let escape =
                    char == '\\' && matches!(chars.peek(), Some((_, '"' | '\'' | 'n' | 'r' | 't' | '\\')) | None);
                if escape || char.is_whitespace() || matches!(char, '"' | '\'' | '`' | '&' | ',' | ';' | '<' | '>') {
                    end = at;
                    break;
                }
            }
            let value = rest[..end].trim_end_matches([')', ']', '}']);
            let value = if value.is_empty() || value.contains(['(', '[', '{']) { &rest[..end] } else { value };
            (start..start + value.len(), false)
        }
    }
}

/// Words that stand where a secret would in code and documents.
const TYPES: &[&str] = &[
    "str",
    "string",
    "bytes",
    "int",
    "integer",
    "number",
    "bool",
    "boolean",
    "float",
    "any",
    "object",
    "none",
    "null",
    "nil",
    "undefined",
    "true",
    "false",
    "required",
    "optional",
    "option",
    "vec",
    "void",
    "unknown",
    "inherit",
    "self",
    "var",
    "let",
    "const",
    "new",
    "await",
    "func",
    "type",
    "varchar",
    "text",
];

/// Where code reads values from.
const ROOTS: &[&str] = &[
    "self", "this", "process", "os", "config", "cfg", "settings", "args", "opts", "options", "env", "req", "request",
    "ctx", "context", "props", "state", "data", "params", "event", "secrets", "vars", "inputs", "github", "var",
    "local", "module", "app", "client", "session", "user", "response", "res", "steps", "std",
];

/// Names that end so hold no secret, whatever they begin with: `token_url`, `secretName`.
const HARMLESS_ENDS: &[&str] = &[
    "name", "path", "file", "url", "uri", "type", "length", "len", "count", "expiry", "expires", "ttl", "field",
    "policy", "ref", "limit", "usage", "size", "manager", "provider", "index",
];

fn ident(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
        return 0;
    }
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

/// Whether an assigned value is code, a type, a placeholder or a number, and no secret.
fn harmless(name: &str, value: &str, quoted: bool) -> bool {
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
    if value.is_empty() || value.starts_with("[masked") || HARMLESS_ENDS.iter().any(|end| name.ends_with(end)) {
        return true;
    }
    let masked =
        value.bytes().all(|b| matches!(b, b'*' | b'.' | b'-' | b'_' | b'/')) || value.bytes().all(|b| b == b'x');
    let placeholder = value.starts_with("${")
        || value.starts_with("$(")
        || value.starts_with("{{")
        || value.starts_with('<')
        || (value.starts_with('$') && value.bytes().skip(1).all(|b| b.is_ascii_uppercase() || b == b'_'));
    if masked || placeholder {
        return true;
    }
    let end = |text: &str| name.ends_with(text);
    // `tokens: 1200`, `token_count=300`; but the number of an exact name is a PIN.
    let exact = ["password", "passwd", "passphrase", "pwd", "secret", "token", "key", "pass", "sig", "signature"];
    if value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_')) {
        return !exact.iter().any(|word| end(word)) || ["max_token", "maxtoken"].iter().any(|word| end(word));
    }
    if end("sig") || end("signature") {
        return value.len() < 16 || value.contains(['(', ' ']);
    }
    if quoted {
        return false;
    }
    if value.len() < 3 || value.starts_with(['(', '[', '{', '|', '%', '@', '!', '*', '/']) {
        return true;
    }
    let lower = value.trim_end_matches(['?', '!', '.', ')', ':']).to_ascii_lowercase();
    if TYPES.contains(&lower.as_str()) || name.ends_with(&lower) {
        return true;
    }
    // `get_password()`, `env["X"]`, `os.environ.get(`, `Option<`
    let first = ident(value);
    let mut at = first;
    let mut parts = 1;
    while at > 0 {
        let rest = &value[at..];
        let Some(next) = ["::", "->", "?.", "."].iter().find(|sep| rest.starts_with(**sep)) else { break };
        let length = ident(&rest[next.len()..]);
        if length == 0 {
            break;
        }
        at += next.len() + length;
        parts += 1;
    }
    match value[at..].bytes().next() {
        _ if first == 0 => false,
        Some(b'(' | b'[' | b'{') => true,
        Some(b'!' | b'?') | None => parts > 1 && ROOTS.contains(&&*value[..first].to_ascii_lowercase()),
        _ => false,
    }
}

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
fn no_person(local: &str, domain: &str) -> bool {
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
    /// Runs the chosen rules.
    pub(super) fn apply<'t>(&self, text: &'t str, rules: u16) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        let on = |rule: u16| rules & rule != 0;
        // What takes most of a line goes first: another rule could take the word it begins with for a value.
        if on(filter::TRAILER) {
            replace_after(&mut text, &TRAILER_NAME, trailer_name, |name| self.mention_text(name));
        }
        if on(filter::AT) {
            replace(&mut text, &URL_LOGIN, |c| format!("{}{MASK}@", &c[1]));
        }
        if on(filter::FORM) {
            replace(&mut text, &TOKEN, |_| MASK.to_owned());
        }
        if on(filter::HEADER) {
            replace_after(&mut text, &HEADER_LINE, header_value, |_| MASK.to_owned());
            replace(&mut text, &SCHEME, |c| {
                match c[2].bytes().any(|b| b.is_ascii_digit() || b == b'=') || c[2].len() > 24 {
                    true => format!("{}{MASK}", &c[0][..c[0].len() - c[2].len()]),
                    false => c[0].to_owned(),
                }
            });
        }
        if on(filter::NETRC) {
            replace(&mut text, &NETRC_LOGIN, |c| {
                let machine = &c[0][..c[0].len() - c[1].len() - c[2].len() - c[3].len()];
                format!("{machine}{}{}{MASK}", self.mention_text(&c[1]), &c[2])
            });
        }
        if on(filter::OPTION) {
            for pattern in [&MYSQL, &SSHPASS, &CLIENT_LOGIN, &REDIS, &SWITCH] {
                replace_after(&mut text, pattern, |text, m| option_value(text, m.end()), |_| MASK.to_owned());
            }
            replace_after(&mut text, &USER_LOGIN, login_value, |_| MASK.to_owned());
        }
        if on(filter::ASSIGNED) {
            let value = |text: &str, found: Match| {
                let (value, quoted) = value_at(text, found.end());
                let name = found.as_str().trim_end_matches([' ', '\t', '=', ':', '>', '\n', '\r']);
                (!harmless(name, &text[value.clone()], quoted)).then_some(value)
            };
            replace_after(&mut text, &KEY, value, |_| MASK.to_owned());
        }
        if on(filter::HOME) {
            // A path begins anew behind a name that was masked.
            let masked = Cell::new(0);
            let name = |text: &str, found: Match| {
                let name = home_name(text, found, masked.get())?;
                masked.set(name.end);
                Some(name)
            };
            replace_after(&mut text, &HOME_PATH, name, |_| MASK.to_owned());
        }
        if on(filter::AT) {
            self.names_before_addresses(&mut text);
            replace(&mut text, &EMAIL, |c| match c[3].is_empty() && no_person(&c[1], &c[2]) {
                true => c[0].to_owned(),
                false => self.mention(&format!("{}@{}", &c[1], &c[2])),
            });
            self.mentions(&mut text);
        }
        text
    }

    fn mention_text(&self, name: &str) -> String {
        if is_hash(name) { name.to_owned() } else { self.mention(name) }
    }

    fn mentions(&self, text: &mut Cow<'_, str>) {
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
    fn names_before_addresses(&self, text: &mut Cow<'_, str>) {
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

/// The rest of a header, or its quoted value.
fn header_value(text: &str, found: Match) -> Option<Range<usize>> {
    let (value, quoted) = value_at(text, found.end());
    let value = if quoted {
        value
    } else {
        let rest = &text[found.end()..];
        let end = rest.find(['\n', '\r', '"', '\'', '`', '<', ',']).unwrap_or(rest.len());
        let end = rest[..end].find("\\n").unwrap_or(end);
        found.end()..found.end() + rest[..end].trim_end().len()
    };
    let inner = &text[value.clone()];
    let is_cookie = text.as_bytes()[found.start()..found.end()].to_ascii_lowercase().windows(6).any(|w| w == b"cookie");
    let code = !quoted && harmless("authorization", inner, false);
    (!inner.is_empty() && !inner.starts_with("[masked") && !code && (!is_cookie || inner.contains('=')))
        .then_some(value)
}

/// The value of an option; none when it is left to the shell or another option follows.
fn option_value(text: &str, at: usize) -> Option<Range<usize>> {
    let (value, _) = value_at(text, at);
    let inner = &text[value.clone()];
    let placeholder = inner.starts_with("${") || inner.starts_with("$(") || inner.starts_with('<');
    (!inner.is_empty() && !inner.starts_with('-') && !inner.starts_with("[masked") && !placeholder).then_some(value)
}

/// The password of `-u name:password`; `1000:1000` is a user and a group.
fn login_value(text: &str, found: Match) -> Option<Range<usize>> {
    let rest = &text[found.end()..];
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\')).unwrap_or(rest.len());
    let value = &rest[..end];
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = found.as_str().trim_end_matches(':');
    let name = name.rsplit([' ', '=', '"', '\'']).next().unwrap_or_default();
    let group = number(name) && number(value) || name == value || value.starts_with("[masked");
    (!value.is_empty() && !group).then(|| found.end()..found.end() + end)
}

/// The folder below a home folder. A relative path such as `src/home/index.html` is none, nor is a web address.
fn home_name(text: &str, found: Match, from: usize) -> Option<Range<usize>> {
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
fn trailer_name(text: &str, found: Match) -> Option<Range<usize>> {
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
