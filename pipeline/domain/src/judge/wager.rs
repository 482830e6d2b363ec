//! The design without a horizon: evidence is wealth (`e`), and one may look for ever.

use super::pairs::Paired;
use super::rules::{Rules, TailUse};
use super::walk::{TAIL_NEEDS, Walk};
use super::{Outcome, Verdict};

/// Bets pair by pair, and ends at the first at which the wealth of either side suffices.
///
/// The tail needs a hundred pairs: until so many are there a pass speaks of the typical value alone, and says so.
pub fn judge(paired: &Paired, rules: &Rules, walk: &mut Walk<'_>) -> Outcome {
    let line = (1.0 / rules.alpha).ln();
    let safety_line = (1.0 / rules.safety_alpha()).ln();
    let all = paired.pairs.len();
    let watches_tail = rules.tail != TailUse::Ignored && all >= TAIL_NEEDS;
    let mut is_shift_excluded = false;
    let mut outcome = Outcome { watches_tail, ..Outcome::default() };
    for size in 1..=all {
        walk.go_on(size);
        // What has no time has no earlier looks.
        let is_counted = paired.is_ordered || size == all;
        let is_harmful = is_counted && walk.harm_log() >= line;
        is_shift_excluded |= is_counted && walk.safe_log() >= safety_line;
        outcome.pairs = size;
        outcome.looks = size;
        if is_harmful {
            outcome.verdict = Verdict::Fail;
            outcome.is_tail_alone = walk.is_harm_in_tail();
        } else if is_counted && walk.is_safe(is_shift_excluded, watches_tail) {
            outcome.verdict = Verdict::Pass;
        }
        if outcome.verdict != Verdict::Inconclusive {
            break;
        }
    }
    // The wealth that refutes is reached with all of the error, at whichever look.
    outcome.alpha_spent = if outcome.looks > 0 { rules.alpha } else { 0.0 };
    outcome
}
