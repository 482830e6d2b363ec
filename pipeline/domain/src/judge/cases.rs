//! Samples that are strange, thin or wrong: each has an answer, and none is a guess.

use super::*;

fn rows(values: &[f64]) -> Vec<Observation> {
    values.iter().map(|value| Observation::new(*value)).collect()
}

/// With a time each.
fn timed(values: &[f64]) -> Vec<Observation> {
    let at = |(n, value): (usize, &f64)| Observation { at: Some(n as i64), ..Observation::new(*value) };
    values.iter().enumerate().map(at).collect()
}

fn with_horizon(horizon: usize) -> Rules {
    Rules { horizon: Some(horizon), ..Rules::default() }
}

/// The verdict with and without a horizon.
fn verdicts(control: &[Observation], candidate: &[Observation], horizon: usize) -> [Verdict; 2] {
    let open = Rules::default();
    [with_horizon(horizon), open].map(|rules| judge(control, candidate, &rules).unwrap().verdict)
}

#[test]
fn kayentas_examples_have_the_verdicts_that_the_data_bear() {
    // spinnaker#6278: seven of ten a hundred times slower, and passed.
    let candidate = [100.0, 100.0, 100.0, 1.0, 100.0, 100.0, 1.0, 100.0, 1.0, 100.0];
    for make in [rows, timed] {
        assert_eq!(verdicts(&make(&[1.0; 10]), &make(&candidate), 10), [Verdict::Fail; 2]);
    }
    // kayenta#426: three of six minutes with an error, where there was none (p = 1/8 at best).
    let candidate = [0.0, 1.0, 2.0, 1.0, 0.0, 0.0];
    for make in [rows, timed] {
        assert_eq!(verdicts(&make(&[0.0; 6]), &make(&candidate), 6), [Verdict::Inconclusive; 2]);
    }
}

#[test]
fn no_data_and_an_empty_arm_are_inconclusive() {
    let some = rows(&[1.0, 2.0]);
    for rules in [with_horizon(20), Rules::default()] {
        for (control, candidate, says) in [
            (&[][..], &[][..], "there is no data"),
            (&some[..], &[][..], "the candidate has no data"),
            (&[][..], &some[..], "the control has no data"),
        ] {
            let judgement = judge(control, candidate, &rules).unwrap();
            assert_eq!(judgement.verdict, Verdict::Inconclusive);
            assert_eq!((judgement.reason.as_str(), judgement.effect, judgement.needed), (says, None, None));
            assert_eq!((judgement.looks, judgement.alpha_spent), (0, 0.0));
        }
    }
}

#[test]
fn one_observation_of_each_arm_shows_nothing() {
    let judgement = judge(&rows(&[1.0]), &rows(&[1000.0]), &with_horizon(20)).unwrap();
    assert_eq!((judgement.verdict, judgement.used), (Verdict::Inconclusive, 1));
    assert_eq!(verdicts(&rows(&[1.0]), &rows(&[1000.0]), 20), [Verdict::Inconclusive; 2]);
}

#[test]
fn values_that_are_no_numbers_are_an_error() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = judge(&rows(&[1.0]), &rows(&[bad]), &Rules::default()).unwrap_err();
        assert_eq!(error, JudgeError::NotFinite(Arm::Candidate));
    }
}

#[test]
fn values_that_never_differ_pass_when_there_are_enough_of_them() {
    // A step that one in five takes would have shown in 25 of 25.
    assert_eq!(verdicts(&timed(&[7.0; 25]), &timed(&[7.0; 25]), 25), [Verdict::Pass; 2]);
    assert_eq!(verdicts(&timed(&[7.0; 8]), &timed(&[7.0; 8]), 25), [Verdict::Inconclusive; 2]);
    let judgement = judge(&timed(&[7.0; 25]), &timed(&[7.0; 25]), &with_horizon(25)).unwrap();
    assert!(judgement.effect.unwrap().change.abs() < 1e-6);
}

#[test]
fn nothing_but_zeros_shows_nothing() {
    let zeros = timed(&[0.0; 50]);
    assert_eq!(verdicts(&zeros, &zeros, 50), [Verdict::Inconclusive; 2]);
}

#[test]
fn far_apart_values_overflow_nothing() {
    let low = timed(&[f64::MIN_POSITIVE; 12]);
    let high = timed(&[f64::MAX; 12]);
    assert_eq!(verdicts(&low, &high, 12), [Verdict::Fail; 2]);
    assert_eq!(verdicts(&high, &low, 12), [Verdict::Pass; 2]);
    let negative = timed(&[-f64::MAX; 12]);
    for rules in [with_horizon(12), Rules::default(), Rules { margin: Margin::Absolute(1.0), ..with_horizon(12) }] {
        assert_eq!(judge(&negative, &high, &rules).unwrap().verdict, Verdict::Fail);
        assert_ne!(judge(&high, &negative, &rules).unwrap().verdict, Verdict::Fail);
    }
}

#[test]
fn below_zero_a_share_means_nothing_and_an_amount_does() {
    let control: Vec<f64> = (0..30).map(|i| f64::from(i % 7) - 3.0).collect();
    let candidate: Vec<f64> = (0..30).map(|i| f64::from((i + 3) % 7) - 3.0).collect();
    let judgement = judge(&timed(&control), &timed(&candidate), &with_horizon(30)).unwrap();
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(judgement.reason.contains("in the metric's unit"), "{}", judgement.reason);
    let by_amount = Rules { margin: Margin::Absolute(6.0), ..with_horizon(30) };
    assert_eq!(judge(&timed(&control), &timed(&candidate), &by_amount).unwrap().verdict, Verdict::Pass);
    let worse: Vec<f64> = control.iter().map(|value| value + 6.0).collect();
    assert_eq!(verdicts(&timed(&control), &timed(&worse), 30), [Verdict::Fail; 2]);
}

#[test]
fn which_way_is_worse_is_a_rule() {
    let (fast, slow) = (timed(&[10.0; 12]), timed(&[13.0; 12]));
    let higher = |horizon| Rules { direction: Direction::HigherIsBetter, ..with_horizon(horizon) };
    assert_eq!(judge(&fast, &slow, &with_horizon(12)).unwrap().verdict, Verdict::Fail);
    let judgement = judge(&fast, &slow, &higher(12)).unwrap();
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert!((judgement.effect.unwrap().change - 0.3).abs() < 1e-6);
    assert_eq!(judge(&slow, &fast, &higher(12)).unwrap().verdict, Verdict::Fail);
}

#[test]
fn a_control_of_another_time_is_refused_unless_it_is_accepted() {
    let control = timed(&[10.0; 20]);
    let later: Vec<_> =
        control.iter().map(|row| Observation { at: row.at.map(|at| at + 20), value: 13.0, ..row.clone() }).collect();
    let judgement = judge(&control, &later, &with_horizon(20)).unwrap();
    assert_eq!((judgement.verdict, judgement.looks), (Verdict::Inconclusive, 0));
    assert!(judgement.reason.contains("another time"));
    let accepting = Rules { accepts_other_time: true, ..with_horizon(20) };
    let judgement = judge(&control, &later, &accepting).unwrap();
    assert_eq!(judgement.verdict, Verdict::Fail);
    assert!(judgement.cautions.iter().any(|caution| caution.contains("another time")));
}

#[test]
fn rows_of_one_unit_are_one_observation() {
    // One user of each arm, and a hundred requests of each: still one observation.
    let of = |unit: &str, value: f64| -> Vec<Observation> {
        let row = |at| Observation { at: Some(at), unit: Some(unit.into()), ..Observation::new(value) };
        (0..100).map(row).collect()
    };
    let judgement = judge(&of("a", 1.0), &of("b", 2.0), &with_horizon(10)).unwrap();
    assert_eq!((judgement.verdict, judgement.used), (Verdict::Inconclusive, 1));
    assert_eq!((judgement.control.rows, judgement.control.observations), (100, 1));
    // Who is in both arms is compared with himself.
    let both = judge(&of("a", 1.0), &of("a", 2.0), &with_horizon(10)).unwrap();
    assert!(both.cautions.iter().any(|caution| caution.contains("in both arms")));
}

#[test]
fn a_limit_that_nobody_declared_is_mentioned() {
    let control: Vec<f64> = (0..20).map(|i| f64::from(600 + 60 * i).min(1200.0)).collect();
    let judgement = judge(&timed(&control), &timed(&control), &with_horizon(20)).unwrap();
    assert!(judgement.cautions.iter().any(|caution| caution.contains("1200")), "{:?}", judgement.cautions);
    let steps: Vec<f64> = (0..20).map(|i| f64::from(i % 3)).collect();
    let judgement = judge(&timed(&steps), &timed(&steps), &with_horizon(20)).unwrap();
    assert!(judgement.cautions.is_empty(), "{:?}", judgement.cautions);
}

#[test]
fn the_interval_says_what_the_verdict_says() {
    let values = |ratio: f64| -> Vec<f64> { (0..20u32).map(|i| ratio * (100.0 + f64::from(i * 7919 % 11))).collect() };
    let control = timed(&values(1.0));
    for rules in [with_horizon(20), Rules::default()] {
        let fail = judge(&control, &timed(&values(1.3)), &rules).unwrap();
        assert!(fail.effect.unwrap().lower.unwrap() > 0.0, "{fail:?}");
        assert!((fail.effect.unwrap().change - 0.3).abs() < 0.02);
        let pass = judge(&control, &timed(&values(0.99)), &rules).unwrap();
        assert!(pass.verdict == Verdict::Pass && pass.effect.unwrap().upper.unwrap() < 0.2, "{pass:?}");
    }
}
