//! Whether a candidate is worse than its control: `pass`, `fail` or `inconclusive`, under repeated looks.
//!
//! Owns the comparison of two samples and what may be said of it. Two one-sided tests at the same error level share the data:
//! harm (the candidate is worse) and safety (a regression of the margin or more is excluded). The absence of evidence for
//! harm is no evidence for safety, so it is never a `pass`.
//!
//! There are two designs. With a horizon, declared before the data is seen, a group-sequential permutation test
//! ([`sequence`]); without one, betting wealth that may be looked at for ever ([`wager`]). Both rest on the exchangeability of
//! the members of a pair and on nothing else: no normality, no equal variances, ties and heavy tails allowed. What makes
//! members exchangeable is a control that runs at the same time, and one observation a unit of randomisation ([`pairs`]).
//!
//! It keeps no state: every look that the schedule has had is repeated from the rows and their times, so the same rows, in
//! any order, give the same answer, and asking again costs no error. It has no clock and no randomness but a seed.

mod effect;
mod flips;
mod pairs;
mod quantile;
pub(crate) mod random;
mod ranks;
mod rules;
mod scale;
mod sequence;
mod spending;
mod wager;
mod walk;
mod wealth;
mod words;

#[cfg(test)]
mod bars;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod simulation;

pub use effect::{Effect, normal_quantile};
pub use rules::{Direction, Margin, Rules, RulesError, TailUse};

use pairs::Paired;
use sequence::Snapshot;
use thiserror::Error;
use walk::Walk;

/// One measured value of one arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What was measured.
    pub value: f64,
    /// Its place in time, in any unit, the same for both arms; of all rows or of none.
    pub at: Option<i64>,
    /// The unit of randomisation: its rows are one observation. Of all rows of an arm or of none.
    pub unit: Option<String>,
    /// Whether the value is only known to be at least this, as of what ran into a time-out.
    pub censored: bool,
}

impl Observation {
    /// A value of which nothing else is known.
    pub fn new(value: f64) -> Self {
        Self { value, at: None, unit: None, censored: false }
    }
}

/// The two sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// What is there.
    Control = 0,
    /// What shall take its place.
    Candidate = 1,
}

impl Arm {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Candidate => "candidate",
        }
    }
}

/// What the evidence says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// A regression of the margin or more is excluded.
    Pass,
    /// Harm is shown.
    Fail,
    /// Neither.
    #[default]
    Inconclusive,
}

impl Verdict {
    /// As it is written.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Samples or rules that cannot be judged.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum JudgeError {
    /// The rules contradict themselves.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// A value that is no number, or infinite.
    #[error("a value of the {} is not a finite number", .0.name())]
    NotFinite(Arm),
    /// Rows with and without a time.
    #[error("some rows have a time and others have none")]
    SomeTimes,
    /// Rows of one arm with and without a unit.
    #[error("some rows of the {} name their unit and others do not", .0.name())]
    SomeUnits(Arm),
    /// More rows than are judged at once.
    #[error("the {} has more than {} rows", .0.name(), rules::MOST)]
    TooMany(Arm),
}

/// How the evidence was gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// Group-sequential sign-flip permutation of signed ranks, up to a declared horizon.
    Horizon,
    /// Betting wealth, without a horizon.
    Wealth,
}

impl Design {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Horizon => "gst",
            Self::Wealth => "e",
        }
    }
}

/// One arm as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Rows.
    pub rows: usize,
    /// Observations: units, or rows without one.
    pub observations: usize,
    /// Rows whose value is censored.
    pub censored: usize,
    /// Mean of the rows; none: there are none.
    pub mean: Option<f64>,
}

impl Sample {
    fn new(rows: &[Observation], observations: usize) -> Self {
        let count = rows.len() as f64;
        // Divided first: a sum may be infinite where the mean is not.
        let mut values: Vec<f64> = rows.iter().map(|row| row.value / count).collect();
        values.sort_unstable_by(f64::total_cmp);
        Self {
            rows: rows.len(),
            observations,
            censored: rows.iter().filter(|row| row.censored).count(),
            mean: (!rows.is_empty()).then(|| values.iter().sum()),
        }
    }
}

/// Shares of slow rows: those beyond the 95th percentile of both arms before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// Of the control.
    pub control: f64,
    /// Of the candidate.
    pub candidate: f64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What the evidence says.
    pub verdict: Verdict,
    /// How it was gathered.
    pub design: Design,
    /// The change of the typical value; none: there is no pair.
    pub effect: Option<Effect>,
    /// The control, as it came.
    pub control: Sample,
    /// The candidate, as it came.
    pub candidate: Sample,
    /// Observations of each arm up to the look that decided, or the last one.
    pub used: usize,
    /// Looks until then.
    pub looks: usize,
    /// The error spent until then, of either kind.
    pub alpha_spent: f64,
    /// Slow rows, where the tail is judged too; none: the verdict speaks of the typical value alone.
    pub tail: Option<Tail>,
    /// Observations of each arm that would decide, were effect and spread as they seem; none: decided, or no number would.
    pub needed: Option<usize>,
    /// Why, in words.
    pub reason: String,
    /// What to beware of.
    pub cautions: Vec<String>,
}

/// What a design comes to.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    verdict: Verdict,
    pairs: usize,
    looks: usize,
    alpha_spent: f64,
    /// Of the test of harm at the last look, in units of spread.
    bound: f64,
    is_tail_alone: bool,
    watches_tail: bool,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            pairs: 0,
            looks: 0,
            alpha_spent: 0.0,
            bound: f64::INFINITY,
            is_tail_alone: false,
            watches_tail: false,
        }
    }
}

/// Holds a candidate against its control.
///
/// An empty arm is no error: it is inconclusive, as is a control from another time unless the rules accept one.
pub fn judge(control: &[Observation], candidate: &[Observation], rules: &Rules) -> Result<Judgement, JudgeError> {
    rules.check()?;
    for (arm, rows) in [(Arm::Control, control), (Arm::Candidate, candidate)] {
        if rows.len() > rules::MOST {
            return Err(JudgeError::TooMany(arm));
        }
    }
    let paired = Paired::new(control, candidate, rules.seed)?;
    let is_refused = !paired.is_concurrent && !rules.accepts_other_time;
    let mut walk = Walk::new(&paired, rules);
    let outcome = match rules.horizon {
        _ if is_refused => Outcome::default(),
        Some(horizon) => sequence::judge(&paired, rules, horizon, &mut walk),
        None => wager::judge(&paired, rules, &mut walk),
    };
    let snapshot = Snapshot::new(&paired, rules, outcome.pairs);
    let (effect, needed) = match rules.tail {
        TailUse::Alone => (effect::of_tail(&walk.tail, outcome.bound), None),
        _ => effect::estimate(&snapshot, rules, &outcome, walk.shown()).unzip(),
    };
    let shares = |(slow, rows): (usize, usize)| slow as f64 / rows.max(1) as f64;
    let has_tail = walk.has_tail() || rules.tail == TailUse::Alone;
    let tail = (outcome.watches_tail && has_tail && outcome.pairs > 0)
        .then(|| Tail { control: shares(walk.slow_rows[0]), candidate: shares(walk.slow_rows[1]) });
    let mut judgement = Judgement {
        verdict: outcome.verdict,
        design: if rules.horizon.is_some() { Design::Horizon } else { Design::Wealth },
        effect,
        control: Sample::new(control, paired.units[0]),
        candidate: Sample::new(candidate, paired.units[1]),
        used: outcome.pairs,
        looks: outcome.looks,
        alpha_spent: outcome.alpha_spent,
        tail,
        needed: needed.flatten().filter(|_| outcome.verdict == Verdict::Inconclusive),
        reason: String::new(),
        cautions: Vec::new(),
    };
    judgement.reason = words::reason(&judgement, rules, &outcome, &walk, &paired, is_refused);
    judgement.cautions = words::cautions(&judgement, rules, &paired, control, candidate);
    Ok(judgement)
}
