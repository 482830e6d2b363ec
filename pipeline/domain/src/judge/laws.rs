//! What holds of every sample.

use super::*;
use proptest::prelude::*;

/// Rows of one arm: values with ties, zeros and far ones, few times, few units.
fn arm(has_units: bool, may_be_below_zero: bool) -> impl Strategy<Value = Vec<Observation>> {
    let lowest = if may_be_below_zero { -3.0 } else { 0.0 };
    let value = prop_oneof![Just(lowest), Just(1.0), 0.5..2.0f64, 1.0..1e6f64];
    let row = (value, 0..40i64, 0..12u8, prop::bool::weighted(0.1)).prop_map(move |(value, at, unit, censored)| {
        let unit = has_units.then(|| format!("u{unit}"));
        Observation { value, at: Some(at), unit, censored }
    });
    prop::collection::vec(row, 0..60)
}

fn rules() -> impl Strategy<Value = Rules> {
    let margin = prop_oneof![Just(Margin::Relative(0.2)), Just(Margin::Absolute(0.5))];
    let direction = prop_oneof![Just(Direction::LowerIsBetter), Just(Direction::HigherIsBetter)];
    let horizon = prop_oneof![Just(None), (1..60usize).prop_map(Some), Just(Some(100))];
    (margin, direction, horizon, any::<u64>(), 1..50usize).prop_map(|(margin, direction, horizon, seed, looks)| Rules {
        direction,
        margin,
        horizon,
        looks,
        seed,
        // Whether arms are of one time is asked of all that is there.
        accepts_other_time: true,
        ..Rules::default()
    })
}

fn comparison() -> impl Strategy<Value = (Vec<Observation>, Vec<Observation>)> {
    (any::<bool>(), any::<bool>())
        .prop_flat_map(|(has_units, below_zero)| (arm(has_units, below_zero), arm(has_units, below_zero)))
}

fn until(rows: &[Observation], at: i64) -> Vec<Observation> {
    rows.iter().filter(|row| row.at.is_some_and(|of| of <= at)).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_of_arrival_gives_the_same_judgement(
        (control, candidate) in comparison(),
        rules in rules(),
        is_timed: bool,
        turn in any::<u64>(),
    ) {
        let mut arms = [control, candidate];
        if !is_timed {
            arms.iter_mut().flatten().for_each(|row| row.at = None);
        }
        let [control, candidate] = &arms;
        let judged = judge(control, candidate, &rules).unwrap();
        let [mut other_control, mut other_candidate] = arms.clone();
        for (arm, rows) in [&mut other_control, &mut other_candidate].into_iter().enumerate() {
            let mut order = simulation::Random::new(turn.wrapping_add(arm as u64));
            for n in (1..rows.len()).rev() {
                rows.swap(n, (order.uniform() * (n + 1) as f64) as usize);
            }
        }
        prop_assert_eq!(judge(&other_control, &other_candidate, &rules).unwrap(), judged);
    }

    #[test]
    fn a_verdict_stays_whatever_comes_later((control, candidate) in comparison(), rules in rules(), at in 0..40i64) {
        let early = judge(&until(&control, at), &until(&candidate, at), &rules).unwrap();
        let late = judge(&control, &candidate, &rules).unwrap();
        match early.verdict {
            Verdict::Inconclusive => prop_assert!(late.used >= early.used),
            verdict => {
                prop_assert_eq!((late.verdict, late.used, late.looks), (verdict, early.used, early.looks));
                prop_assert_eq!((late.effect, late.alpha_spent), (early.effect, early.alpha_spent));
            }
        }
    }

    #[test]
    fn no_more_error_is_spent_than_there_is((control, candidate) in comparison(), rules in rules()) {
        let judged = judge(&control, &candidate, &rules).unwrap();
        prop_assert!(judged.alpha_spent <= rules.alpha + 1e-12);
        prop_assert!(judged.used <= rules.horizon.unwrap_or(usize::MAX));
        if let Some(Effect { change, lower, upper, .. }) = judged.effect {
            prop_assert!(change.is_finite());
            prop_assert!(lower.is_none_or(|lower| lower <= change + 1e-6 * change.abs().max(1.0)), "{lower:?} {change}");
            prop_assert!(upper.is_none_or(|upper| upper >= change - 1e-6 * change.abs().max(1.0)), "{change} {upper:?}");
        }
    }
}
