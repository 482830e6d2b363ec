//! The usable rows of `features.runs`. Owns what counts as a usable run; refuses to learn anything.

use crate::LearnError;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::runs as col;
use domain::time::DAY;
use std::collections::HashMap;
use std::path::Path;

/// Texts as small numbers, in order of first sight.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    /// Per row.
    pub(crate) of: Vec<usize>,
}

impl Names {
    fn intern(texts: Vec<String>) -> Self {
        let mut seen = HashMap::new();
        let mut names = Vec::new();
        let of = texts.into_iter().map(|text| {
            *seen.entry(text.clone()).or_insert_with(|| {
                names.push(text);
                names.len() - 1
            })
        });
        let of = of.collect();
        Self { names, of }
    }
}

/// A row while it is chosen and ordered.
struct Row<'a> {
    started: Timestamp,
    run_id: &'a str,
    ended: Timestamp,
    duration_ms: f64,
    /// Its place in the file.
    at: usize,
}

/// Runs in order of start, one slot a run in each vector.
pub(crate) struct Runs {
    pub(crate) run_id: Vec<String>,
    pub(crate) job: Names,
    pub(crate) repo: Names,
    pub(crate) language: Names,
    pub(crate) started: Vec<Timestamp>,
    pub(crate) ended: Vec<Timestamp>,
    /// log1p of the duration in seconds.
    pub(crate) log_s: Vec<f64>,
    pub(crate) failed: Vec<bool>,
    /// One vector per name of [`col::KNOWN`]; NaN where not known.
    pub(crate) known: Vec<Vec<f64>>,
}

impl Runs {
    /// Reads what had ended by `until` and says something about the work: neither cancelled nor skipped, longer than
    /// nothing and at most a day (CI systems kill longer ones, so their length is that of a limit or a broken clock).
    pub(crate) fn read(path: &Path, until: Timestamp) -> Result<Self, LearnError> {
        let frame = Frame::read(path)?;
        let (started, ended) = (frame.times(col::STARTED_AT)?, frame.times(col::ENDED_AT)?);
        let (run_id, result) = (frame.texts(col::RUN_ID)?, frame.texts(col::RESULT)?);
        let duration_ms = frame.numbers(col::DURATION_MS)?;
        let mut rows: Vec<Row> = (0..frame.rows())
            .filter(|&i| !matches!(result[i].as_deref(), Some("cancellation" | "skip")))
            .filter_map(|at| {
                let duration_ms = Some(duration_ms[at]).filter(|ms| *ms > 0.0 && *ms <= DAY as f64 / 1000.0)?;
                let (started, ended) = (started[at]?, ended[at].filter(|ended| *ended <= until)?);
                Some(Row { started, run_id: run_id[at].as_deref()?, ended, duration_ms, at })
            })
            .collect();
        rows.sort_by(|a, b| (a.started, a.run_id).cmp(&(b.started, b.run_id)));

        let numbers = |column: &str| -> Result<Vec<f64>, LearnError> {
            let all = frame.numbers(column)?;
            Ok(rows.iter().map(|r| all[r.at]).collect())
        };
        let texts = |column: &str| -> Result<Vec<String>, LearnError> {
            let mut all = frame.texts(column)?;
            Ok(rows.iter().map(|r| all[r.at].take().unwrap_or_default()).collect())
        };
        Ok(Self {
            run_id: rows.iter().map(|r| r.run_id.to_owned()).collect(),
            job: Names::intern(texts(col::JOB_KEY)?),
            repo: Names::intern(texts(col::REPO)?),
            language: Names::intern(texts(col::LANGUAGE)?),
            started: rows.iter().map(|r| r.started).collect(),
            ended: rows.iter().map(|r| r.ended).collect(),
            log_s: rows.iter().map(|r| (r.duration_ms / 1000.0).ln_1p()).collect(),
            failed: numbers(col::FAILED)?.into_iter().map(|f| f == 1.0).collect(),
            known: col::KNOWN.iter().map(|name| numbers(name)).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.log_s.len()
    }

    /// The values of one name of [`col::KNOWN`].
    pub(crate) fn known(&self, name: &str) -> &[f64] {
        let at = col::KNOWN.iter().position(|known| *known == name);
        &self.known[at.expect("asked only for names of KNOWN")]
    }
}
