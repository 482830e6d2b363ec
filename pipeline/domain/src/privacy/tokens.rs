//! Tokens told by their form: how providers begin them, and what follows.
//!
//! The prefixes are facts that the providers publish; which there are, and the shortest form of each, was looked up in the
//! rules of gitleaks (MIT, github.com/gitleaks/gitleaks, config/gitleaks.toml), and written down anew as one table. A text is
//! not searched for each of them: almost no text has sixteen letters and digits in a row, and what has is looked up by its
//! beginning.

use super::MASK;
use std::borrow::Cow;
use std::ops::Range;

/// The shortest run of letters and digits that is looked at, in bytes.
const RUN: usize = 16;

/// How far a word is followed back from a run, in bytes.
const WINDOW: usize = 64;

/// What follows a prefix.
#[derive(Clone, Copy, PartialEq)]
enum Body {
    /// Hexadecimal digits.
    Hex,
    /// Capitals and digits.
    Capitals,
    /// Letters and digits.
    Letters,
    /// Letters, digits, `_`, `-`, and what a token is joined with: `.`, `=`, `~`.
    Any,
}

use Body::{Any, Capitals, Hex, Letters};

/// (prefix, what follows it, how many of it at least). In the order of bytes.
const TOKENS: &[(&str, Body, usize)] = &[
    ("4b1d", Letters, 38),
    ("A3-", Any, 30),
    ("ABIA", Capitals, 16),
    ("ABSK", Any, 60),
    ("ACCA", Capitals, 16),
    ("AGE-SECRET-KEY-1", Capitals, 40),
    ("AIza", Any, 30),
    ("AKCp", Letters, 60),
    ("AKIA", Capitals, 16),
    ("APA91b", Any, 60),
    ("API-", Capitals, 26),
    ("AQVN", Any, 30),
    ("ASIA", Capitals, 16),
    ("ATATT", Any, 30),
    ("ATBB", Letters, 28),
    ("ATCTT", Any, 30),
    ("BBFF-", Letters, 30),
    ("CCIPAT_", Any, 30),
    ("CCIPRJ_", Any, 30),
    ("CFPAT-", Any, 30),
    ("CLOJARS_", Hex, 40),
    ("EAA", Letters, 40),
    ("EAAA", Any, 22),
    ("EZAK", Letters, 50),
    ("EZTK", Letters, 50),
    ("FLWPUBK", Any, 30),
    ("FLWSECK", Any, 30),
    ("GOCSPX-", Any, 16),
    ("GR1348941", Any, 20),
    ("HRKU-", Any, 30),
    ("LS0tLS1CRUdJTi", Any, 20),
    ("LTAI", Letters, 12),
    ("NRAA-", Letters, 20),
    ("NRAK-", Letters, 20),
    ("NRII-", Any, 20),
    ("NRJS-", Letters, 16),
    ("NRRA-", Letters, 20),
    ("PMAK-", Any, 40),
    ("SG.", Any, 40),
    ("SK", Hex, 32),
    ("access-development-", Any, 30),
    ("access-production-", Any, 30),
    ("access-sandbox-", Any, 30),
    ("aio_", Letters, 20),
    ("amzn.mws.", Any, 30),
    ("api_org_", Letters, 30),
    ("atlasv1.", Any, 40),
    ("bedrock-api-key-", Any, 20),
    ("bkua_", Hex, 32),
    ("cio", Letters, 32),
    ("cmVmdGtu", Any, 40),
    ("ctx7sk-", Any, 30),
    ("dapi", Hex, 32),
    ("dckr_oat_", Any, 16),
    ("dckr_pat_", Any, 16),
    ("dnkey-", Any, 40),
    ("doo_v1_", Hex, 40),
    ("dop_v1_", Hex, 40),
    ("dor_v1_", Hex, 40),
    ("dp.audit.", Any, 30),
    ("dp.ct.", Any, 30),
    ("dp.pt.", Any, 30),
    ("dp.sa.", Any, 30),
    ("dp.scim.", Any, 30),
    ("dp.st.", Any, 30),
    ("dt0c01.", Any, 60),
    ("dt0s", Any, 60),
    ("duffel_", Any, 30),
    ("eyJrIjoi", Any, 20),
    ("figd_", Any, 30),
    ("fio-u-", Any, 40),
    ("fm1a_", Any, 60),
    ("fm1r_", Any, 60),
    ("fm2_", Any, 40),
    ("fo1_", Any, 30),
    ("gho_", Letters, 20),
    ("ghp_", Letters, 20),
    ("ghr_", Letters, 20),
    ("ghs_", Any, 20),
    ("ghu_", Letters, 20),
    ("github_pat_", Any, 20),
    ("glagent-", Any, 16),
    ("glc_", Any, 30),
    ("glcbt-", Any, 16),
    ("gldt-", Any, 16),
    ("glffct-", Any, 16),
    ("glft-", Any, 16),
    ("glimt-", Any, 16),
    ("gloas-", Any, 16),
    ("glpat-", Any, 16),
    ("glptt-", Any, 16),
    ("glrt-", Any, 16),
    ("glrtr-", Any, 16),
    ("glsa_", Any, 20),
    ("glsoat-", Any, 16),
    ("glwt-", Any, 16),
    ("gsk_", Letters, 30),
    ("hf_", Letters, 20),
    ("hvb.", Any, 20),
    ("hvr.", Any, 20),
    ("hvs.", Any, 20),
    ("ico-", Letters, 30),
    ("key-", Hex, 32),
    ("lin_api_", Letters, 30),
    ("lin_oauth_", Letters, 30),
    ("live_", Hex, 30),
    ("lsv2_", Any, 30),
    ("nfc_", Letters, 30),
    ("nfp_", Letters, 30),
    ("nfu_", Letters, 30),
    ("npm_", Letters, 30),
    ("ntn_", Letters, 30),
    ("nvapi-", Any, 40),
    ("ops_eyJ", Any, 40),
    ("oy2", Letters, 40),
    ("p8e-", Any, 30),
    ("pat.", Any, 60),
    ("phc_", Letters, 40),
    ("phx_", Letters, 40),
    ("pk_live_", Letters, 20),
    ("pk_prod_", Letters, 20),
    ("pk_test_", Letters, 20),
    ("pnu_", Letters, 30),
    ("pplx-", Letters, 30),
    ("pscale_oauth_", Any, 30),
    ("pscale_pw_", Any, 30),
    ("pscale_tkn_", Any, 30),
    ("pul-", Hex, 40),
    ("pypi-", Any, 20),
    ("r8_", Letters, 30),
    ("rdme_", Letters, 60),
    ("reftkn:", Any, 40),
    ("rk_live_", Letters, 10),
    ("rk_prod_", Letters, 10),
    ("rk_test_", Letters, 10),
    ("rpa_", Letters, 30),
    ("rubygems_", Hex, 40),
    ("s-s4t2af-", Hex, 40),
    ("s-s4t2ud-", Hex, 40),
    ("sat.", Any, 60),
    ("sb_secret_", Any, 20),
    ("sbp_", Hex, 40),
    ("secret_", Letters, 40),
    ("sgp_", Any, 40),
    ("shippo_", Any, 40),
    ("shpat_", Hex, 32),
    ("shpca_", Hex, 32),
    ("shppa_", Hex, 32),
    ("shpss_", Hex, 32),
    ("sk-", Any, 20),
    ("sk.eyJ", Any, 40),
    ("sk_live_", Letters, 10),
    ("sk_prod_", Letters, 10),
    ("sk_test_", Letters, 10),
    ("sl.", Any, 100),
    ("sm_aat_", Letters, 16),
    ("sm_pat_", Letters, 16),
    ("sm_sat_", Letters, 16),
    ("sntryr_", Any, 30),
    ("sntrys_", Any, 30),
    ("sntryu_", Hex, 40),
    ("snyk_uat.", Any, 30),
    ("sq0atp-", Any, 20),
    ("sq0csp-", Any, 30),
    ("sqa_", Hex, 40),
    ("sqp_", Hex, 40),
    ("squ_", Hex, 40),
    ("tfp_", Any, 40),
    ("tk-us-", Any, 40),
    ("tskey-", Any, 20),
    ("tvly-", Any, 30),
    ("v1.0-", Any, 140),
    ("vcp_", Letters, 30),
    ("vercel_", Any, 40),
    ("waka_", Any, 30),
    ("whsec_", Any, 20),
    ("xai-", Any, 60),
    ("xapp-", Any, 30),
    ("xkeysib-", Any, 60),
    ("xox", Any, 16),
    ("xsmtpsib-", Any, 60),
    ("ya29.", Any, 16),
    ("zpka_", Any, 30),
];

/// Which bytes a run is made of.
static IN_RUN: [bool; 256] = {
    let mut in_run = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        in_run[byte] = (byte as u8).is_ascii_alphanumeric() || byte == b'_' as usize || byte == b'-' as usize;
        byte += 1;
    }
    in_run
};

/// Where the tokens begin that begin with a byte.
static FIRST: [(u8, u8); 128] = {
    let mut first = [(0, 0); 128];
    let mut token = 0;
    while token < TOKENS.len() {
        let byte = TOKENS[token].0.as_bytes()[0] as usize;
        if first[byte].1 == 0 {
            first[byte].0 = token as u8;
        }
        first[byte].1 = token as u8 + 1;
        token += 1;
    }
    first
};

/// The next run of at least sixteen letters, digits, `_`, `-` from `at` on. Only every sixteenth byte is looked at.
fn next_run(text: &[u8], at: usize) -> Option<Range<usize>> {
    let in_run = |byte: &&u8| IN_RUN[usize::from(**byte)];
    let mut from = at;
    loop {
        let probe = from + RUN - 1;
        if !IN_RUN[usize::from(*text.get(probe)?)] {
            from = probe + 1;
            continue;
        }
        let start = probe - text[from..probe].iter().rev().take_while(in_run).count();
        let end = probe + text[probe..].iter().take_while(in_run).count();
        if end - start >= RUN {
            return Some(start..end);
        }
        from = end;
    }
}

/// Whether a text, or the raw JSON of one, may hold a token. Never a wrong no.
pub(super) fn may_hold(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(run) = next_run(text, at) {
        if token(text, &run).is_some() {
            return true;
        }
        at = run.end;
    }
    false
}

/// Masks the tokens of a text.
pub(super) fn mask(text: &mut Cow<'_, str>) {
    let bytes = text.as_bytes();
    let mut clean = String::new();
    let (mut kept, mut at) = (0, 0);
    while let Some(run) = next_run(bytes, at) {
        at = run.end;
        let Some(range) = token(bytes, &run) else { continue };
        let start = range.start.max(kept);
        if range.end <= start {
            continue;
        }
        clean.push_str(&text[kept..start]);
        clean.push_str(MASK);
        (kept, at) = (range.end, range.end.max(at));
    }
    if kept > 0 {
        clean.push_str(&text[kept..]);
        *text = Cow::Owned(clean);
    }
}

/// The token that a run is, or is the longest part of.
fn token(text: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let inside = &text[run.clone()];
    // Words that are joined have no digit, and are nearly all that is so long.
    if !inside.iter().any(u8::is_ascii_digit) {
        return known(text, run);
    }
    known(text, run).or_else(|| by_place(text, run)).or_else(|| unknown(text, run))
}

/// By a prefix of [`TOKENS`].
fn known(text: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let joined = |byte: &&u8| IN_RUN[usize::from(**byte)] || matches!(**byte, b'.' | b'~' | b':');
    let word = run.start - text[..run.start].iter().rev().take(WINDOW).take_while(joined).count();
    let mut before = if word > 0 { text[word - 1] } else { b' ' };
    for at in word..(run.start + WINDOW).min(run.end) {
        let begins = !(before.is_ascii_alphanumeric() || before == b'_') || at == run.start;
        // In raw JSON the letter of `\n` is no part of the word, and a token begins behind it.
        let escape = at >= 2 && text[at - 2] == b'\\';
        before = text[at];
        if !begins && !escape {
            continue;
        }
        let (from, to) = *FIRST.get(usize::from(text[at]))?;
        let found = TOKENS[usize::from(from)..usize::from(to)].iter().rev().find(|(prefix, body, least)| {
            text[at..].starts_with(prefix.as_bytes()) && fits(&text[at + prefix.len()..], *body, *least, prefix)
        });
        if found.is_some() {
            return Some(at..end(text, run.end));
        }
    }
    None
}

fn fits(rest: &[u8], body: Body, least: usize, prefix: &str) -> bool {
    let is_in = |byte: &&u8| match body {
        Hex => byte.is_ascii_hexdigit(),
        Capitals => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        Letters => byte.is_ascii_alphanumeric(),
        Any => IN_RUN[usize::from(**byte)] || matches!(**byte, b'.' | b'~' | b'='),
    };
    let body = &rest[..rest.iter().take_while(is_in).count()];
    let goes_on = rest.get(body.len()).is_some_and(u8::is_ascii_alphanumeric);
    // Two letters say little: then the length has to be right as well.
    let exact = matches!(prefix, "SK" | "cio" | "key-" | "4b1d" | "API-") && (body.len() != least || goes_on);
    let joined = prefix.ends_with(['_', '-', '.']);
    let is_word = prefix.len() < 5 && !joined && !body.iter().any(u8::is_ascii_digit);
    body.len() >= least && !exact && !is_word && (prefix != "xox" || is_slack(rest))
}

fn is_slack(rest: &[u8]) -> bool {
    matches!(rest, [b'a' | b'b' | b'c' | b'd' | b'e' | b'o' | b'p' | b'r' | b's', b'-' | b'.', ..])
}

/// How far a token goes on behind a run: over dots and signs that letters follow, and the padding of Base64.
fn end(text: &[u8], from: usize) -> usize {
    let mut end = from;
    loop {
        end += text[end..].iter().take_while(|byte| IN_RUN[usize::from(**byte)]).count();
        let next = |ahead: usize| text.get(end + ahead).copied().unwrap_or_default();
        match next(0) {
            b'.' | b'~' | b'+' | b'/' if next(1).is_ascii_alphanumeric() => end += 1,
            b'=' if next(1).is_ascii_alphanumeric() || end > from => end += 1,
            b'=' => end += text[end..].iter().take_while(|byte| **byte == b'=').count(),
            _ => return end,
        }
    }
}

/// By what stands before and behind it.
fn by_place(text: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let (before, inside, rest) = (&text[..run.start], &text[run.clone()], &text[run.end..]);
    let whole = || Some(run.start..end(text, run.end));
    let hex = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    // Google's refresh tokens: `1//0…`
    if before.ends_with(b"1//") && inside.starts_with(b"0") && inside.len() >= 40 {
        return whole();
    }
    // Terraform: `….atlasv1.…`
    if before.ends_with(b".atlasv1.") || before.ends_with(b"atlasv1.") {
        return whole();
    }
    // Microsoft Entra: three letters, a digit, `Q~`, and 31 to 34 more.
    if before.ends_with(b"Q~") && inside.len() >= 30 && before.len() >= 5 {
        return Some(run.start - 5..end(text, run.end));
    }
    // Telegram: the bot's number, a colon, 35 letters that begin with `AA`.
    let digits =
        before.strip_suffix(b":").map_or(0, |rest| rest.iter().rev().take_while(|b| b.is_ascii_digit()).count());
    if (8..=10).contains(&digits) && inside.starts_with(b"AA") && inside.len() == 35 {
        return whole();
    }
    // Discord: who it is in Base64, six letters, the rest.
    if matches!(inside[0], b'M' | b'N' | b'O') && (23..=28).contains(&inside.len()) && rest.first() == Some(&b'.') {
        let middle = rest[1..].iter().take_while(|byte| IN_RUN[usize::from(**byte)]).count();
        if middle == 6 && rest.get(7) == Some(&b'.') {
            return whole();
        }
    }
    // Mailchimp: 32 digits and the data centre.
    if inside.len() >= 36 && inside[32..].starts_with(b"-us") && hex(&inside[..32]) {
        return whole();
    }
    // Airtable: `pat`, 14 letters, a dot, 64 digits.
    if inside.len() == 64 && hex(inside) && before.ends_with(b".") && before.len() >= 18 {
        let from = before.len() - 18;
        if before[from..].starts_with(b"pat") {
            return Some(from..run.end);
        }
    }
    // Vault, as it was before `hvs.`.
    if before.ends_with(b"s.")
        && inside.len() == 24
        && is_mixed(inside)
        && !before.iter().rev().nth(2).is_some_and(u8::is_ascii_alphanumeric)
    {
        return whole();
    }
    // Azure DevOps
    if inside.len() >= 76 && memchr::memmem::find(inside, b"JQQJ99").is_some() {
        return whole();
    }
    // MaxMind
    if inside.ends_with(b"_mmk") {
        return whole();
    }
    // OpenShift: not the digest of an image, which is hexadecimal.
    if before.ends_with(b"sha256~") {
        return whole();
    }
    // JSON Web Tokens: two or three parts, the first two JSON in Base64.
    if inside.starts_with(b"eyJ") && rest.len() > 10 && rest[0] == b'.' && IN_RUN[usize::from(rest[1])] {
        return whole();
    }
    // Hashes of passwords: `$6$…`, `$2b$12$…`, `$argon2id$…`, `$apr1$…`
    let hashed = before.iter().rev().take(WINDOW).take_while(|b| !b.is_ascii_whitespace());
    let hashed = hashed.take_while(|b| !matches!(b, b'"' | b'\'' | b':'));
    let dollars = hashed.clone().filter(|b| **b == b'$').count();
    if dollars >= 2 && before.ends_with(b"$") || dollars >= 3 {
        return whole();
    }
    None
}

/// A token of a provider that is in no list: a prefix in small letters, and behind it what only a machine writes.
fn unknown(text: &[u8], run: &Range<usize>) -> Option<Range<usize>> {
    let inside = &text[run.clone()];
    let at = inside.iter().rposition(|byte| *byte == b'_').or_else(|| inside.iter().rposition(|byte| *byte == b'-'))?;
    let (prefix, body) = (&inside[..at], &inside[at + 1..]);
    let is_prefix = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let known = prefix.starts_with(b"sha") || prefix.starts_with(b"md5") || prefix.len() < 2 || prefix.len() > 24;
    let least = if inside[at] == b'_' { 22 } else { 30 };
    (!known && prefix.iter().all(is_prefix) && body.len() >= least && is_mixed(body))
        .then(|| run.start..end(text, run.end))
}

/// Whether small letters, capitals and digits follow each other as chance has it, not as in `TestThatItWorks2`.
pub(super) fn is_mixed(body: &[u8]) -> bool {
    let class = |byte: u8| match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    };
    let changes = body.windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    let has = |wanted| body.iter().any(|byte| class(*byte) == wanted);
    has(1) && has(2) && has(3) && changes * 3 >= body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(TOKENS.is_sorted_by_key(|(prefix, ..)| prefix), "FIRST needs it");
        assert!(TOKENS.len() < 256);
    }

    #[test]
    fn a_run_is_found_wherever_it_begins() {
        for before in 0..45 {
            for length in 14..20 {
                let text = format!("{} {} x", "ab ".repeat(before), "c".repeat(length));
                let found = next_run(text.as_bytes(), 0);
                assert_eq!(found.is_some(), length >= RUN, "{text}");
                assert!(found.is_none_or(|run| run == (before * 3 + 1..before * 3 + 1 + length)));
            }
        }
    }
}
