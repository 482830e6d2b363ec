//! Memory that leaks, or has begun to grow.

use super::*;

#[test]
fn a_leak_is_to_be_fixed_and_gets_no_limit() {
    let leak = Leak { bytes_per_day: 168.0 * MIB as f64, days: 30, now_bytes: 5540 * MIB, ..Leak::default() };
    let mut inputs = with(state(1.0, 16 * GIB), state(1.0, 6 * GIB), |seen| seen.leak = Some(leak));
    let plan = plan(&inputs, &|_, _| None, Timestamp(30 * DAY));
    let item = &plan.items[0];
    assert_eq!((item.action, item.after), (Action::FixLeak, item.before));
    assert!(item.reason.contains("168 MiB a day") && item.guidance.contains("restart"), "{item:?}");
    assert!(!plan.applyable && plan.changes().count() == 0 && plan.for_people().count() == 1);
    // The leak does not hold back the CPU.
    inputs.candidates[0].live = state(4.0, 16 * GIB);
    let plan = super::plan(&inputs, &|_, _| None, Timestamp(30 * DAY));
    let of = |action: Action| plan.items.iter().find(|item| item.action == action).unwrap();
    assert_eq!(of(Action::Resize).after, state(1.0, 16 * GIB));
    assert!(of(Action::FixLeak).after == state(4.0, 16 * GIB) && plan.applyable);
}

#[test]
fn memory_that_has_begun_to_grow_is_not_cut_and_may_be_raised() {
    let growth = Growth { bytes_per_day: 336.0 * MIB as f64, days: 5 };
    let with_limit = |limit: u64| with(state(1.0, limit), state(1.0, 3 * GIB), |seen| seen.growth = Some(growth));
    let item = |inputs: &PlanInputs| plan(inputs, &|_, _| None, Timestamp(30 * DAY)).items[0].clone();
    let held = item(&with_limit(16 * GIB));
    assert_eq!(held.after, held.before);
    assert!(
        held.reason.contains("it has grown by 336 MiB a day for 5 days, to more than ever before"),
        "{}",
        held.reason
    );
    assert_eq!(item(&with_limit(2 * GIB)).after.memory_bytes, Some(3 * GIB));
}
