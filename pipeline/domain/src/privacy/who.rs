//! Who does it: names in commands, variables of CI systems, messages of merges, and notes in code.

use super::beside::Names;
use super::people::{is_hash, is_name, trailer_end};
use super::rules::{pattern, replace, replace_after};
use super::{Privacy, people};
use regex::{Captures, Match, Regex};
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::LazyLock;

// What stands before a name.
pattern!(
    NAMED,
    concat!(
        r#"(?-u:\buser\.(?:name|email)[ \t\x0b=]+|(?:^|[ \t\x0b"'])--(?:author|committer)[= \t\x0b]+"#,
        r#"|\bssh[ \t\x0b](?:[!-~]+[ \t\x0b]+)*?-l[ \t\x0b]*|\bsudo[ \t\x0b](?:-[A-Za-z]+[ \t\x0b]+)*?-u[ \t\x0b]*"#,
        r#"|\bsu[ \t\x0b]+(?:-[A-Za-z]*[ \t\x0b]+)?|\bchown[ \t\x0b]+(?:-[A-Za-z]+[ \t\x0b]+)*"#,
        r#"|\b(?:adduser|useradd|usermod|userdel|deluser)[ \t\x0b]+(?:-[!-~]*[ \t\x0b]+)*"#,
        r#"|\b(?:[A-Z0-9]+_)*(?:ACTOR|LOGNAME|USERNAME|USER|USER_NAME|USER_LOGIN|AUTHOR|AUTHOR_NAME|COMMITTER|COMMITTER_NAME)=[\t ]*"#,
        r#"|\b(?i:username|logged in as|whoami)[ \t]*:?[ \t]+|\buid=[0-9]+\(|\buser '|\bactor="#,
        r#"|(?:^|[ \t\x0b"'])--(?:(?:add-)?(?:assignee|reviewer)|username)[= \t\x0b]+|(?:^|[ \t\x0b"'])--user="#,
        r#"|\b(?i:assignee|reporter|reviewer|approver)[ \t]*!?=[ \t]*|\b(?i:(?:login|real|full|user|account) name)[ \t]*[:=][ \t]*"#,
        r#"|\b(?:TODO|FIXME|XXX|HACK)\()"#
    )
);
// A line that says who it was: a trailer without a hyphen, a header of a mail or a commit.
pattern!(
    LINE,
    concat!(
        r"(?im-u:^[ \t>*]*(?:reviewed|approved|tested|reported|suggested|acked|changed|signed[ -]off|co-authored)",
        r"[ -]by[ \t]*:?[ \t]+|^[ \t>]*(?:reviewers?|assignees?|cc|from|author|committer|pair|on-?call)[ \t]*:[ \t]*)"
    )
);
pattern!(WROTE, r"(?m)^[ \t>]*On [A-Z][^\n]{0,60}?,[ \t]+");
// Whose branch or repository it is.
pattern!(
    MERGED,
    concat!(
        r"(?-u:\bMerge pull request #[0-9]+ from |\bMerge remote-tracking branch '",
        r"|\bMerge(?: remote-tracking)? branch(?:es)? '[ -&(-~]{0,200}' of (?:[a-z+]+://[!-.0-~]+/|[!-.0-9;-~]+:))"
    )
);
pattern!(PATCH, r"(?-u:\b([A-Za-z][A-Za-z0-9-]{2,38})-patch-([0-9]+)\b)");
pattern!(OWN_BRANCH, r"(?-u:^(?:refs/heads/)?(?:users?|u)/)");
pattern!(REMOTE, r#"(^|[ \t\x0b"'=])([A-Za-z_][A-Za-z0-9_.-]*)@([A-Za-z0-9_\[][A-Za-z0-9_.:\[\]-]*)"#);

/// Users of systems, and words that stand where a name could.
const SYSTEM: &[&str] = &[
    "admin",
    "administrator",
    "airflow",
    "alpine",
    "app",
    "arch",
    "bot",
    "build",
    "builder",
    "centos",
    "ci",
    "circleci",
    "core",
    "daemon",
    "debian",
    "deploy",
    "deployer",
    "docker",
    "ec2-user",
    "fedora",
    "ftp",
    "git",
    "github",
    "github-actions",
    "gitlab",
    "gitlab-runner",
    "hadoop",
    "hg",
    "host",
    "http",
    "https",
    "jenkins",
    "jovyan",
    "kafka",
    "mail",
    "main",
    "master",
    "me",
    "mongodb",
    "mysql",
    "nginx",
    "nobody",
    "node",
    "none",
    "null",
    "opc",
    "origin",
    "pi",
    "postgres",
    "rabbitmq",
    "redis",
    "root",
    "runner",
    "runneradmin",
    "someone",
    "ssh",
    "steam",
    "svn",
    "system",
    "test",
    "the",
    "travis",
    "ubuntu",
    "unknown",
    "upstream",
    "user",
    "username",
    "users",
    "vagrant",
    "vscode",
    "web",
    "worker",
    "www-data",
    "you",
    "your",
];

/// Whether it is the user of a system, or no name at all.
pub(super) fn is_nobody(name: &str) -> bool {
    let number = name.bytes().all(|byte| byte.is_ascii_digit());
    let odd = name.is_empty() || name.starts_with(['$', '<', '{', '%', '-', '.', '/', '*', '[', '\\', '#']);
    odd || number || SYSTEM.binary_search(&&*name.to_ascii_lowercase()).is_ok() || name == "[masked]"
}

/// A name in quotes, or one word.
fn name_at(text: &str, at: usize) -> Range<usize> {
    let rest = &text[at..];
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''));
    let start = at + quote.map_or(0, char::len_utf8);
    let rest = &text[start..];
    let end = match quote {
        Some(quote) => rest.find([quote, '<', '\n']).unwrap_or(rest.len()),
        None => rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(rest.len()),
    };
    start..start + rest[..end].trim_end().len()
}

fn named(text: &str, found: Match) -> Option<Range<usize>> {
    let range = name_at(text, found.end());
    let name = &text[range.clone()];
    // An address is another rule's; in notes of code also numbers of issues stand: `TODO(ABC-12)`.
    let address = text[range.end..].starts_with('@');
    let before = found.as_str();
    let shouted = before.ends_with('=') && before.contains('_');
    let service = shouted && before.split('_').any(|word| SERVICES.contains(&word));
    let issue = before.ends_with('(') && !before.starts_with("uid") && name.bytes().any(|byte| byte.is_ascii_digit());
    let word = before.trim_end().eq_ignore_ascii_case("username") || before.starts_with("su");
    let unlike = word && !is_name(name);
    (!is_nobody(name) && !is_hash(name) && !address && !service && !issue && !unlike).then_some(range)
}

/// Before `USER` they say that it is the user of a database or a service.
const SERVICES: &[&str] = &[
    "ADMIN",
    "AMQP",
    "DATABASE",
    "DB",
    "DOCKER",
    "ELASTIC",
    "GRAFANA",
    "KAFKA",
    "MARIADB",
    "MONGO",
    "MONGODB",
    "MQ",
    "MQTT",
    "MYSQL",
    "NEO4J",
    "ORACLE",
    "PG",
    "POSTGRES",
    "POSTGRESQL",
    "RABBITMQ",
    "REDIS",
    "ROOT",
    "SERVICE",
    "SMTP",
    "SQL",
    "TEST",
];

fn line_name(text: &str, found: Match) -> Option<Range<usize>> {
    let range = found.end()..trailer_end(text, found.end());
    let name = &text[range.clone()];
    let sure = found.as_str().contains(['R', 'r', 'A', 'a', 'C', 'c']) && found.as_str().trim_end().ends_with(':');
    let alone = !name.contains(' ') && is_name(name) && super::is_telling(name) && found.as_str().contains("by");
    let fits = people::is_full_name(name)
        || alone && !is_nobody(name)
        || sure && is_name(name) && !name.contains(' ') && !is_nobody(name);
    (fits && !is_hash(name)).then_some(range)
}

fn wrote(text: &str, found: Match) -> Option<Range<usize>> {
    let end = text[found.end()..].find(" wrote:")?;
    let name = &text[found.end()..found.end() + end];
    people::is_full_name(name).then(|| found.end()..found.end() + end)
}

/// The owner of a branch or repository, before its slash.
fn owner(text: &str, found: Match) -> Option<Range<usize>> {
    let range = name_at(text, found.end());
    let name = &text[range.clone()];
    let is_owner = text[range.end..].starts_with('/');
    (is_owner && !is_nobody(name) && !is_hash(name)).then_some(range)
}

/// Words before `-patch-1` that are nobody's name.
const NO_PATCHER: &[&str] = &[
    "apply",
    "bug",
    "dependency",
    "dependencies",
    "git",
    "hot",
    "kernel",
    "release",
    "security",
    "test",
    "the",
    "upstream",
];

/// Programs that take `user@host`.
const REMOTE_PROGRAMS: &[&str] = &["ssh", "scp", "sftp", "rsync", "mosh", "sshfs"];

impl Privacy {
    /// Names in commands, messages and notes.
    pub(super) fn name_people(&self, text: &mut Cow<'_, str>) {
        let named_here = RefCell::new(Vec::new());
        for (pattern, what) in [
            (&NAMED, named as fn(&str, Match) -> Option<Range<usize>>),
            (&LINE, line_name),
            (&WROTE, wrote),
            (&MERGED, owner),
        ] {
            replace_after(text, pattern, what, |name| {
                named_here.borrow_mut().push(name.to_owned());
                self.mention_text(name)
            });
        }
        // `chown ann:ann`, `uid=1000(ann) gid=1000(ann)`
        let names = Names::of(named_here.into_inner());
        if let Cow::Owned(clean) = self.without_names(&names, text) {
            *text = Cow::Owned(clean);
        }
        self.printed_names(text);
        replace(text, &PATCH, |c: &Captures| {
            let name = &c[1];
            let nobody = NO_PATCHER.contains(&&*name.to_ascii_lowercase()) || is_hash(name) || name.starts_with("u-");
            if nobody { c[0].to_owned() } else { format!("{}-patch-{}", self.mention(name), &c[2]) }
        });
        let lower = text.as_bytes();
        let program = |name: &&str| {
            memchr::memmem::find_iter(lower, name).any(|at| {
                let after = lower.get(at + name.len());
                at.checked_sub(1).is_none_or(|before| !lower[before].is_ascii_alphanumeric())
                    && after.is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'-')
            })
        };
        if REMOTE_PROGRAMS.iter().any(program) {
            replace(text, &REMOTE, |c: &Captures| match is_nobody(&c[2]) || is_hash(&c[2]) {
                true => c[0].to_owned(),
                false => format!("{}{}@{}", &c[1], self.mention(&c[2]), &c[3]),
            });
        }
    }

    /// A branch says whose it is: `users/annabel/fix`, `annabel-patch-1`. The same for every event, whoever's it is, so
    /// that branches are still joined.
    pub fn scrub_branch(&self, branch: &str) -> String {
        let mut text = Cow::Borrowed(branch);
        replace_after(
            &mut text,
            &OWN_BRANCH,
            |text, found| {
                let range = name_at(text, found.end());
                let name = &text[range.clone()];
                (text[range.end..].starts_with('/') && !is_nobody(name) && !is_hash(name)).then_some(range)
            },
            |name| self.mention_text(name),
        );
        self.scrub_text(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_systems_are_in_order() {
        assert!(SYSTEM.is_sorted());
    }

    #[test]
    fn whose_branch_it_is_is_a_hash() {
        let privacy = Privacy::new(b"the key of the tests");
        let hash = privacy.person("annabel");
        assert_eq!(privacy.scrub_branch("annabel-patch-1"), format!("{hash}-patch-1"));
        assert_eq!(privacy.scrub_branch("users/annabel/fix"), format!("users/{hash}/fix"));
        for branch in ["main", "feature/login", "release/1.2", "security-patch-1", "dependabot/npm/x-1.2", "u/42/x"] {
            assert_eq!(privacy.scrub_branch(branch), branch);
        }
    }
}
