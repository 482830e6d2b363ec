//! `privacy audit`: how much the lake holds of people, and whether anything slipped through. No value is ever shown.

use super::ModelMark;
use super::scan::{self, texts};
use crate::delta::store::MARKER;
use crate::delta::table;
use crate::error::LakeError;
use crate::lake::Lake;
use arrow::array::{Array, TimestampMicrosecondArray};
use domain::Timestamp;
use domain::privacy::{Known, Privacy, is_leak, is_suspicious, people_in};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Rows of a column that name people by hash.
#[derive(Clone, Debug, Serialize)]
pub struct People {
    /// `schema.table`.
    pub table: String,
    /// Its column.
    pub column: String,
    /// Rows with at least one hash.
    pub rows: u64,
    /// The earliest of these rows, where the table has a time.
    pub earliest: Option<Timestamp>,
    /// The latest.
    pub latest: Option<Timestamp>,
}

/// Rows of a column that hold what should not have been stored.
#[derive(Clone, Debug, Serialize)]
pub struct Leak {
    /// `schema.table`.
    pub table: String,
    /// Its column.
    pub column: String,
    /// Rows with an e-mail address, a secret, a name or a home folder.
    pub rows: u64,
}

/// What the lake holds of people.
#[derive(Clone, Debug, Serialize)]
pub struct Audit {
    /// Of the key under which people are hashed.
    pub key_fingerprint: String,
    /// Distinct hashes in the tables.
    pub people: usize,
    /// How many were erased.
    pub erased: usize,
    /// Erased people of whom a table still holds something: the erasure was broken off, or somebody restored a backup.
    pub erased_but_found: usize,
    /// Where they are.
    pub columns: Vec<People>,
    /// What should not be there.
    pub leaks: Vec<Leak>,
    /// What looks like it by rules that masking does not have, and somebody should look at.
    pub suspicious: Vec<Leak>,
    /// Where somebody stands by name whom the lake knows by hash; none where the lake's key was not given, which is needed to
    /// find them.
    pub named: Option<Vec<Leak>>,
    /// The models, all of them trained on what people did.
    pub models: Vec<ModelMark>,
}

#[derive(Default)]
struct Count {
    rows: u64,
    leaks: u64,
    suspicious: u64,
    span: Option<(i64, i64)>,
}

impl Lake {
    /// Reads every text of every table; with the lake's key twice, to find those by name whom it holds by hash.
    pub async fn privacy_audit(
        &self,
        key: Option<&Privacy>,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Audit, LakeError> {
        let mut owners: HashSet<String> = HashSet::new();
        let erased = self.erased().await?;
        let mut people: HashSet<String> = HashSet::new();
        let mut counts: BTreeMap<(String, String), Count> = BTreeMap::new();
        for name in self.tables().await? {
            progress(&name.to_string());
            let Some(table) = table::open(&self.store, &name).await? else { continue };
            for file in scan::live(&name, &table)? {
                scan::batches(&self.store, &name, &file.path, &mut |batch| {
                    let times = batch
                        .columns()
                        .iter()
                        .find_map(|c| c.as_any().downcast_ref::<TimestampMicrosecondArray>().cloned());
                    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                        let texts = texts(column).map_err(LakeError::columns(&name.to_string()))?;
                        let Some(texts) = texts else { continue };
                        let count = counts.entry((name.to_string(), field.name().clone())).or_default();
                        for (row, text) in texts.iter().enumerate() {
                            let Some(text) = text else { continue };
                            // Who owns a repository is kept by design.
                            if field.name() == "repo"
                                && let Some((owner, _)) = text.split_once('/')
                                && !owners.contains(owner)
                            {
                                owners.insert(owner.to_owned());
                            }
                            let leaks = is_leak(text);
                            count.leaks += u64::from(leaks);
                            count.suspicious += u64::from(!leaks && is_suspicious(text));
                            let before = count.rows;
                            for hash in people_in(text) {
                                count.rows = before + 1;
                                if !people.contains(hash) {
                                    people.insert(hash.to_owned());
                                }
                            }
                            let time = times.as_ref().filter(|times| count.rows > before && !times.is_null(row));
                            if let Some(time) = time.map(|times| times.value(row)) {
                                let (first, last) = count.span.unwrap_or((time, time));
                                count.span = Some((first.min(time), last.max(time)));
                            }
                        }
                    }
                    Ok(())
                })
                .await?;
            }
        }
        let (mut columns, mut leaks, mut suspicious) = (Vec::new(), Vec::new(), Vec::new());
        for ((table, column), count) in counts {
            if count.leaks > 0 {
                leaks.push(Leak { table: table.clone(), column: column.clone(), rows: count.leaks });
            }
            if count.suspicious > 0 {
                suspicious.push(Leak { table: table.clone(), column: column.clone(), rows: count.suspicious });
            }
            if count.rows > 0 {
                let (earliest, latest) = count.span.map(|(a, b)| (Timestamp(a), Timestamp(b))).unzip();
                columns.push(People { table, column, rows: count.rows, earliest, latest });
            }
        }
        let named = match key {
            Some(key) => Some(self.named(Known::new(key, &people, &owners), progress).await?),
            None => None,
        };
        let marker: Option<Value> = self.store.get_json(MARKER).await?;
        let fingerprint = marker.and_then(|m| m["pseudonym_key_fingerprint"].as_str().map(str::to_owned));
        Ok(Audit {
            key_fingerprint: fingerprint.unwrap_or_default(),
            people: people.len(),
            erased: erased.len(),
            erased_but_found: people.intersection(&erased).count(),
            columns,
            leaks,
            suspicious,
            named,
            models: self.model_cards().await?.into_iter().map(|(mark, _)| mark).collect(),
        })
    }

    /// The rows that name somebody.
    async fn named(
        &self,
        mut known: Known<'_>,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Vec<Leak>, LakeError> {
        let mut rows: BTreeMap<(String, String), u64> = BTreeMap::new();
        for name in self.tables().await? {
            progress(&name.to_string());
            let Some(table) = table::open(&self.store, &name).await? else { continue };
            for file in scan::live(&name, &table)? {
                scan::batches(&self.store, &name, &file.path, &mut |batch| {
                    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                        let texts = texts(column).map_err(LakeError::columns(&name.to_string()))?;
                        let found = texts.iter().flatten().flatten().filter(|text| known.is_named(text)).count() as u64;
                        if found > 0 {
                            *rows.entry((name.to_string(), field.name().clone())).or_default() += found;
                        }
                    }
                    Ok(())
                })
                .await?;
            }
        }
        Ok(rows.into_iter().map(|((table, column), rows)| Leak { table, column, rows }).collect())
    }
}
