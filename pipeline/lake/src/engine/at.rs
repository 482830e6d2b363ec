//! The lake as it was: which version of each table counts at a moment.
//!
//! The time of a commit is the one that the store has for its file, as in Delta's own time travel and in `lake vacuum`.

use crate::delta::table::{self, TableName};
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use chrono::{DateTime, TimeDelta, Utc};
use domain::Timestamp;
use std::fmt;

/// A moment in the life of a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// Every table at its last version at or before this time.
    Time(Timestamp),
    /// This table at this version, and every other as it was at that commit.
    Version(TableName, i64),
}

impl At {
    /// Reads an RFC 3339 time, `schema.table@version`, or a plain number: a version of `staging.events`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((table, version)) = text.rsplit_once('@') {
            let (schema, table) = table.split_once('.')?;
            let name = TableName { schema: schema.to_owned(), table: table.to_owned() };
            let plain =
                |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            return Some(Self::Version(name.clone(), version_number(version)?))
                .filter(|_| plain(&name.schema) && plain(&name.table));
        }
        if let Some(version) = version_number(text) {
            let events = TableName { schema: "staging".into(), table: "events".into() };
            return Some(Self::Version(events, version));
        }
        Timestamp::parse(text).map(Self::Time)
    }
}

fn version_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|version| *version >= 0 && !text.starts_with('+'))
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{time}"),
            Self::Version(table, version) => write!(f, "{table}@{version}"),
        }
    }
}

/// The commits of a table that its log still has, oldest first.
struct Commits(Vec<(i64, DateTime<Utc>)>);

impl Commits {
    /// The last version at or before a time.
    fn at(&self, time: DateTime<Utc>) -> Option<i64> {
        self.0.iter().take_while(|(_, at)| *at <= time).last().map(|(version, _)| *version)
    }

    fn time_of(&self, version: i64) -> Option<DateTime<Utc>> {
        self.0.iter().find(|(v, _)| *v == version).map(|(_, at)| *at)
    }

    /// Whether older commits were cut off the log.
    fn is_cut(&self) -> bool {
        self.0.first().is_some_and(|(version, _)| *version > 0)
    }
}

impl Lake {
    /// Registers the tables as they were. One that was not there yet is left out; one that is no longer readable is an error.
    pub(crate) async fn register_at(
        &self,
        session: &mut Session,
        tables: Vec<TableName>,
        at: &At,
    ) -> Result<(), LakeError> {
        let mut logs = Vec::new();
        for name in tables {
            let commits = self.commits(&name).await?;
            logs.push((name, commits));
        }
        let time = match at {
            At::Time(time) => DateTime::from_timestamp_micros(time.0).unwrap_or(DateTime::<Utc>::MAX_UTC),
            At::Version(table, version) => {
                let commits = logs.iter().find(|(name, _)| name == table).map(|(_, commits)| commits);
                let commits = commits.ok_or_else(|| LakeError::NoTable(table.to_string()))?;
                commits.time_of(*version).ok_or_else(|| LakeError::NoVersion {
                    table: table.to_string(),
                    version: *version,
                    first: commits.0.first().map_or(0, |(v, _)| *v),
                    last: commits.0.last().map_or(0, |(v, _)| *v),
                })?
            }
        };
        let mut any = false;
        for (name, commits) in logs {
            let version = match (at, commits.at(time)) {
                // Two commits of one moment: the one that was named counts.
                (At::Version(table, version), _) if *table == name => *version,
                (_, Some(version)) => version,
                (_, None) if commits.is_cut() => {
                    return Err(LakeError::Forgotten { table: name.to_string(), at: at.to_string() });
                }
                (_, None) => {
                    session.absent.push(name.to_string());
                    continue;
                }
            };
            if let Some(table) = table::open_at(&self.store, &name, version).await? {
                Self::register_table(session, &name, &table).await?;
                any = true;
            }
        }
        if any { Ok(()) } else { Err(LakeError::TooEarly(at.to_string())) }
    }

    async fn commits(&self, name: &TableName) -> Result<Commits, LakeError> {
        let entries = self.store.entries(&format!("{}/{}/_delta_log", name.schema, name.table)).await?;
        let mut commits: Vec<(i64, DateTime<Utc>)> = entries
            .iter()
            .filter_map(|entry| {
                let version = entry.location.filename()?.strip_suffix(".json")?;
                // 20 digits, as the protocol says; anything else is a checkpoint's part or a sidecar.
                let version = version.parse().ok().filter(|_| version.len() == 20)?;
                Some((version, entry.last_modified))
            })
            .collect();
        commits.sort_unstable();
        // A later version is later, whatever the clocks of two writers said: Delta adds a millisecond too.
        for i in 1..commits.len() {
            let least = commits[i - 1].1 + TimeDelta::milliseconds(1);
            commits[i].1 = commits[i].1.max(least);
        }
        Ok(Commits(commits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_version_of_the_events_or_of_a_table() {
        let table = |schema: &str, table: &str| TableName { schema: schema.into(), table: table.into() };
        assert_eq!(At::parse("7"), Some(At::Version(table("staging", "events"), 7)));
        assert_eq!(At::parse("marts.runs@0"), Some(At::Version(table("marts", "runs"), 0)));
        assert!(matches!(At::parse("2026-10-01T00:00:00Z"), Some(At::Time(_))));
        for bad in ["", "-1", "+1", "marts.runs@", "runs@1", "../x.y@1", "marts.runs@-1", "yesterday", "1e3"] {
            assert_eq!(At::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_last_version_before_a_time_counts() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let commits = Commits(vec![(3, at(10)), (4, at(20)), (5, at(30))]);
        assert_eq!(commits.at(at(9)), None);
        assert_eq!(commits.at(at(20)), Some(4));
        assert_eq!(commits.at(at(99)), Some(5));
        assert!(commits.is_cut());
    }
}
