//! Names in what programs print, and in what machines and pages are called after their people.

use super::people::{self, is_hash};
use super::rules::{pattern, replace, replace_after};
use super::who::is_nobody;
use super::{MASK, Privacy, is_telling};
use regex::{Captures, Match, Regex};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

// A line of `/etc/passwd`: the account, and what it says of its owner.
pattern!(ACCOUNT, r"(?m-u:^([a-z_][a-z0-9_.-]{0,31})(:[x*!]?:[0-9]+:[0-9]+:))([^:\n]*)");
// `ls -l`
pattern!(LISTED, r"(?-u:[bcdlps-][r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-][.+@]?[ \t]+[0-9]+[ \t]+)");
// `ann@laptop:~$ ls`, `[ann@laptop x]$ ls`
pattern!(PROMPT, r"(?m)(^|\[)([a-z_][a-z0-9_.-]*)(@[A-Za-z0-9.-]+(?::[~/][^\n$#]{0,200}|[ \t][^\]\n]{0,200}\])[$#])");
// `ann-laptop`, `anns-macbook-pro`
pattern!(
    MACHINE,
    r"\b([A-Za-z][A-Za-z0-9]{2,30})(-(?i-u:laptop|macbook(?:-(?:pro|air))?|mbp|imac|desktop|thinkpad))\b"
);
// A person's page, or an organisation's.
pattern!(PROFILE, r"(?-u:\b(?:github|gitlab)\.com/)");
pattern!(PAGES, r"(?-u:\b([a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?))(\.github\.io)\b");
// Who did it: `approved by annabel`.
pattern!(
    DONE_BY,
    concat!(
        r"(?i-u:\b(?:approved|assigned|authored|cancelled|closed|committed|created|deployed|edited|merged|opened|owned|pushed",
        r"|reported|requested|reviewed|signed off|started|submitted|tested|triggered|updated|uploaded|written)[ \t]+(?:by|to)[ \t]+)"
    )
);

/// First parts of paths at a forge that are nobody's name.
const PAGE_NAMES: &[&str] = &[
    "about",
    "apps",
    "collections",
    "contact",
    "customer-stories",
    "dashboard",
    "enterprise",
    "events",
    "explore",
    "features",
    "help",
    "issues",
    "join",
    "login",
    "marketplace",
    "new",
    "notifications",
    "organizations",
    "orgs",
    "pricing",
    "pulls",
    "search",
    "security",
    "settings",
    "signup",
    "site",
    "sponsors",
    "topics",
    "trending",
    "users",
];

/// What a machine is called after that is nobody.
const PURPOSES: &[&str] = &[
    "build", "company", "dev", "gaming", "home", "lab", "linux", "loaner", "office", "old", "my", "new", "remote",
    "shared", "spare", "test", "the", "virtual", "windows", "work",
];

fn word(text: &str, at: usize, also: &[char]) -> Range<usize> {
    let rest = &text[at..];
    let in_word = |c: char| c.is_alphanumeric() || also.contains(&c);
    at..at + rest.find(|c| !in_word(c)).unwrap_or(rest.len())
}

/// The owner of a listed file.
fn listed(text: &str, found: Match) -> Option<Range<usize>> {
    let range = word(text, found.end(), &['_', '.', '-']);
    let name = &text[range.clone()];
    (!is_nobody(name) && !is_hash(name)).then_some(range)
}

fn profile(text: &str, found: Match) -> Option<Range<usize>> {
    let range = word(text, found.end(), &['-']);
    let name = &text[range.clone()];
    let goes_on = text[range.end..].starts_with(['/', '.', '_', '%']);
    let nobody = PAGE_NAMES.contains(&name) || is_nobody(name) || is_hash(name);
    (!goes_on && !nobody && name.len() > 1).then_some(range)
}

/// One name, or a full one.
fn done_by(text: &str, found: Match) -> Option<Range<usize>> {
    let line = &text[found.end()..text.floor_char_boundary(found.end() + 80)];
    let line = &line[..line.find(['\n', ',', '.', ';', ':', '(', '<']).unwrap_or(line.len())];
    let two = line.split(' ').take(2).map(str::len).sum::<usize>() + 1;
    if line.len() >= two && people::is_full_name(&line[..two]) {
        return Some(found.end()..found.end() + two);
    }
    let range = word(text, found.end(), &['_', '-']);
    let name = &text[range.clone()];
    let doing = name.ends_with("ing") || name.ends_with('s') || name.ends_with("ed");
    (is_telling(name)
        && people::is_name(name)
        && !is_nobody(name)
        && !doing
        && !text[range.end..].starts_with(['@', '/', '(']))
    .then_some(range)
}

impl Privacy {
    pub(super) fn printed_names(&self, text: &mut Cow<'_, str>) {
        let kept = |name: &str| is_nobody(name) || is_hash(name);
        replace(text, &ACCOUNT, |c: &Captures| match kept(&c[1]) {
            true => c[0].to_owned(),
            false => format!("{}{}{}", self.mention(&c[1]), &c[2], if c[3].is_empty() { "" } else { MASK }),
        });
        replace(text, &PROMPT, |c: &Captures| match kept(&c[2]) {
            true => c[0].to_owned(),
            false => format!("{}{}{}", &c[1], self.mention(&c[2]), &c[3]),
        });
        replace(text, &MACHINE, |c: &Captures| {
            let nobody = kept(&c[1]) || PURPOSES.contains(&&*c[1].to_ascii_lowercase()) || c[1].starts_with("u-");
            if nobody { c[0].to_owned() } else { format!("{}{}", self.mention(&c[1]), &c[2]) }
        });
        replace(text, &PAGES, |c: &Captures| match kept(&c[1]) || c[1].starts_with("u-") {
            true => c[0].to_owned(),
            false => format!("{}{}", self.mention(&c[1]), &c[2]),
        });
        replace_after(text, &LISTED, listed, |name| self.mention(name));
        replace_after(text, &PROFILE, profile, |name| self.mention(name));
        replace_after(text, &DONE_BY, done_by, |name| self.mention_text(name));
    }
}
