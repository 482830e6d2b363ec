//! Who serves: what the folds chose and the baselines meet on held-out time; and whether people's labels help there.

use super::{Data, Learnt, both_classes};
use crate::LearnError;
use crate::metrics::brier;
use crate::odds::Search;
use domain::model::{LabelUse, Serves};

/// What was chosen on earlier folds and the baselines, each learnt from the training rows and judged on held-out time.
pub(super) struct HeldOut {
    /// The place of the best among the finalists.
    pub(super) serving: usize,
    pub(super) learnt: Learnt,
    pub(super) said: Vec<f64>,
    /// Brier score on the held-out rows of what the folds chose, and of the best.
    chosen_brier: f64,
    brier: f64,
}

impl HeldOut {
    /// Lets them compete: the best on the held-out rows serves, of equals the simplest.
    fn of(data: &mut Data, search: &Search, train: &[u32], test: &[u32], seed: u64) -> Result<Self, LearnError> {
        let truth = data.rows.truth(test);
        let mut best: Option<(usize, Learnt, Vec<f64>, f64)> = None;
        let mut chosen_brier = f64::NAN;
        for (at, found) in search.finalists.iter().enumerate() {
            let learnt = data.learn(found, train, seed)?;
            let said = learnt.say(&data.rows, train, test);
            let brier = brier(&truth, &said);
            if at == search.chosen {
                chosen_brier = brier;
            }
            if best.as_ref().is_none_or(|(.., least)| brier < *least) {
                best = Some((at, learnt, said, brier));
            }
        }
        let Some((serving, learnt, said, brier)) = best else {
            return Err(LearnError::TooLittleData("nothing could be learnt".to_owned()));
        };
        Ok(Self { serving, learnt, said, chosen_brier, brier })
    }

    pub(super) fn serves(&self, search: &Search) -> Serves {
        let (found, chosen) = (&search.finalists[self.serving], search.found());
        let why = if self.serving == search.chosen {
            format!(
                "{}: best of all candidates, on earlier folds and on held-out time (brier {:.4})",
                found.name, self.brier
            )
        } else {
            let (name, brier, other) = (found.name, self.brier, self.chosen_brier);
            format!("{name}: best of all candidates on held-out time (brier {brier:.4}, {} {other:.4})", chosen.name)
        };
        Serves { name: found.name.to_owned(), baseline: found.baseline, why }
    }
}

/// What is best on held-out time, and how many labels came from people and from outcomes and what they were worth: they are
/// learnt from unless what is learnt without them is better on held-out time.
pub(super) fn with_labels_that_help(
    data: &mut Data,
    search: &Search,
    all: &[u32],
    train: &[u32],
    test: &[u32],
    seed: u64,
) -> Result<(HeldOut, LabelUse), LearnError> {
    let with = HeldOut::of(data, search, train, test, seed)?;
    let of = |from: &[bool]| {
        let judged = || all.iter().filter(|i| from[**i as usize]);
        (judged().count(), judged().filter(|i| data.is_changed(**i)).count())
    };
    let (feedback, changed_by_feedback) = of(&data.from_feedback);
    let (outcomes, changed_by_outcomes) = of(&data.from_outcome);
    let mut labels = LabelUse {
        measured: all.len() - feedback - outcomes,
        feedback,
        changed_by_feedback,
        outcomes,
        changed_by_outcomes,
        loss_with_and_without: None,
        used: feedback + outcomes > 0,
    };
    let changed: Vec<u32> = train.iter().copied().filter(|&i| data.is_changed(i)).collect();
    // Without them, some of their rows have no label at all: then nothing can be compared on the same rows.
    if changed.is_empty() || changed.iter().any(|&i| data.measured[i as usize].is_nan()) {
        return Ok((with, labels));
    }
    // Judged by the corrected labels, which stay in the test rows: they are what we hold to be true.
    let corrected = data.rows.label.clone();
    data.use_measured(&changed);
    if both_classes(&data.rows.truth(train), "training rows").is_ok() {
        // The same candidates with other labels: to look for them again would tell what the search is worth, and not the labels.
        let without = HeldOut::of(data, search, train, test, seed)?;
        labels.loss_with_and_without = Some((with.brier, without.brier));
        if without.brier < with.brier {
            labels.used = false;
            return Ok((without, labels));
        }
    }
    data.rows.label = corrected;
    Ok((with, labels))
}
