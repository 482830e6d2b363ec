//! Passwords on command lines: the option of one program is a directory or a port of another.

use super::MASK;
use super::filter::{ANNOUNCED, LONGEST, is_between};
use super::rules::{pattern, replace_after};
use super::secrets::{is_jumbled, login_value, option_value, random_at, value_at};
use regex::{Match, Regex};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Whatever stands between a program and its option, up to the next command.
const ARGUMENTS: &str = r"(?:[\t\x0b\x20-%'-:<-{}~]*?[ \t\x0b])??";
const BLANK: &str = r"[ \t\x0b]";

/// (programs, what stands before the password)
const PROGRAMS: &[(&str, &str)] = &[
    (r"(?:mysql|mariadb)[a-z_-]*", r"-p"),
    (r"sshpass", r"-p[ \t\x0b]*"),
    (r"login", r"-p[ \t\x0b=]+"),
    (r"redis-cli", r"(?:-a|--pass)[ \t\x0b=]+"),
    (r"ldap[a-z]+", r"-w[ \t\x0b]*"),
    (r"mongo[a-z]*", r"-p[ \t\x0b=]*"),
    (r"(?:sqlcmd|bcp|isql|tsql)", r"-P[ \t\x0b]*"),
    (r"(?:zip|unzip|zipcloak|ipmitool)", r"-P[ \t\x0b]*"),
    (r"(?:7za?|7zr|7zz|rar|unrar)", r"-p"),
    (r"(?:hydra|twine|usermod|useradd|xfreerdp|mosquitto_[a-z]+|influx)", r"(?:-p[ \t\x0b]+|/p:)"),
    (r"mosquitto_[a-z]+", r"-P[ \t\x0b]+"),
    (r"snmp[a-z]+", r"-[AX][ \t\x0b]+"),
    (r"openssl", r"-k[ \t\x0b]+"),
    (r"(?:vault|cargo|flyctl)[ \t\x0b]+login", r""),
    (r"rabbitmqctl[ \t\x0b]+(?:add_user|change_password|authenticate_user)[ \t\x0b]+[!-~]+", r""),
    (r"net[ \t\x0b]+user[ \t\x0b]+[!-~]+", r""),
    (r"htpasswd[ \t\x0b]+-[a-zA-Z]*b[a-zA-Z]*n?[a-zA-Z]*(?:[ \t\x0b]+[!-~]+){1,2}", r""),
    (r"(?:smbclient|rpcclient|smbmap)", r"(?:-U|--user)[ \t\x0b=]*[!-$&-~]+%"),
    (r"lftp", r"-u[ \t\x0b]*[!-+\--~]+,"),
    (r"configure[ \t\x0b]+set[ \t\x0b]+[a-z_.-]*(?:secret|token|key)[a-z_]*", r""),
];

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let pattern = |(programs, option): &(&str, &str)| match option.is_empty() {
        true => format!(r"(?-u:\b{programs}{BLANK}+)"),
        false => format!(r"(?-u:\b{programs}{BLANK}{ARGUMENTS}{option})"),
    };
    let compile = |text: String| Regex::new(&text).expect("the patterns are constants");
    PROGRAMS.iter().map(pattern).map(compile).collect()
});

pattern!(
    SWITCH,
    concat!(
        r#"(?i-u:(?:(?:^|[\s"'`(,])--|[ \t\x0b"'`]-)(?:[a-z0-9]+[-_])*?"#,
        r#"(?:password|passwd|passphrase|pass|token|secret|api-?key|access-?key|secret-?key|private-?key|auth|passin|passout"#,
        r#"|(?:src|dest|key)?storepass|keypass|requirepass|masterauth|credentials?|auth-?token|cookie)"#,
        r#"(?:\s+|=|\\*["'],\s*))"#
    )
);
pattern!(
    USER_LOGIN,
    r#"(?:^|[\s"'`])(?:-u|--user|--proxy-user|--http-user|-a|--auth)[ \x0b=]*\\*["']?[^\s:"'\\/-][^\s:"'\\]*:"#
);
pattern!(PIPED, r#"(?-u:\becho[ \t]+(?:-[neE]+[ \t]+)*)"#);
pattern!(CHPASSWD, r#"(?-u:\becho[ \t]+["']?[!#-&(-9;-~]+:)"#);
pattern!(
    STORED,
    r"(?-u:\bvault[ \t\x0b]+(?:kv[ \t\x0b]+)?(?:put|write|patch)[ \t\x0b]+[!-~]+((?:[ \t\x0b]+[A-Za-z0-9_.-]+=[!-~]+)+))"
);
pattern!(STORED_VALUE, r"(?-u:[ \t\x0b][A-Za-z0-9_.-]+=)");

// What announces a password among the next words: there, what only a machine or a careful person makes up is one.
pattern!(
    ANNOUNCING,
    concat!(
        r"(?i-u:secret|token|passw|auth|log-?in|sign-?in|obscure|sqlplus|cqlsh|rdesktop|runas|\bnet use\b|restic|\bsend\b",
        r"|http-basic|alias set|config[: ]set|[ \t\x0b]-[pwkba]|-(?:key|body|value)\b|/user:|<<<[ ]",
        r"|(?:key|pw|pass|sig|login|pin|sid|salt)=)"
    )
);

/// What takes a password from its standard input.
const READERS: &[&str] =
    &["--password-stdin", "--passphrase-fd", "kinit", "sudo -S", "--with-token", "--token-stdin", "cryptsetup"];

/// A value that is told by its place; after a program whose argument may be another thing, by its looks as well.
fn told(text: &str, found: Match) -> Option<Range<usize>> {
    option_value(text, found.end())
}

/// What is piped into a program that reads a password.
fn piped(text: &str, found: Match) -> Option<Range<usize>> {
    let (value, _) = value_at(text, found.end());
    let rest = &text[value.end..];
    let pipe = rest.find('|').filter(|at| rest[..*at].bytes().all(|b| matches!(b, b' ' | b'\t' | b'"' | b'\'')))?;
    let command = rest[pipe..].split(['\n', ';']).next().unwrap_or_default();
    let inner = &text[value.clone()];
    (READERS.iter().any(|reader| command.contains(reader)) && !inner.is_empty() && !inner.starts_with(['$', '[']))
        .then_some(value)
}

/// The password of `name:password`, piped into the program that sets it.
fn set(text: &str, found: Match) -> Option<Range<usize>> {
    let (value, _) = value_at(text, found.end());
    let line = text[value.end..].split(['\n', ';']).next().unwrap_or_default();
    (line.contains("chpasswd") && !text[value.clone()].starts_with(['$', '['])).then_some(value)
}

/// Where a word ends.
fn word_end(text: &str) -> usize {
    text.find(is_between).unwrap_or(text.len())
}

/// Masks what looks made up behind a word that announces a password, up to the end of the command.
fn announced(text: &mut Cow<'_, str>) {
    let mut clean = String::new();
    let (mut kept, mut looked) = (0, 0);
    for found in ANNOUNCING.find_iter(text) {
        let end = text.floor_char_boundary(found.end() + ANNOUNCED);
        // A word that was cut off at the end goes on.
        let end = text.floor_char_boundary(end + word_end(&text[end..text.floor_char_boundary(end + LONGEST)]));
        let start = looked.max(found.end());
        if start >= end {
            continue;
        }
        let rest = &text[start..end];
        let rest = &rest[..rest.find(['\n', ';', '|']).unwrap_or(rest.len())];
        looked = start + rest.len();
        for word in rest.split(is_between) {
            let start = word.as_ptr().addr() - text.as_ptr().addr();
            if start >= kept && is_jumbled(word) {
                clean.push_str(&text[kept..start]);
                clean.push_str(MASK);
                kept = start + word.len();
            }
        }
    }
    if kept > 0 {
        clean.push_str(&text[kept..]);
        *text = Cow::Owned(clean);
    }
}

/// Masks the passwords among the arguments of programs.
pub(super) fn mask(text: &mut Cow<'_, str>) {
    let write = |_: &str| MASK.to_owned();
    for pattern in PATTERNS.iter().chain([&*SWITCH]) {
        replace_after(text, pattern, told, write);
    }
    replace_after(text, &USER_LOGIN, login_value, write);
    if text.contains('|') {
        replace_after(text, &PIPED, piped, write);
        replace_after(text, &CHPASSWD, set, write);
    }
    if text.contains("vault") && STORED.is_match(text) {
        replace_after(text, &STORED_VALUE, |text, found| random_at(text, found.end()), write);
    }
    announced(text);
}
