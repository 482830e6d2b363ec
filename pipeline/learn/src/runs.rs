//! The usable rows of `features.runs`. Owns what counts as a usable run; refuses to learn anything.

use crate::LearnError;
use crate::frame::Frame;
use crate::interner::Interner;
use crate::quantity::Quantity;
use domain::Timestamp;
use domain::columns::runs as col;
use domain::time::DAY;
use std::path::Path;

/// The end of a run that is only expected.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// Texts as small numbers, in order of first sight.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<String>,
    /// Per row.
    pub(crate) of: Vec<usize>,
}

impl Names {
    /// Whether a row has a name at all.
    pub(crate) fn known(&self, row: usize) -> bool {
        !self.names[self.of[row]].is_empty()
    }

    fn intern(texts: Vec<String>) -> Self {
        let mut names = Interner::default();
        let of = texts.iter().map(|text| names.of(text) as usize).collect();
        Self { names: names.names, of }
    }
}

/// A row while it is chosen and ordered.
struct Row<'a> {
    started: Timestamp,
    run_id: &'a str,
    ended: Timestamp,
    value: f64,
    /// Its place in the file.
    at: usize,
}

/// Runs in order of start, one slot a run in each vector.
pub(crate) struct Runs {
    pub(crate) run_id: Vec<String>,
    pub(crate) job: Names,
    pub(crate) repo: Names,
    pub(crate) language: Names,
    pub(crate) branch: Names,
    /// Who began it, as a keyed hash.
    pub(crate) author: Names,
    pub(crate) started: Vec<Timestamp>,
    pub(crate) ended: Vec<Timestamp>,
    /// log1p of what is predicted.
    pub(crate) value: Vec<f64>,
    pub(crate) failed: Vec<bool>,
    /// log1p of the changed lines, those of tests too.
    pub(crate) churn: Vec<f64>,
    /// One vector per name of [`col::KNOWN`]; NaN where not known.
    pub(crate) known: Vec<Vec<f64>>,
}

impl Runs {
    /// Reads what had ended by `until`, has `quantity` measured, and says something about the work: neither cancelled nor
    /// skipped, longer than nothing and at most a day (CI systems kill longer ones, so their length is that of a limit or
    /// a broken clock).
    /// Runs that are expected come behind them: they have no value, never end, and tell nothing of one another.
    pub(crate) fn read(
        path: &Path,
        expected: Option<&Path>,
        until: Timestamp,
        quantity: Quantity,
    ) -> Result<Self, LearnError> {
        let frame = Frame::read(path)?;
        let over = frame.rows();
        let frame = frame.and(expected)?;
        let (started, ended) = (frame.times(col::STARTED_AT)?, frame.times(col::ENDED_AT)?);
        let (run_id, result) = (frame.texts(col::RUN_ID)?, frame.texts(col::RESULT)?);
        let duration_ms = frame.numbers(col::DURATION_MS)?;
        let measured = frame.numbers(quantity.column())?;
        let mut rows: Vec<Row> = (0..frame.rows())
            .filter(|&i| !matches!(result[i].as_deref(), Some("cancellation" | "skip")))
            .filter_map(|at| {
                if at >= over {
                    let (started, run_id) = (started[at]?, run_id[at].as_deref()?);
                    return Some(Row { started, run_id, ended: NEVER, value: f64::NAN, at });
                }
                Some(duration_ms[at]).filter(|ms| *ms > 0.0 && *ms <= DAY as f64 / 1000.0)?;
                let value = Some(measured[at] / quantity.per_unit()).filter(|value| *value >= 0.0)?.ln_1p();
                let (started, ended) = (started[at]?, ended[at].filter(|ended| *ended <= until)?);
                Some(Row { started, run_id: run_id[at].as_deref()?, ended, value, at })
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
        let known = col::KNOWN.iter().map(|name| numbers(name)).collect::<Result<Vec<_>, _>>()?;
        let of = |name: &str| col::KNOWN.iter().position(|known| *known == name).map(|at| known[at].iter());
        let churn = of("src_churn").into_iter().flatten().zip(of("test_churn").into_iter().flatten());
        let churn = churn.map(|(source, tests)| (source + tests).ln_1p()).collect();
        Ok(Self {
            run_id: rows.iter().map(|r| r.run_id.to_owned()).collect(),
            job: Names::intern(texts(col::JOB_KEY)?),
            repo: Names::intern(texts(col::REPO)?),
            language: Names::intern(texts(col::LANGUAGE)?),
            branch: Names::intern(texts(col::BRANCH)?),
            author: Names::intern(texts(col::AUTHOR)?),
            started: rows.iter().map(|r| r.started).collect(),
            ended: rows.iter().map(|r| r.ended).collect(),
            value: rows.iter().map(|r| r.value).collect(),
            failed: numbers(col::FAILED)?.into_iter().map(|f| f == 1.0).collect(),
            churn,
            known,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    /// Whether a run is only expected: others must not see it, because it has not begun.
    pub(crate) fn is_expected(&self, row: usize) -> bool {
        self.ended[row] == NEVER
    }

    /// The values of one name of [`col::KNOWN`].
    pub(crate) fn known(&self, name: &str) -> &[f64] {
        let at = col::KNOWN.iter().position(|known| *known == name);
        &self.known[at.expect("asked only for names of KNOWN")]
    }
}
