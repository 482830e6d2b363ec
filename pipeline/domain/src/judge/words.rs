//! The verdict in words, and what to beware of.

use super::pairs::Paired;
use super::rules::{Direction, Margin, Rules, TailUse};
use super::walk::{Shown, TAIL_MARGIN, TAIL_NEEDS, Walk, Why};
use super::{Judgement, Observation, Outcome, Verdict};

/// The margin as it is written.
fn margin(rules: &Rules) -> String {
    match rules.margin {
        Margin::Relative(share) => format!("{} %", rounded(share * 100.0)),
        Margin::Absolute(amount) => format!("{}", rounded(amount)),
    }
}

/// Without the noise of binary fractions.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// Why the verdict is what it is.
pub fn reason(
    judgement: &Judgement,
    rules: &Rules,
    outcome: &Outcome,
    walk: &Walk<'_>,
    paired: &Paired,
    is_refused: bool,
) -> String {
    let margin = margin(rules);
    match judgement.verdict {
        Verdict::Fail if outcome.is_tail_alone => {
            "harm is shown in the tail: more of the candidate's observations are among the worst twentieth".to_owned()
        }
        Verdict::Fail => "harm is shown: the candidate is worse than the control".to_owned(),
        Verdict::Pass if rules.tail == TailUse::Alone => {
            format!("a rise of the worst twentieth by {} points is excluded", TAIL_MARGIN * 100.0)
        }
        Verdict::Pass if outcome.watches_tail && walk.has_tail() => format!(
            "a regression of {margin} or more is excluded, and so is a rise of the worst twentieth by {} points",
            TAIL_MARGIN * 100.0
        ),
        Verdict::Pass => format!("a regression of {margin} or more is excluded"),
        Verdict::Inconclusive => inconclusive(judgement, rules, walk, paired, is_refused, &margin),
    }
}

fn inconclusive(
    judgement: &Judgement,
    rules: &Rules,
    walk: &Walk<'_>,
    paired: &Paired,
    is_refused: bool,
    margin: &str,
) -> String {
    match (judgement.control.rows, judgement.candidate.rows) {
        (0, 0) => return "there is no data".to_owned(),
        (0, _) => return "the control has no data".to_owned(),
        (_, 0) => return "the candidate has no data".to_owned(),
        _ => {}
    }
    if is_refused {
        return "the control is from another time than the candidate: any drift would look like an effect".to_owned();
    }
    match walk.shown() {
        Shown::Never(Why::BelowZero) if paired.pairs.len() >= 5 => {
            return format!(
                "harm is not shown, and {margin} of values below zero mean nothing: give the margin in the metric's unit"
            );
        }
        Shown::Never(Why::Steps) if paired.pairs.len() >= 5 => {
            return format!(
                "harm is not shown, and a mean of counts has no upper bound: judge how often they are above zero, or a \
                 margin that is a share, in place of {margin}"
            );
        }
        _ => {}
    }
    let undecided = match rules.tail {
        TailUse::Alone => {
            format!("neither more slow ones are shown nor a rise of theirs by {} points excluded", TAIL_MARGIN * 100.0)
        }
        _ => format!("neither harm is shown nor a regression of {margin} or more excluded"),
    };
    match rules.horizon {
        Some(horizon) if judgement.used >= horizon => {
            format!("{undecided}, and the horizon of {horizon} is reached: this is the final answer")
        }
        Some(horizon) if judgement.used == 0 => {
            format!("{undecided}: the first look is at {} of {horizon} observations of each arm", rules.step(horizon))
        }
        Some(horizon) => format!("{undecided} at {} of {horizon} observations of each arm", judgement.used),
        None => format!("{undecided} by {} observations of each arm", judgement.used),
    }
}

/// What to beware of.
pub fn cautions(
    judgement: &Judgement,
    rules: &Rules,
    paired: &Paired,
    control: &[Observation],
    candidate: &[Observation],
) -> Vec<String> {
    let mut cautions = Vec::new();
    if paired.pairs.is_empty() {
        return cautions;
    }
    if !paired.is_ordered {
        cautions.push(
            "without a column ts earlier looks cannot be repeated: asking again on more rows is bounded only roughly"
                .to_owned(),
        );
    }
    if !paired.is_concurrent && rules.accepts_other_time {
        cautions.push("the control is from another time: what drifted since then counts as an effect".to_owned());
    }
    if paired.in_both > 0 {
        cautions.push(format!("{} units are in both arms; each is compared with itself", paired.in_both));
    }
    if judgement.verdict == Verdict::Pass && judgement.tail.is_none() && judgement.used < TAIL_NEEDS {
        cautions.push(format!("the typical value alone is judged: a tail needs {TAIL_NEEDS} observations of each arm"));
    }
    if let Some(limit) = undeclared_limit(rules, control, candidate) {
        cautions
            .push(format!("many values are {limit}, the largest: if it is a limit, mark them in a column censored"));
    }
    cautions
}

/// The largest value when many have it that are not said to be censored, and others differ.
fn undeclared_limit(rules: &Rules, control: &[Observation], candidate: &[Observation]) -> Option<f64> {
    let rows = || control.iter().chain(candidate);
    if rules.direction == Direction::HigherIsBetter || rows().any(|row| row.censored) {
        return None;
    }
    let largest = rows().map(|row| row.value).fold(f64::NEG_INFINITY, f64::max);
    let at = rows().filter(|row| row.value == largest).count();
    let mut below: Vec<u64> = rows().filter(|row| row.value < largest).map(|row| row.value.to_bits()).collect();
    let count = at + below.len();
    below.sort_unstable();
    below.dedup();
    // Where all values are steps, the last one is no limit.
    (at >= 3 && at * 10 >= count && below.len() * 2 >= count - at && below.len() > 2).then_some(largest)
}
