//! What is masked in text, rule by rule. Every pattern runs in linear time, and what is looked at by hand is bounded.

use super::fields::{self, Field};
use super::needles::{self, KEYS};
use super::people::{home_name, is_hash, no_person, other_home_name, trailer_name};
use super::secrets::{harmless, header_value, is_jumbled, is_random, option_value, random_at, value_at};
use super::{MASK, Privacy, options, tokens};
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
pub(super) use pattern;

pattern!(HASH, r"u-[0-9a-f]{24}");
pattern!(URL_LOGIN, r#"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s:@?#"'<>`]*:[^/\s?#"'<>`]*)@"#);
pattern!(URL_TOKEN, r#"([A-Za-z][A-Za-z0-9+.\-]*://)([^/\s:@?#"'<>`]{16,})@"#);
// `git clone ann:password@host:path`
pattern!(BARE_LOGIN, r#"(?:^|[\s"'=])[A-Za-z_][A-Za-z0-9_.-]*:([^\s@/:"']{6,})@[A-Za-z0-9_.-]+"#);
pattern!(ORACLE, r"(?-u:\b)jdbc:oracle:[a-z]+:[^/\s:@]+/([^@\s]+)@");
const AT_SIGN: &str = concat!(
    r"(?:(?i-u:@|%(?:25)*40|\\{1,2}u0040|\\{1,2}x40|&#x40;|&#64;|&commat;",
    r"|[ \t]?[\[({<][ \t]?(?:at|@)[ \t]?[\])}>][ \t]?)|＠)"
);
const DOMAIN: &str = concat!(
    r"(?:[\p{L}\p{N}](?:[\p{L}\p{N}\p{M}\-]*)(?:(?:\.|。|(?i-u:[ \t]?[\[({][ \t]?(?:dot|\.)[ \t]?[\])}][ \t]?))[\p{L}\p{N}\p{M}\-]+)*",
    r"(?:\.|。|(?i-u:[ \t]?[\[({][ \t]?(?:dot|\.)[ \t]?[\])}][ \t]?))(?:[\p{L}\p{M}]{2,}|(?i-u:xn--[a-z0-9-]+)))",
);
const LOCAL: &str = r"[\p{L}\p{N}\p{M}._%+\-]";
// All of `a@b.cc@d.ee` and `a@b.cc-@d.ee` is one address: what would be left of it looks like another.
pattern!(EMAIL, format!("({LOCAL}+){AT_SIGN}({DOMAIN})((?:{LOCAL}*{AT_SIGN}{DOMAIN})*)"));
// A mail that was sent in somebody's name: `bounce+ann=acme.test@lists.example`.
pattern!(VERP, format!(r"([\p{{L}}\p{{N}}._-]+\+[\p{{L}}\p{{N}}._+-]+=[\p{{L}}\p{{N}}.-]+)@({DOMAIN})"));
pattern!(QUOTED, format!("\"([^\"@\\n]{{1,64}})\"@({DOMAIN}|\\[[0-9A-Fa-f.:]+\\])"));
// Of a machine without a domain.
pattern!(ANGLE, r"<([^<>@\s]{1,64})@([A-Za-z0-9-]+)>");
pattern!(LITERAL, r"([A-Za-z0-9._%+-]+)@(\[[0-9A-Fa-f.:]+\])");
pattern!(
    SPELT,
    concat!(
        r"(?i)\b((?:[\p{L}\p{N}_-]+[ \t]+dot[ \t]+)*[\p{L}\p{N}._+-]{2,64})(?:[ \t]+at[ \t]+|[ \t]*[\[({]at[\])}][ \t]*)",
        r"([\p{L}\p{N}-]+(?:[ \t]+dot[ \t]+[\p{L}\p{N}-]+)+)"
    )
);
// `ann.doe at mail.example.org`
pattern!(SPELT_AT, r"(?-u:\b)([\p{L}]{2,}[._][\p{L}]{4,}) at ((?:[\p{L}\p{N}-]+\.)+\p{L}{2,})");
pattern!(MENTION, r"(^|[^\w@/.\]`-])@([\p{L}\p{N}](?:[\p{L}\p{N}\p{M}_\-]|\.[\p{Ll}\p{N}])*)([/(]?)");
pattern!(HOME_PATH, r"(?i-u:([/\\]|%2f|%5c)+(?:homes?\$?|users|profiles|documents and settings)([/\\]|%2f|%5c)+)");
// Folders that hold one for each person, and the short form of a home.
pattern!(
    OTHER_HOME,
    concat!(
        r#"(?-u:(?:^|[\s"'=:(@,;])/(?:homes|u|media|scratch|run/media|run/user|(?:[a-z]{2,10}/)?(?:gpfs|nfs|lustre|beegfs|ceph|data|net|srv|storage)/users?|afs/[a-z0-9.]+/users?(?:/[a-z]/[a-z]{2})?|var/mail|var/spool/mail|var/spool/cron(?:/crontabs)?)/|pytest-of-"#,
        r#"|(?:^|[\s"'=:(])~)"#
    )
);
pattern!(
    PEM,
    concat!(
        r"(?s)-{4,5} ?BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-{4,5}.*?(?:-{4,5} ?END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-{4,5}|$)",
        r"|PuTTY-User-Key-File-[0-9]:.*$",
    )
);
// A JSON Web Token: two or three parts, the first of them JSON in Base64.
pattern!(JWT, r"(?-u:\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*)");
// Whoever knows the address of a webhook may use it.
pattern!(
    HOOK,
    concat!(
        r#"(?i-u:(hooks\.slack\.com/(?:services|workflows|triggers)|hooks\.slack\.com|discord(?:app)?\.com/api/webhooks"#,
        r#"|webhook\.office\.com|hooks\.zapier\.com/hooks|outlook\.office\.com/webhook|chat\.googleapis\.com/v1/spaces"#,
        r#"|open\.(?:feishu|larksuite)\.(?:cn|com)/open-apis/bot|maker\.ifttt\.com/trigger))/[^\s"'<>`]{12,}"#
    )
);
pattern!(
    KEY,
    format!(
        concat!(
            r#"(?i-u:(?:(?:passw(?:or)?d|passwort|passphrase|pwd|secret|token|credential|_pass|kennwort|\bsenha"#,
            r#"|\b(?:psk|auth|creds)|_creds|_auth|(?:{})[_-]?key)[a-z0-9_-]*"#,
            // `signal: killed` and `Signed-off-by: …` are no signatures.
            r#"|(?:\b|[_-])sig(?:nature)?(?:v?[0-9_-][a-z0-9_-]*)?)\\*["'`]?\]?\s*(?:=>|->|:=|={{1,3}}|:)[ \t]*(?:[|>][+-]?\n[ \t]+)?)"#
        ),
        KEYS.join("|")
    )
);
// A word for a secret, and behind it what is more than a word: `password is x7Bd…`, `setPassword("…")`.
pattern!(
    KEY_BEFORE,
    concat!(
        r#"(?i-u:(?:passw(?:or)?d|passwort|passphrase|pwd|secret|token|credential|kennwort|(?:api|access|secret|private)[_-]?key)s?"#,
        r#"\\*["'`]?(?:[ \t]+(?:is|was|to|for|of|ist|lautet))?(?:[ \t]*\\*["'(`]+|[ \t\x0b]+\\*["'`]?))"#
    )
);
pattern!(FOREIGN_KEY, r"(?i)(?:contrase(?:ñ|n)a|mot de passe|пароль|hasło)[ \t]*[:=][ \t]*");
pattern!(IDENTIFIED, r#"(?i-u:\bidentified[ \t]+(?:with[ \t]+[!-~]+[ \t]+)?by[ \t]+)"#);
// Markup: `<password>…</password>`, `name="password" value="…"`.
pattern!(TAG, r"<([A-Za-z][\w.:-]{0,60})>([^<>\n]{1,400})</");
pattern!(
    ATTRIBUTE,
    r#"(?i-u:\b(?:name|key|id)[ \t]*=[ \t]*\\*["'])([^"'<>\\]{1,80})\\*["'][^<>"']{0,40}?(?i-u:\bvalue[ \t]*=[ \t]*\\*["'])([^"'\\]{1,400})"#
);
pattern!(
    YAML_PAIR,
    r#"(?i-u:\b(?:name|key)[ \t]*:[ \t]*["']?)([A-Za-z0-9_.-]{1,80})["']?[ \t]*\r?\n[ \t]*(?i-u:value)[ \t]*:[ \t]*["']?([^\s"']{1,400})"#
);
// A line of `.pgpass`.
pattern!(PGPASS, r"(?m-u:^[!-9;-~]{1,100}:(?:[0-9]{2,5}|\*):[!-9;-~]{1,60}:[!-9;-~]{1,60}:([!-~]{6,100})[ \t\r]*$)");
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
pub(super) fn replace_after(
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

/// [`replace`], of which only the first group is masked, where it is a secret.
fn replace_part(text: &mut Cow<'_, str>, pattern: &Regex, is_secret: impl Fn(&str) -> bool) {
    replace(text, pattern, |c| {
        let (Some(all), Some(part)) = (c.get(0), c.get(1)) else { return String::new() };
        let (from, to) = (part.start() - all.start(), part.end() - all.start());
        let all = all.as_str();
        if is_secret(part.as_str()) { format!("{}{MASK}{}", &all[..from], &all[to..]) } else { all.to_owned() }
    });
}

/// The public key of an error tracker, which lets everybody send.
fn is_hex_key(text: &str) -> bool {
    text.len() >= 20 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) && !is_hash(text)
}

/// `acme [dot] example` as `acme.example`: one person has one hash.
fn plain_domain(domain: &str) -> Cow<'_, str> {
    if domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
        return Cow::Borrowed(domain);
    }
    let dots = domain.replace(['[', ']', '(', ')', '{', '}', ' ', '\t'], "").replace('。', ".");
    Cow::Owned(dots.split('.').flat_map(|label| label.split("dot")).collect::<Vec<_>>().join("."))
}

impl Privacy {
    /// Runs the chosen rules.
    pub(super) fn apply<'t>(&self, text: &'t str, rules: u16) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        let on = |rule: u16| rules & rule != 0;
        // What takes most of a line goes first: another rule could take the word it begins with for a value.
        if on(needles::TRAILER) {
            replace_after(&mut text, &TRAILER_NAME, trailer_name, |name| self.mention_text(name));
        }
        if on(needles::AT) {
            replace(&mut text, &URL_LOGIN, |c| format!("{}{MASK}@", &c[1]));
            replace(&mut text, &URL_TOKEN, |c| match is_random(&c[2]) || is_hex_key(&c[2]) {
                true => format!("{}{MASK}@", &c[1]),
                false => c[0].to_owned(),
            });
            replace_part(&mut text, &ORACLE, |_| true);
            replace_part(&mut text, &BARE_LOGIN, is_random);
        }
        if on(needles::FORM) {
            replace(&mut text, &PEM, |_| MASK.to_owned());
            replace(&mut text, &JWT, |_| MASK.to_owned());
            replace(&mut text, &HOOK, |c| format!("{}/{MASK}", &c[1]));
            tokens::mask(&mut text);
        }
        if on(needles::HEADER) {
            replace_after(&mut text, &HEADER_LINE, header_value, |_| MASK.to_owned());
            replace(&mut text, &SCHEME, |c| {
                match c[2].bytes().any(|b| b.is_ascii_digit() || b == b'=') || c[2].len() > 24 {
                    true => format!("{}{MASK}", &c[0][..c[0].len() - c[2].len()]),
                    false => c[0].to_owned(),
                }
            });
        }
        if on(needles::NETRC) {
            replace(&mut text, &NETRC_LOGIN, |c| {
                let machine = &c[0][..c[0].len() - c[1].len() - c[2].len() - c[3].len()];
                format!("{machine}{}{}{MASK}", self.mention_text(&c[1]), &c[2])
            });
        }
        if on(needles::OPTION) {
            options::mask(&mut text);
        }
        if on(needles::ASSIGNED) {
            let value = |text: &str, found: Match| {
                let (value, quoted) = value_at(text, found.end());
                let name = found.as_str().trim_end_matches([' ', '\t', '=', ':', '>', '\n', '\r']);
                (!harmless(name, &text[value.clone()], quoted)).then_some(value)
            };
            replace_after(&mut text, &KEY, value, |_| MASK.to_owned());
            replace_after(&mut text, &FOREIGN_KEY, value, |_| MASK.to_owned());
            replace_after(&mut text, &KEY_BEFORE, |text, m| random_at(text, m.end()), |_| MASK.to_owned());
            replace_after(&mut text, &IDENTIFIED, |text, m| option_value(text, m.end()), |_| MASK.to_owned());
            replace_part(&mut text, &PGPASS, |value| is_random(value) || is_jumbled(value));
            for pattern in [&TAG, &ATTRIBUTE, &YAML_PAIR] {
                replace(&mut text, pattern, |c| {
                    let (all, value) = (&c[0], &c[2]);
                    let secret = match fields::field(&c[1]) {
                        Field::Secret => !harmless(&c[1], value, true),
                        Field::SecretLike => is_random(value),
                        _ => false,
                    };
                    let from = c.get(2).map_or(0, |m| m.start()) - c.get(0).map_or(0, |m| m.start());
                    if secret {
                        format!("{}{MASK}{}", &all[..from], &all[from + value.len()..])
                    } else {
                        all.to_owned()
                    }
                });
            }
        }
        if on(needles::HOME) {
            // A path begins anew behind a name that was masked.
            let masked = Cell::new(0);
            let name = |text: &str, found: Match| {
                let name = home_name(text, found, masked.get())?;
                masked.set(name.end);
                Some(name)
            };
            replace_after(&mut text, &HOME_PATH, name, |_| MASK.to_owned());
            replace_after(&mut text, &OTHER_HOME, other_home_name, |_| MASK.to_owned());
        }
        if on(needles::AT) {
            self.names_before_addresses(&mut text);
            let kept = |name: &str| name.starts_with("[masked") || is_hash(name) || name == "git";
            let spelt = |word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
            let (dots, at) = (spelt(" dot "), spelt(" at "));
            for (pattern, on) in [(&VERP, true), (&QUOTED, true), (&LITERAL, true), (&SPELT, dots), (&SPELT_AT, at)] {
                if !on {
                    continue;
                }
                replace(&mut text, pattern, |c| match kept(&c[1]) {
                    true => c[0].to_owned(),
                    false => self.mention(&format!("{}@{}", &c[1], &c[2])),
                });
            }
            replace(&mut text, &ANGLE, |c| match kept(&c[1]) {
                true => c[0].to_owned(),
                false => format!("<{}>", self.mention(&format!("{}@{}", &c[1], &c[2]))),
            });
            replace(&mut text, &EMAIL, |c| match c[3].is_empty() && no_person(&c[1], &c[2]) {
                true => c[0].to_owned(),
                false => self.mention(&format!("{}@{}", &c[1], plain_domain(&c[2]))),
            });
        }
        // Behind the addresses: `ssh ann@host.example` is one. Before the mentions: `scp x ann@host:/y` is none.
        if on(needles::WHO) {
            self.name_people(&mut text);
        }
        if on(needles::AT) {
            self.mentions(&mut text);
        }
        text
    }
}
