//! Locations as they may be shown: the password and the signature that a URL may hold are for the program alone.

use std::borrow::Cow;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// A text in which no URL shows a password, a token before its host, or the value of a parameter.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let scheme = before[..at].rsplit(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).next();
        let end =
            url.find(|c: char| c.is_whitespace() || c.is_control() || "\"'`<>|\\".contains(c)).unwrap_or(url.len());
        shown.push_str(before);
        push_url(&mut shown, scheme.unwrap_or_default(), &url[..end]);
        rest = &url[end..];
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// What follows `scheme://`.
fn push_url(shown: &mut String, scheme: &str, url: &str) {
    let (place, parameters) = url.find(['?', '#']).map_or((url, ""), |at| url.split_at(at));
    // A password may hold a slash or an `@` that nobody encoded.
    let authority = place.find('/').unwrap_or(place.len());
    let host = place.rfind('@').filter(|at| *at < authority || place[..*at].contains(':'));
    match host {
        // `abfss://container@account/`: no secret.
        Some(at) if place[..at].contains(':') => {
            let person = place[..at].split(':').next().unwrap_or_default();
            shown.push_str(person);
            shown.push(':');
            shown.push_str(HIDDEN);
            shown.push_str(&place[at..]);
        }
        Some(at) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
            shown.push_str(HIDDEN);
            shown.push_str(&place[at..]);
        }
        _ => shown.push_str(place),
    }
    for part in parameters.split_inclusive(['?', '&', ';', '#']) {
        let (part, end) = match part.strip_suffix(['?', '&', ';', '#']) {
            Some(inner) => (inner, &part[inner.len()..]),
            None => (part, ""),
        };
        match part.split_once('=') {
            Some((name, value)) if !value.is_empty() => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(HIDDEN);
            }
            _ => shown.push_str(part),
        }
        shown.push_str(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (given, want) in [
            ("lake", "lake"),
            ("s3://bucket/lake", "s3://bucket/lake"),
            ("abfss://data@account.dfs.core.windows.net/lake", "abfss://data@account.dfs.core.windows.net/lake"),
            ("https://user:pw@host/lake is no lake", "https://user:***@host/lake is no lake"),
            ("https://user:p@ss/w:ord@host/lake", "https://user:***@host/lake"),
            ("https://token@host/lake", "https://***@host/lake"),
            (
                "https://host/a.ndjson?X-Amz-Signature=abc&X-Amz-Date=1#t=2",
                "https://host/a.ndjson?X-Amz-Signature=***&X-Amz-Date=***#t=***",
            ),
            (
                "az://c/x?sv=1&sig=a%2Fb, then \"http://a:b@c?d=e\".",
                "az://c/x?sv=***&sig=*** then \"http://a:***@c?d=***\".",
            ),
            ("a://b?c", "a://b?c"),
            ("mail a@b.test, https://host/a@b", "mail a@b.test, https://host/a@b"),
            ("é://ü:ö@ß", "é://ü:***@ß"),
        ] {
            assert_eq!(without_secrets(given), want);
        }
    }
}
