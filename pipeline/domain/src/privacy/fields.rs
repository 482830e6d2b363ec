//! Which fields name a person and which hold a secret, however their names are written.
//!
//! A name is taken apart into words (`merged_by`, `mergedBy`, `merged-by`, `MERGED_BY`), and its last words decide:
//! `spring.datasource.hikari.password`, `GITHUB_ACTOR`, `newPassword2`. Of words such as `owner` or `key` the value decides
//! ([`Field::PersonLike`], [`Field::SecretLike`]).

use super::field_words::*;
use super::words::{self, Words};

/// What a field's name says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing.
    Plain,
    /// It names a person, whatever it looks like.
    Person,
    /// It names a person if it looks like a name.
    PersonLike,
    /// It is a secret, whatever it looks like.
    Secret,
    /// It is a secret if it looks like one.
    SecretLike,
}

/// What a field's name says about its value.
pub fn field(key: &str) -> Field {
    if key.is_ascii() {
        return of(&Words::new(key));
    }
    let folded = words::folded(key);
    if FOREIGN.iter().any(|word| folded.contains(word)) { Field::Secret } else { of(&Words::new(&folded)) }
}

fn of(words: &Words) -> Field {
    // Numbers at the end tell several apart: `newPassword2`.
    let mut backwards = words.backwards().skip_while(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let [last, before, first] = [(); 3].map(|()| backwards.next().unwrap_or_default());
    if last.is_empty() {
        return Field::Plain;
    }
    match secret(before, last) {
        Field::Plain => {}
        secret => return secret,
    }
    let (mut last, mut before, mut first) = (last, before, first);
    let mut tails = 0;
    while TAILS.contains(&last) && !before.is_empty() {
        (last, before, first) = (before, first, backwards.next().unwrap_or_default());
        tails += 1;
        // `connection_string`, `session_data`: only what is one whatever comes behind it.
        if secret(before, last) == Field::Secret || last == "connection" {
            return Field::Secret;
        }
        if secret(before, last) == Field::SecretLike {
            return Field::SecretLike;
        }
    }
    if tails > 0 { Field::Plain } else { person(words) }
}

fn secret(before: &str, last: &str) -> Field {
    let sure = SECRETS.contains(&last)
        || SECRET_ENDS.iter().any(|end| last.ends_with(end))
        || matches!(last, "key" | "keys") && KEYS.contains(&before)
        || SECRET_PAIRS.contains(&(before, last));
    match sure {
        true => Field::Secret,
        false if MAYBE_SECRETS.contains(&last) || (before, last) == ("session", "id") => Field::SecretLike,
        // Whoever knows the address may use what is behind it.
        false if matches!(last, "url" | "uri") && ADDRESSES.contains(&before) => Field::SecretLike,
        false => Field::Plain,
    }
}

fn singular(word: &str) -> &str {
    word.strip_suffix('s').unwrap_or(word)
}

fn person(words: &Words) -> Field {
    match words.joined() {
        // Also a repository's or a service's: `acme/api`.
        "fullname" | "displayname" => return Field::PersonLike,
        "replyto" => return Field::Person,
        whole if WHOLE.contains(&whole) => return Field::Person,
        _ => {}
    }
    let mut backwards = words.backwards().skip_while(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let (Some(mut last), mut before) = (backwards.next(), backwards.next().unwrap_or_default()) else {
        return Field::Plain;
    };
    if NAMES.contains(&last) && !NOT_PEOPLE.contains(&before) {
        return Field::Person;
    }
    while PARTS.contains(&last) && !before.is_empty() {
        (last, before) = (before, backwards.next().unwrap_or_default());
    }
    // `approvedby`
    let verb = last.strip_suffix("by").unwrap_or_default();
    if last == "by" && BY_PEOPLE.contains(&before) || BY_PEOPLE.contains(&verb) {
        return Field::Person;
    }
    if NOT_PEOPLE.contains(&before) || (last == "by" && NOT_BY_PEOPLE.contains(&before)) {
        return Field::Plain;
    }
    // `authorname`, `userid`
    let joined = |word: &&str| last.strip_prefix(*word).is_some_and(|part| PARTS.contains(&part));
    if PEOPLE.contains(&last) || PEOPLE.contains(&singular(last)) || PEOPLE.iter().any(joined) {
        return Field::Person;
    }
    let is_maybe = MAYBE_PEOPLE.contains(&last) || MAYBE_PEOPLE.contains(&singular(last));
    if last == "by" || is_maybe || (before, last) == ("on", "call") { Field::PersonLike } else { Field::Plain }
}

/// Whether a field names a person, whatever its value looks like.
pub fn is_person_field(key: &str) -> bool {
    field(key) == Field::Person
}

/// Whether a field's value is a secret, whatever it looks like.
pub fn is_secret_field(key: &str) -> bool {
    field(key) == Field::Secret
}

/// Whether a field names who did the thing, not somebody it concerns: it is their event.
pub(crate) fn is_actor_field(key: &str) -> bool {
    const ACTORS: &[&str] = &[
        "actor",
        "author",
        "committer",
        "creator",
        "developer",
        "pusher",
        "sender",
        "submitter",
        "triggeringactor",
        "user",
    ];
    let words = Words::new(key);
    let name = words.joined();
    ACTORS.contains(&name)
        || matches!(name, "login" | "username")
        || ["username", "name", "email", "login", "id"]
            .iter()
            .any(|end| name.strip_suffix(end).is_some_and(|name| ACTORS.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_hide_a_person_or_a_secret() {
        for key in [
            "actor",
            "merged_by",
            "mergedBy",
            "Merged-By",
            "user_email",
            "userEmail",
            "author-name",
            "committerEmail",
            "login",
            "requested_reviewers",
            "requestedReviewers",
            "user_id",
            "userName",
            "username",
            "triggering_actor",
            "AUTHOR",
            "email",
            "review_requester",
            "assignees",
            "sender.login",
        ] {
            assert!(is_person_field(key), "{key}");
        }
        for key in [
            "password",
            "access-token",
            "accessToken",
            "x-api-key",
            "X-Api-Key",
            "apikey",
            "client_secret",
            "privateKey",
            "authorization",
            "Cookie",
            "set-cookie",
            "DB_PASSWORD",
            "refresh_token",
            "AccountKey",
            "pwd",
            "GITHUB_TOKEN",
            "aws_secret_access_key",
            "access_key",
            "token",
            "secret",
            "passwd",
            "SharedAccessSignature",
        ] {
            assert!(is_secret_field(key), "{key}");
        }
        let rest = [
            "name",
            "id",
            "author_association",
            "user_agent",
            "key",
            "tokens",
            "token_count",
            "command",
            "",
            "users_count",
            "actors_only_here_because_this_key_is_far_too_long_to_be_one",
            "labels",
            "sha",
            "branch",
        ];
        for key in &rest {
            assert!(!is_person_field(key) && !is_secret_field(key), "{key}");
        }
        for (column, _) in crate::fields::columns() {
            assert_eq!(field(column), Field::Plain, "{column}");
        }
    }

    #[test]
    fn the_last_words_of_a_long_name_decide() {
        for key in [
            "spring.datasource.hikari.data-source-properties.password",
            "newPassword2",
            "password[0]",
            "DB_PASSWORD\n",
            "pass/word",
            "ｐａｓｓｗｏｒｄ",
            "пароль",
            "token_value",
            "password_hash",
            "privateKeyPem",
            "access_code",
            "connection_string",
        ] {
            assert_eq!(field(key), Field::Secret, "{key}");
        }
        for key in ["GITHUB_ACTOR", "GIT_AUTHOR_NAME", "co_authors", "lastName", "slack_handle"] {
            assert_eq!(field(key), Field::Person, "{key}");
        }
        for key in ["webhook_url", "DATABASE_URL"] {
            assert_eq!(field(key), Field::SecretLike, "{key}");
        }
        for key in ["pin_code", "mot_de_passe", "heslo"] {
            assert_eq!(field(key), Field::Secret, "{key}");
        }
        for key in ["package_manager", "url", "html_url", "repository_url"] {
            assert_eq!(field(key), Field::Plain, "{key}");
        }
        for key in
            ["owner", "display_name", "editor", "process.owner", "full_name", "started_by", "by", "account", "members"]
        {
            assert_eq!(field(key), Field::PersonLike, "{key}");
        }
        for key in ["tokens", "license_key", "client_key", "auth", "session_id"] {
            assert_eq!(field(key), Field::SecretLike, "{key}");
        }
        for key in [
            "group_by",
            "killed_by",
            "cpu.user",
            "user_time",
            "vcs.owner.name",
            "exit_code",
            "secret_name",
            "token_count",
            "service.name",
            "last_login",
            "user_agent",
            "users_count",
        ] {
            assert_eq!(field(key), Field::Plain, "{key}");
        }
    }
}
