//! How a table is brought up to date without being rebuilt: two lines in the head of its SQL file.
//!
//! ```sql
//! -- Partition: event_date
//! -- Follows: staging.events, marts.usage +3 days, marts.run_reports ±14 days by sha, marts.runs by pr_id
//! ```
//! A partition is a UTC day. It depends on the same day of the tables it follows, on days around it (`±`) or after it
//! (`+`), on those rows of the days around it that share a key with rows of the day (`±14 days by sha`), or on the rows of
//! its pull requests (`by pr_id`). What is read but not named here makes the whole table anew when it changes.
//! `Follows: pull requests` says that the rows of a pull request depend on its own events alone, wherever they are.

use crate::model::SqlFile;

/// What the rows of one partition depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// Partitions of other tables.
    Tables(Vec<Input>),
    /// The events of the pull requests themselves.
    PullRequests,
}

/// One table that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    /// `schema.table`.
    pub(super) table: String,
    pub(super) through: Through,
}

/// Which of its rows a partition depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// Those of the day itself and of so many days around it.
    Days(Reach),
    /// Those of the day itself, and of the days around it those that share this key with them.
    Near(Reach, String),
    /// Those with the same key; the key is one of a pull request.
    Key(String),
}

/// Days around a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) before: i32,
    pub(super) after: i32,
}

impl Reach {
    /// From the other side: the days whose reach a day is in.
    pub(super) fn turned(self) -> Self {
        Self { before: self.after, after: self.before }
    }
}

/// The rule of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The column that parts the table.
    pub(super) partition: String,
    pub(super) follows: Follows,
}

/// The rule in the head of a file; none when the table is always made whole.
///
/// # Errors
/// What is wrong with the two lines, in words.
pub(super) fn rule(file: &SqlFile) -> Result<Option<Rule>, String> {
    let line = |name: &str| {
        let mut lines = file.text.lines().take_while(|line| line.starts_with("--"));
        lines.find_map(|line| line.trim_start_matches('-').trim().strip_prefix(name).map(str::trim))
    };
    let (partition, follows) = match (line("Partition:"), line("Follows:")) {
        (Some(partition), Some(follows)) => (partition.to_owned(), follows),
        (None, None) => return Ok(None),
        _ => return Err("`Partition:` and `Follows:` belong together".to_owned()),
    };
    if follows == "pull requests" {
        return Ok(Some(Rule { partition, follows: Follows::PullRequests }));
    }
    let inputs = follows.split(',').map(|text| input(text.trim())).collect::<Result<_, _>>()?;
    Ok(Some(Rule { partition, follows: Follows::Tables(inputs) }))
}

fn input(text: &str) -> Result<Input, String> {
    let wrong = || {
        format!(
            "`Follows: {text}` should be a table, `table ±2 days`, `table +2 days`, `table ±2 days by key` or `table by pr_id`"
        )
    };
    let mut words = text.split_whitespace();
    let table = words.next().filter(|table| table.contains('.')).ok_or_else(wrong)?.to_owned();
    let through = match words.collect::<Vec<_>>()[..] {
        [] => Through::Days(Reach::default()),
        ["by", "pr_id"] => Through::Key("pr_id".to_owned()),
        [days, "day" | "days"] => Through::Days(reach(days).ok_or_else(wrong)?),
        [days, "day" | "days", "by", key] => Through::Near(reach(days).ok_or_else(wrong)?, key.to_owned()),
        _ => return Err(wrong()),
    };
    Ok(Input { table, through })
}

/// `±14` or `+3`.
fn reach(text: &str) -> Option<Reach> {
    let (around, number) = match text.strip_prefix('±') {
        Some(number) => (true, number),
        None => (false, text.strip_prefix('+')?),
    };
    let after = number.parse::<u16>().ok()?.into();
    Some(Reach { before: if around { after } else { 0 }, after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::table::TableName;

    fn of(head: &str) -> Result<Option<Rule>, String> {
        let name = TableName { schema: "marts".into(), table: "x".into() };
        rule(&SqlFile { name, text: format!("-- One row.\n{head}\nselect 1 -- Partition: not_here") })
    }

    #[test]
    fn the_two_lines_are_read() {
        let follows = "-- Follows: a.b, c.d ±14 days, e.f by pr_id, g.h +1 day, i.j ±2 days by sha";
        let found = of(&format!("-- Partition: day\n{follows}")).unwrap().unwrap();
        let input = |table: &str, through| Input { table: table.into(), through };
        assert_eq!(found.partition, "day");
        let inputs = vec![
            input("a.b", Through::Days(Reach::default())),
            input("c.d", Through::Days(Reach { before: 14, after: 14 })),
            input("e.f", Through::Key("pr_id".into())),
            input("g.h", Through::Days(Reach { before: 0, after: 1 })),
            input("i.j", Through::Near(Reach { before: 2, after: 2 }, "sha".into())),
        ];
        assert_eq!(found.follows, Follows::Tables(inputs));
        let found = of("-- Partition: day\n-- Follows: pull requests").unwrap().unwrap();
        assert_eq!(found.follows, Follows::PullRequests);
        assert_eq!(of("").unwrap(), None);
    }

    #[test]
    fn what_is_no_rule_is_told() {
        for head in [
            "-- Partition: day",
            "-- Follows: a.b",
            "-- Partition: day\n-- Follows: ab",
            "-- Partition: day\n-- Follows: a.b ±x days",
            "-- Partition: day\n-- Follows: a.b by name",
            "-- Partition: day\n-- Follows: a.b -3 days",
        ] {
            assert!(of(head).is_err(), "{head}");
        }
    }
}
