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
        let session = self.session(now).await?;
        let (mut names, mut findings) = (Vec::new(), Vec::new());
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
        self.check_files(&mut findings).await?;
        names.push("files".into());
        Ok((names, findings))
    }

    /// Every Parquet file that a table's log names is there with its recorded size.
    async fn check_files(&self, findings: &mut Vec<Finding>) -> Result<(), LakeError> {
        for name in self.tables().await? {
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
