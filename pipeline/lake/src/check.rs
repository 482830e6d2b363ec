//! Data checks: each file of `sql/checks` finds rows that must not be; and every file of every table must be there.

use crate::error::LakeError;
use crate::lake::Lake;
use crate::model;
use crate::table;
use domain::Timestamp;
use serde::Serialize;
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
