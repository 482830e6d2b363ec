//! Which plan the report is about, and how it stands, by the ledger.

use crate::context::Context;
use crate::failure::Failure;
use domain::Timestamp;
use domain::ledger::Entry;
use domain::plan::Plan;
use lake::Lake;
use std::path::{Path, PathBuf};

/// What became of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nobody said yes yet.
    Waits,
    /// Somebody did.
    Approved(Timestamp),
    /// It is in force.
    Applied(Timestamp),
    /// What was before it is in force again.
    RolledBack(Timestamp),
    /// Its time has passed.
    Expired,
}

/// A plan, how it stands, and how a person names it.
pub struct Standing {
    /// It.
    pub plan: Plan,
    /// What became of it.
    pub stands: Stands,
    /// Its file; none where it is only in a lake that is no folder.
    pub path: Option<PathBuf>,
    /// It was made at a fixed `--now`, and is acted on at one.
    pub rehearsal: bool,
}

impl Standing {
    /// A plan that a person named.
    pub fn of_file(context: &Context, plan: Plan, path: &Path, entries: &[Entry]) -> Self {
        Self::new(context, plan, Some(path.to_owned()), entries)
    }

    fn new(context: &Context, plan: Plan, path: Option<PathBuf>, entries: &[Entry]) -> Self {
        let of_plan = |entry: &&Entry| entry.plan_id == plan.plan_id && entry.at <= context.now;
        let mut stands = Stands::Waits;
        for entry in entries.iter().filter(of_plan) {
            stands = match entry.action.as_str() {
                "approve" => Stands::Approved(entry.at),
                "apply" => Stands::Applied(entry.at),
                "rollback" => Stands::RolledBack(entry.at),
                "expire" => Stands::Expired,
                _ => stands,
            };
        }
        if matches!(stands, Stands::Waits | Stands::Approved(_)) && context.now > plan.expires_at {
            stands = Stands::Expired;
        }
        let made = entries.iter().find(|entry| entry.plan_id == plan.plan_id && entry.action == "plan");
        Self { stands, path, rehearsal: made.is_some_and(|entry| entry.fixed_clock), plan }
    }

    /// A command on this plan, as it is typed.
    pub fn command(&self, context: &Context, verb: &str) -> String {
        let mut words = vec!["pipeline".to_owned()];
        if context.global.lake != "./lake" {
            words.extend(["--lake".to_owned(), quoted(&context.global.lake)]);
        }
        if self.rehearsal {
            words.extend(["--now".to_owned(), context.now.to_string()]);
        }
        words.push(verb.to_owned());
        words.push(
            self.path.as_ref().map_or_else(|| "plan.json".to_owned(), |path| quoted(&path.display().to_string())),
        );
        words.join(" ")
    }
}

/// The newest plan of the lake that was made by now; none where there is none, or it is not as it was made.
pub async fn newest(context: &Context, lake: &Lake, entries: &[Entry]) -> Result<Option<Standing>, Failure> {
    let made = entries.iter().rev().filter(|entry| entry.action == "plan" && entry.at <= context.now);
    for entry in made {
        let place = format!("plans/{}/plan.json", entry.plan_id);
        let Some(plan) = lake.document::<Plan>(&place).await? else { continue };
        if !plan.is_intact() || plan.digest != entry.plan_digest {
            continue;
        }
        let typed = &context.global.lake;
        let path = (!typed.contains("://")).then(|| Path::new(typed).join(&place));
        return Ok(Some(Standing::new(context, plan, path, entries)));
    }
    Ok(None)
}

/// A word of a command line.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_command() {
        assert_eq!(quoted("plans/a.json"), "plans/a.json");
        assert_eq!(quoted("my plan; rm -rf ~"), "'my plan; rm -rf ~'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
