//! What is masked in text, rule by rule. Every pattern runs in linear time, and what is looked at by hand is bounded.

use super::filter::{self, KEYS};
use super::people::{home_name, no_person, trailer_name};
use super::secrets::{harmless, header_value, login_value, option_value, value_at};
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
}
