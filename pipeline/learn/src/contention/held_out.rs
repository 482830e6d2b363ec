//! Who serves: what the folds chose and the baselines meet on held-out time; and whether people's labels help there.

use super::{Data, Learnt, both_classes};
use crate::LearnError;
use crate::choose::{clusters, standard_error};
use crate::metrics::{brier_losses, is_calibrated, mean};
use crate::odds::Search;
use domain::model::{LabelUse, Serves};

/// Of more rows the Brier score alone tells who is the best: it is calibration too.
const JUDGED_AT_MOST: usize = 10_000;

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
    /// Lets them compete: the best on the held-out rows serves, of equals the simplest. Of those that one standard error does not
    /// tell from the best, one that is calibrated on these rows goes before one that is not.
    fn of(data: &mut Data, search: &Search, train: &[u32], test: &[u32], seed: u64) -> Result<Self, LearnError> {
        let truth = data.rows.truth(test);
        let stretches = clusters(test.iter());
        let mut tried = Vec::new();
        for found in &search.finalists {
            let learnt = data.learn(found, train, seed)?;
            let said = learnt.say(&data.rows, train, test);
            let losses = brier_losses(&truth, &said);
            tried.push((mean(losses.iter().copied()), losses, said, learnt));
        }
        let chosen_brier = tried[search.chosen].0;
        let mut order: Vec<usize> = (0..tried.len()).collect();
        order.sort_by(|&a, &b| tried[a].0.total_cmp(&tried[b].0));
        let (least, losses, ..) = &tried[order[0]];
        let is_sound = |at: &&usize| {
            let (brier, of, said, _) = &tried[**at];
            let near = test.len() <= JUDGED_AT_MOST && *brier - least <= standard_error(of, losses, &stretches);
            near && is_calibrated(&truth, said, seed)
        };
        let serving = *order.iter().find(is_sound).unwrap_or(&order[0]);
        let (brier, _, said, learnt) = tried.swap_remove(serving);
        Ok(Self { serving, learnt, said, chosen_brier, brier })
    }

    pub(super) fn serves(&self, search: &Search) -> Serves {
        let (found, chosen) = (&search.finalists[self.serving], search.found());
        let (name, brier, other) = (found.name, self.brier, self.chosen_brier);
        let why = if self.serving == search.chosen {
            format!("{name}: best of all candidates, on earlier folds and on held-out time (brier {brier:.4})")
        } else {
            let (name, other_name) = (found.described(), chosen.described());
            format!("{name}: best of all candidates on held-out time (brier {brier:.4}, {other_name} {other:.4})")
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
