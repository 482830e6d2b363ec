//! Data checks: what the documentation of each table promises, what the files of `sql/checks` find, and that every file
//! of every table is there.

use crate::delta::table;
use crate::documentation::{Rule, TableDocumentation, documented};
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model;
use domain::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

/// Something that is not as it must be.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: String,
    /// About what.
    pub subject: String,
    /// What is wrong.
    pub finding: String,
}

impl Lake {
    /// Runs every check; gives their names and what they found.
    pub async fn check(&self, now: Timestamp) -> Result<(Vec<String>, Vec<Finding>), LakeError> {
        let (mut names, mut findings) = (vec!["files".to_owned()], Vec::new());
        self.check_files(&mut findings).await?;
        if !findings.is_empty() {
            return Ok((names, findings)); // what is not there cannot be asked
        }
        let session = self.session(now).await?;
        // What was never built is nothing to find fault with; views are there when what they read is.
        let there = |name: &str| match name.split_once('.') {
            Some(("session", _)) => false,
            Some(("features", _)) => session.context.table_exist(name).unwrap_or(false),
            _ => session.versions.contains_key(name),
        };
        for table in documented().filter(|table| there(&table.name)) {
            session.check_table(table, &mut findings).await?;
            names.push(table.name.clone());
        }
        for file in model::files("checks") {
            // A table that was never built is nothing to find fault with.
            let reads = model::references(&file, &session.context)?;
            let missing = |name: &String| {
                !session.versions.contains_key(name) && !name.starts_with("staging.") && !name.starts_with("session.")
            };
            if reads.iter().any(missing) {
                continue;
            }
            for row in session.query(&file.text).await?.to_json()? {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                findings.push(Finding {
                    check: file.name.table.clone(),
                    subject: text("subject"),
                    finding: text("finding"),
                });
            }
            names.push(file.name.table);
        }
        Ok((names, findings))
    }

    /// Every Parquet file that a table's log names is there with its recorded size.
    async fn check_files(&self, findings: &mut Vec<Finding>) -> Result<(), LakeError> {
        let tables = self.tables().await?;
        if !tables.is_empty() && !tables.iter().any(|name| name.to_string() == "staging.events") {
            findings.push(Finding {
                check: "files".into(),
                subject: "staging.events".into(),
                finding: "is gone, while tables made from it are there".into(),
            });
        }
        for name in tables {
            let Some(open) = table::open(&self.store, &name).await? else { continue };
            let folder = format!("{}/{}", name.schema, name.table);
            let there: HashMap<String, u64> = self.store.files(&folder).await?.into_iter().collect();
            let snapshot = open.snapshot().map_err(LakeError::table("read", name.to_string()))?;
            for file in snapshot.log_data().iter() {
                let path = self.store.path(&format!("{folder}/{}", file.path())).to_string();
                let finding = match there.get(&path) {
                    None => "is missing".to_owned(),
                    Some(size) if *size as i64 != file.size() => {
                        format!("has {size} bytes where the log says {}", file.size())
                    }
                    Some(_) => continue,
                };
                findings.push(Finding { check: "files".into(), subject: format!("{name}: {}", file.path()), finding });
            }
        }
        Ok(())
    }
}

impl Session {
    /// Key, ranges, values, references and freshness of one table, as its documentation says them.
    async fn check_table(&self, table: &TableDocumentation, findings: &mut Vec<Finding>) -> Result<(), LakeError> {
        let mut find = |subject: String, finding: String| {
            findings.push(Finding { check: table.name.clone(), subject, finding });
        };
        let name = &table.name;
        let example = match table.key.as_slice() {
            [] => "cast(null as varchar)".to_owned(),
            key => format!("concat_ws(' ', {})", list(key, |column| format!("cast(\"{column}\" as varchar)"))),
        };

        // One pass for all that a row shows by itself.
        let rules = || table.columns.iter().flat_map(|column| column.rules.iter().map(move |rule| (column, rule)));
        let own: Vec<(String, &Rule, String)> =
            rules().filter_map(|(c, rule)| Some((c.name.clone(), rule, rule.broken_by(&c.name)?))).collect();
        if !own.is_empty() {
            let sums = own.iter().enumerate().map(|(i, (.., broken))| {
                format!(
                    "count(case when {broken} then 1 end) as n{i}, min(case when {broken} then {example} end) as e{i}"
                )
            });
            let row = self.row(&format!("select {} from {name}", sums.collect::<Vec<_>>().join(", "))).await?;
            for (i, (column, rule, _)) in own.iter().enumerate() {
                let rows = row[format!("n{i}")].as_i64().unwrap_or_default();
                if rows > 0 {
                    let such = row[format!("e{i}")].as_str().map(|e| format!(", such as {e}")).unwrap_or_default();
                    find(format!("{name}.{column}"), format!("is not `{rule}` in {}{such}", rows_of(rows)));
                }
            }
        }

        if !table.key.is_empty() {
            let key = list(&table.key, |column| format!("\"{column}\""));
            let query = format!(
                "select count(*) as n, min(e) as e from (
                    select {example} as e from {name} group by {key} having count(*) > 1
                )"
            );
            let row = self.row(&query).await?;
            let keys = row["n"].as_i64().unwrap_or_default();
            if keys > 0 {
                let such = row["e"].as_str().unwrap_or_default();
                let keys = if keys == 1 { "1 key is".to_owned() } else { format!("{keys} keys are") };
                find(
                    format!("{name} ({})", table.key.join(", ")),
                    format!("{keys} there more than once, such as {such}"),
                );
            }
        }

        for (column, rule) in rules() {
            let Rule::References(other, there) = rule else { continue };
            if !self.context.table_exist(other.as_str()).unwrap_or(false) {
                continue;
            }
            let (column, there) = (&column.name, there);
            let query = format!(
                "select count(*) as n, min(cast(t.\"{column}\" as varchar)) as e
                from {name} t left anti join {other} o on t.\"{column}\" = o.\"{there}\"
                where t.\"{column}\" is not null"
            );
            let row = self.row(&query).await?;
            let rows = row["n"].as_i64().unwrap_or_default();
            if rows > 0 {
                let such = row["e"].as_str().unwrap_or_default();
                find(format!("{name}.{column}"), format!("is not `{rule}` in {}, such as {such}", rows_of(rows)));
            }
        }

        if let Some((column, days)) = &table.fresh {
            let query = format!(
                "select cast(max(\"{column}\") as varchar) as newest,
                    max(\"{column}\") < (select now from session.clock) - interval '{days} days' as stale
                from {name} where \"{column}\" <= (select now from session.clock)"
            );
            let row = self.row(&query).await?;
            if row["stale"] == true {
                let newest = row["newest"].as_str().unwrap_or_default();
                find(name.clone(), format!("its newest {column} is {newest}, more than {days} days ago"));
            }
        }
        Ok(())
    }

    async fn row(&self, query: &str) -> Result<Value, LakeError> {
        Ok(self.query(query).await?.to_json()?.into_iter().next().unwrap_or(Value::Null))
    }
}

fn list(columns: &[String], of: impl Fn(&String) -> String) -> String {
    columns.iter().map(of).collect::<Vec<_>>().join(", ")
}

fn rows_of(rows: i64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}
