//! How a table is brought up to date without being rebuilt: two lines in the head of its SQL file.
//!
//! ```sql
//! -- Partition: event_date
//! -- Follows: staging.events, marts.usage ±1 day, marts.runs by pr_id
//! ```
//! A partition is a UTC day. It depends on the same day of the tables it follows, on days around it (`±`), or on the
//! rows that share a key with it (`by`). What is read but not named here makes the whole table anew when it changes.
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
    /// Those of the day itself and of so many days before and after it.
    Days(i32),
    /// Those with the same key; the key is one of a pull request.
    Key(String),
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
    let wrong = || format!("`Follows: {text}` should be a table, `table ±2 days` or `table by pr_id`");
    let mut words = text.split_whitespace();
    let table = words.next().filter(|table| table.contains('.')).ok_or_else(wrong)?.to_owned();
    let through = match words.collect::<Vec<_>>()[..] {
        [] => Through::Days(0),
        ["by", "pr_id"] => Through::Key("pr_id".to_owned()),
        [days, "day" | "days"] => {
            Through::Days(days.strip_prefix('±').and_then(|n| n.parse::<u16>().ok()).ok_or_else(wrong)?.into())
        }
        _ => return Err(wrong()),
    };
    Ok(Input { table, through })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::TableName;

    fn of(head: &str) -> Result<Option<Rule>, String> {
        let name = TableName { schema: "marts".into(), table: "x".into() };
        rule(&SqlFile { name, text: format!("-- One row.\n{head}\nselect 1 -- Partition: not_here") })
    }

    #[test]
    fn the_two_lines_are_read() {
        let found = of("-- Partition: day\n-- Follows: a.b, c.d ±14 days, e.f by pr_id, g.h ±1 day").unwrap().unwrap();
        let input = |table: &str, through| Input { table: table.into(), through };
        assert_eq!(found.partition, "day");
        let inputs = vec![
            input("a.b", Through::Days(0)),
            input("c.d", Through::Days(14)),
            input("e.f", Through::Key("pr_id".into())),
            input("g.h", Through::Days(1)),
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
        ] {
            assert!(of(head).is_err(), "{head}");
        }
    }
}
