//! Which fields name a person and which hold a secret, however their names are written.
//!
//! `merged_by`, `mergedBy`, `merged-by` and `MergedBy` are one name: letters folded, separators left out.

/// No name longer than this is known, so longer keys are told apart at once.
const LONGEST: usize = 40;

/// A key, folded into a buffer on the stack: decoders ask for every key of every event.
struct Folded {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Folded {
    fn new(key: &str) -> Option<Self> {
        if key.len() > LONGEST {
            return None;
        }
        let mut folded = Self { bytes: [0; LONGEST], len: 0 };
        for byte in key.bytes() {
            if !matches!(byte, b'_' | b'-' | b'.' | b' ') {
                folded.bytes[folded.len] = byte.to_ascii_lowercase();
                folded.len += 1;
            }
        }
        Some(folded)
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Words for a person.
fn is_person(name: &[u8]) -> bool {
    matches!(
        name,
        b"actor"
            | b"approver"
            | b"approvers"
            | b"approvedby"
            | b"assignee"
            | b"assignees"
            | b"assigner"
            | b"author"
            | b"authors"
            | b"closedby"
            | b"collaborator"
            | b"committer"
            | b"createdby"
            | b"creator"
            | b"dismissedby"
            | b"developer"
            | b"enabledby"
            | b"enduser"
            | b"mergedby"
            | b"mergeuser"
            | b"pusher"
            | b"requestedreviewer"
            | b"requestedreviewers"
            | b"requester"
            | b"resolvedby"
            | b"reviewer"
            | b"reviewers"
            | b"reviewrequester"
            | b"sender"
            | b"submitter"
            | b"triggeredby"
            | b"triggeringactor"
            | b"updatedby"
            | b"user"
    )
}

/// Whether a field names a person, in every known format. Case and `_`, `-`, `.` in the key do not matter.
pub fn is_person_field(key: &str) -> bool {
    let bytes = key.as_bytes();
    // Most keys end in a letter that no person's field ends in.
    let Some(last) = bytes.last() else { return false };
    if !matches!(last.to_ascii_lowercase(), b'd' | b'e' | b'l' | b'n' | b'r' | b's' | b'y') {
        return false;
    }
    // OpenTelemetry writes a path as one name: `vcs.ref.head.revision.author.name`.
    if bytes.contains(&b'.') && key.split('.').any(|part| part.len() < key.len() && is_person_field(part)) {
        return true;
    }
    let Some(folded) = Folded::new(key) else { return false };
    let name = folded.text();
    if is_person(name) || matches!(name, b"login" | b"username" | b"email" | b"emailaddress" | b"useremailaddress") {
        return true;
    }
    [&b"username"[..], b"name", b"email", b"login", b"id", b"handle", b"displayname", b"nickname"]
        .iter()
        .any(|end| name.strip_suffix(*end).is_some_and(is_person))
}

/// Whether a field's value is a secret, whatever it looks like. Case and `_`, `-`, `.` in the key do not matter.
pub fn is_secret_field(key: &str) -> bool {
    let bytes = key.as_bytes();
    let Some(last) = bytes.last() else { return false };
    if !matches!(last.to_ascii_lowercase(), b'd' | b'e' | b'g' | b'n' | b's' | b't' | b'y') {
        return false;
    }
    let Some(folded) = Folded::new(key) else { return false };
    let name = folded.text();
    let exact = matches!(
        name,
        b"accountkey"
            | b"connectionstring"
            | b"cookie"
            | b"cookies"
            | b"credential"
            | b"credentials"
            | b"dbpass"
            | b"deploykey"
            | b"encryptionkey"
            | b"hostkey"
            | b"jwt"
            | b"masterkey"
            | b"pwd"
            | b"secrets"
            | b"setcookie"
            | b"sharedaccesssignature"
            | b"sig"
            | b"signingkey"
            | b"sshkey"
            | b"storagekey"
            | b"xamzsignature"
    );
    let ends: [&[u8]; 11] = [
        b"password",
        b"passwd",
        b"passphrase",
        b"secret",
        b"token",
        b"apikey",
        b"accesskey",
        b"authkey",
        b"privatekey",
        b"secretkey",
        b"authorization",
    ];
    exact || ends.iter().any(|end| name.ends_with(end))
}

/// Whether a field names who did the thing, not somebody it concerns: it is their event.
pub(crate) fn is_actor_field(key: &str) -> bool {
    let Some(folded) = Folded::new(key) else { return false };
    let name = folded.text();
    let is_actor = |name: &[u8]| {
        matches!(
            name,
            b"actor"
                | b"author"
                | b"committer"
                | b"creator"
                | b"developer"
                | b"pusher"
                | b"sender"
                | b"submitter"
                | b"triggeringactor"
                | b"user"
        )
    };
    is_actor(name)
        || matches!(name, b"login" | b"username")
        || [&b"username"[..], b"name", b"email", b"login", b"id"]
            .iter()
            .any(|end| name.strip_suffix(*end).is_some_and(is_actor))
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
        let mut rest = [
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
        ]
        .map(str::to_owned)
        .to_vec();
        rest.extend(crate::fields::columns().into_iter().map(|(name, _)| name.to_owned()));
        for key in &rest {
            assert!(!is_person_field(key) && !is_secret_field(key), "{key}");
        }
    }
}
