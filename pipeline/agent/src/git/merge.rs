//! Which commit says that a pull request was merged, in the words of the systems that write such commits.
//!
//! Sources: GitHub "Merge pull request #n from owner/branch" and its squash "title (#n)"; GitLab "See merge request
//! group/project!n"; Gitea "Merge pull request 'title' (#n) from branch into base"; Bitbucket "Merged in branch (pull
//! request #n)"; Azure DevOps "Merged PR n: title".

/// A merged pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) number: u64,
    pub(super) title: Option<String>,
    /// Where the work was done, without the name of a fork's owner: that is a person.
    pub(super) branch: Option<String>,
    /// The owner of the repository it came from, where the commit says it. Not to be passed on.
    pub(super) owner: Option<String>,
}

/// Reads a message. `is_merge`: the commit has more than one parent; only then are the words of a merge believed.
pub(super) fn recognise(message: &str, is_merge: bool) -> Option<Merged> {
    let (subject, body) = message.split_once('\n').unwrap_or((message, ""));
    if !is_merge {
        return squashed(subject);
    }
    github(subject, body).or_else(|| gitea(subject)).or_else(|| gitlab(subject, body)).or_else(|| bitbucket(subject))
}

/// The branch that an ordinary merge names: `Merge branch 'x'`, `Merge remote-tracking branch 'origin/x'`.
pub(super) fn branch_of(subject: &str) -> Option<String> {
    let rest = subject.strip_prefix("Merge branch '");
    let tracking = || subject.strip_prefix("Merge remote-tracking branch '")?.split_once('/').map(|(_, rest)| rest);
    Some(rest.or_else(tracking)?.split_once('\'')?.0.to_owned())
}

/// A subject without what names a person: the owner of a fork, the address that was pulled from.
pub(super) fn subject_of(message: &str) -> &str {
    let subject = message.split_once('\n').map_or(message, |(subject, _)| subject).trim_end();
    if subject.starts_with("Merge pull request #") {
        return subject.split_once(" from ").map_or(subject, |(kept, _)| kept);
    }
    if subject.starts_with("Merge branch '") || subject.starts_with("Merge remote-tracking branch '") {
        return subject.split_once("' of ").map_or(subject, |(kept, _)| &subject[..=kept.len()]);
    }
    subject
}

fn squashed(subject: &str) -> Option<Merged> {
    if let Some(merged) = azure(subject) {
        return Some(merged);
    }
    let (title, number) = subject.trim_end().strip_suffix(')')?.rsplit_once("(#")?;
    Some(Merged { number: number.parse().ok()?, title: titled(title), ..Merged::default() })
}

fn azure(subject: &str) -> Option<Merged> {
    let (number, title) = subject.strip_prefix("Merged PR ")?.split_once(": ")?;
    Some(Merged { number: number.parse().ok()?, title: titled(title), ..Merged::default() })
}

fn github(subject: &str, body: &str) -> Option<Merged> {
    let (number, from) = subject.strip_prefix("Merge pull request #")?.split_once(" from ")?;
    let (owner, branch) = from.split_once('/').map_or((None, from), |(owner, branch)| (Some(owner), branch));
    Some(Merged {
        number: number.parse().ok()?,
        title: body.lines().find_map(titled),
        branch: titled(branch),
        owner: owner.map(str::to_owned),
    })
}

fn gitea(subject: &str) -> Option<Merged> {
    let (title, rest) = subject.strip_prefix("Merge pull request '")?.rsplit_once("' (#")?;
    let (number, rest) = rest.split_once(") from ")?;
    let branch = rest.split_once(" into ").map_or(rest, |(branch, _)| branch);
    // `login/branch` or `login:branch` where it came from a fork is not told from a branch with a slash: kept as it is.
    Some(Merged { number: number.parse().ok()?, title: titled(title), branch: titled(branch), owner: None })
}

fn gitlab(subject: &str, body: &str) -> Option<Merged> {
    let line = body.lines().find_map(|line| line.trim().strip_prefix("See merge request "))?;
    let number = line.rsplit_once('!')?.1.trim().parse().ok()?;
    Some(Merged { number, title: body.lines().find_map(titled), branch: branch_of(subject), owner: None })
}

fn bitbucket(subject: &str) -> Option<Merged> {
    if let Some(merged) = azure(subject) {
        return Some(merged);
    }
    let (branch, rest) = subject.strip_prefix("Merged in ")?.rsplit_once(" (pull request #")?;
    let number = rest.strip_suffix(')')?.parse().ok()?;
    Some(Merged { number, title: None, branch: titled(branch), owner: None })
}

fn titled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_understood() {
        let found = |message, merge| recognise(message, merge).map(|m| (m.number, m.title, m.branch));
        let want = |n, title: &str, branch: &str| Some((n, titled(title), titled(branch)));
        for (message, merge, wanted) in [
            (
                "Merge pull request #12 from jane/fix/login\n\nFix the login\n\nmore",
                true,
                want(12, "Fix the login", "fix/login"),
            ),
            ("Merge pull request 'Fix the login' (#7) from fix into main", true, want(7, "Fix the login", "fix")),
            (
                "Merge branch 'fix' into 'main'\n\nFix the login\n\nSee merge request acme/api!34",
                true,
                want(34, "Fix the login", "fix"),
            ),
            ("Merged in fix/login (pull request #5)", true, want(5, "", "fix/login")),
            ("Merged PR 88: Fix the login", false, want(88, "Fix the login", "")),
            ("Fix the login (#12)", false, want(12, "Fix the login", "")),
            ("Revert \"Fix the login (#12)\" (#15)", false, want(15, "Revert \"Fix the login (#12)\"", "")),
            ("Fix the login (#12)", true, None),
            ("Merge pull request #12 from jane/fix", false, None),
            ("Fix issue (#a)", false, None),
            ("Merge branch 'main' into fix", true, None),
            ("", false, None),
        ] {
            assert_eq!(found(message, merge), wanted, "{message}");
        }
    }

    #[test]
    fn a_subject_keeps_what_was_done_and_not_by_whom() {
        for (message, want) in [
            ("Merge pull request #12 from jane/fix\n\nx", "Merge pull request #12"),
            ("Merge branch 'main' of git.test:jane/api into fix", "Merge branch 'main'"),
            ("Merge branch 'fix' into 'main'", "Merge branch 'fix' into 'main'"),
            ("A fix of all", "A fix of all"),
        ] {
            assert_eq!(subject_of(message), want);
        }
        assert_eq!(branch_of("Merge remote-tracking branch 'origin/fix/a' into b").as_deref(), Some("fix/a"));
    }
}
