//! The rules that make a plan.

mod growing;

use super::*;
use crate::hours::Hours;
use crate::nodes::Machine;
use crate::overrides::Overrides;
use crate::overrides::{Amounts, Override};
use crate::own_memory::{Setup, settings};
use crate::time::DAY;
use crate::units::{GIB, MIB};
use proptest::prelude::*;

fn state(cpu: f64, memory: u64) -> State {
    State { cpu_cores: Some(cpu), memory_bytes: Some(memory) }
}

fn inputs(live: State, target: State, samples: usize, overrides: Overrides) -> PlanInputs {
    let recommendation = Recommendation {
        resource: "dev/web".into(),
        lower: target,
        target,
        upper: target,
        samples,
        days: 14.0,
        coverage: Coverage { hours: 336.0, week_hours: 168 },
        peak: target,
        basis: "test".into(),
        ..Recommendation::default()
    };
    let candidate =
        Candidate { resource: "dev/web".into(), live, recommendation: Some(recommendation), ..Candidate::default() };
    PlanInputs {
        candidates: vec![candidate],
        overrides,
        backtest: BTreeMap::from([("ours".into(), Replay::default()), ("vpa".into(), Replay::default())]),
        policy: "ours".into(),
        model: ModelRef { name: "shadow".into(), version: "1".into() },
        targets: vec![PlannedTarget {
            id: "compose".into(),
            kind: "compose".into(),
            location: "compose.yaml".into(),
            prior_state_digest: "x".into(),
        }],
        valid_for: DAY,
        ..PlanInputs::default()
    }
}

fn made(inputs: &PlanInputs) -> Plan {
    plan(inputs, &|_, _| None, Timestamp(DAY))
}

#[test]
fn an_idle_resource_is_made_smaller_and_the_inverse_restores_it() {
    let plan = made(&inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default()));
    let item = &plan.items[0];
    assert_eq!((item.action, item.after), (Action::Resize, state(1.0, GIB)));
    assert_eq!(item.inverse.after, item.before);
    assert!(item.reason.contains("idle"), "{}", item.reason);
    assert!(plan.applyable);
}

#[test]
fn small_changes_and_thin_evidence_change_nothing() {
    let small = made(&inputs(state(1.0, GIB), state(1.05, GIB), 5000, Overrides::default()));
    assert_eq!(small.items[0].action, Action::None);
    let thin = made(&inputs(state(4.0, GIB), state(1.0, GIB), 7, Overrides::default()));
    assert_eq!(thin.items[0].action, Action::None);
    assert!(thin.items[0].reason.contains("too little evidence") && !thin.applyable);
}

#[test]
fn a_freeze_is_stronger_than_any_target() {
    let freeze = Override { resource: "dev/*".into(), freeze: true, ..Override::default() };
    let plan = made(&inputs(
        state(4.0, 8 * GIB),
        state(1.0, GIB),
        5000,
        Overrides { list: vec![freeze], ..Overrides::default() },
    ));
    assert_eq!(plan.items[0].action, Action::None);
    assert_eq!(plan.items[0].after, plan.items[0].before);
}

proptest! {
    #[test]
    fn no_item_crosses_its_override(
        live in 1u64..64, wanted in 1u64..64, floor in 1u64..32, above in 0u64..32, unlimited: bool,
    ) {
        let amounts = |gib: u64| Amounts { cpu: Some(format!("{gib}")), memory: Some(format!("{gib}GiB")) };
        let rule = Override {
            resource: "dev/*".into(),
            floor: amounts(floor),
            ceiling: amounts(floor + above),
            ..Override::default()
        };
        let live = if unlimited { State::default() } else { state(live as f64, live * GIB) };
        let inputs = inputs(live, state(wanted as f64, wanted * GIB), 5000, Overrides { list: vec![rule], ..Overrides::default() });
        let after = made(&inputs).items[0].after;
        prop_assert!((floor as f64..=(floor + above) as f64).contains(&after.cpu_cores.unwrap()));
        prop_assert!((floor * GIB..=(floor + above) * GIB).contains(&after.memory_bytes.unwrap()));
    }
}

#[test]
fn replicas_cost_each_their_own() {
    let mut inputs = inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default());
    let one = made(&inputs).items[0].projected.clone();
    inputs.candidates[0].replicas = Some(3);
    let three = made(&inputs).items[0].projected.clone();
    assert_eq!((three.cost, three.cost_before), (one.cost.map(|c| c * 3.0), one.cost_before.map(|c| c * 3.0)));
    inputs.candidates[0].replicas = Some(0);
    assert_eq!(made(&inputs).items[0].projected.cost, Some(0.0));
}

#[test]
fn a_plan_id_is_no_path() {
    let plan = made(&inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default()));
    assert!(is_plan_id(&plan.plan_id), "{}", plan.plan_id);
    for bad in ["", "p", "ledger/00000009", "p20261122T000000Z-../../ab", "../p20261122T000000Z-0123abcd", "runs"] {
        assert!(!is_plan_id(bad), "{bad}");
    }
}

#[test]
fn an_edited_plan_has_another_digest() {
    let mut plan = made(&inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default()));
    let text = serde_json::to_string(&plan).unwrap();
    let read: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(read.compute_digest(), plan.digest);
    plan.items[0].after.cpu_cores = Some(2.0);
    assert_ne!(plan.compute_digest(), plan.digest);
}

/// A plan for one resource, its past changed as said.
fn with(live: State, target: State, change: impl FnOnce(&mut Recommendation)) -> PlanInputs {
    let mut inputs = inputs(live, target, 5000, Overrides::default());
    if let Some(seen) = &mut inputs.candidates[0].recommendation {
        seen.newest = Timestamp(30 * DAY);
        change(seen);
    }
    inputs.data_watermark = Timestamp(30 * DAY);
    inputs
}

fn first(inputs: &PlanInputs) -> Item {
    plan(inputs, &|_, _| None, Timestamp(30 * DAY)).items[0].clone()
}

#[test]
fn requests_move_where_the_limits_stay_and_are_what_lies_on_a_machine() {
    let with_requests = |frozen: bool| {
        let mut inputs = with(state(2.0, 4 * GIB), state(2.0, 4 * GIB), |seen| seen.typical = state(0.4, GIB));
        inputs.candidates[0].requests = Some(state(1.0, 2 * GIB));
        if frozen {
            let rule = Override { resource: "dev/*".into(), freeze: true, ..Override::default() };
            inputs.overrides = Overrides { list: vec![rule], ..Overrides::default() };
        }
        first(&inputs)
    };
    let item = with_requests(false);
    assert_eq!((item.action, item.before), (Action::Resize, item.after));
    assert!(item.reason.contains("typical day"), "{}", item.reason);
    assert_eq!((item.reserves_before(), item.reserves_after()), (state(1.0, 2 * GIB), state(0.4, GIB)));
    let item = with_requests(true);
    assert_eq!((item.action, item.reserves_after()), (Action::None, state(1.0, 2 * GIB)), "a freeze holds both");
}

#[test]
fn limits_and_requests_hold_what_coming_runs_are_expected_to_want() {
    let coming = |demand: State, usual: State| {
        let mut inputs = with(state(2.0, 4 * GIB), state(2.0, 4 * GIB), |seen| seen.typical = state(0.4, GIB));
        inputs.candidates[0].requests = Some(state(0.4, GIB));
        inputs.candidates[0].coming = Some(Coming { demand, usual, runs: 3, job: "api/tests".into() });
        first(&inputs)
    };
    let item = coming(state(1.0, 6 * GIB), state(0.8, 3 * GIB));
    assert_eq!((item.action, item.after), (Action::Resize, state(2.0, 6 * GIB)));
    assert_eq!(item.reserves_after(), state(0.8, 3 * GIB));
    let why = "ahead of 3 coming runs; the largest, api/tests, stays below 1.00 cores and 6.0 GiB nine times in ten";
    assert!(item.reason.contains(why), "{}", item.reason);
    assert!(item.evidence.iter().any(|it| it.source == "predictions.runs"));
    let item = coming(state(1.0, 2 * GIB), state(0.2, GIB));
    assert_eq!((item.action, item.after), (Action::None, state(2.0, 4 * GIB)), "they fit");
}

#[test]
fn the_guidance_of_a_change_fits_the_kind_of_its_target() {
    let on = |kind: &str| {
        let mut inputs = inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, Overrides::default());
        inputs.targets[0].kind = kind.into();
        inputs.candidates[0].on = inputs.targets[0].id.clone();
        first(&inputs).guidance
    };
    for (kind, said) in [
        (
            "compose",
            "takes effect when the service is recreated: `apply --up`, or `docker compose up -d`; undo with `pipeline rollback`",
        ),
        ("docker", "takes effect at once, without a restart; undo with `pipeline rollback`"),
    ] {
        assert_eq!(on(kind), said, "{kind}");
    }
    for kind in ["docker", "kubernetes", "devcontainer", "exec", "observed"] {
        assert!(!on(kind).contains("docker compose") && on(kind).starts_with("takes effect "), "{kind}: {}", on(kind));
    }
}

fn overrides(text: Override) -> Overrides {
    Overrides { list: vec![text], ..Overrides::default() }
}

#[test]
fn a_kill_without_a_known_limit_counts_at_the_live_one_and_the_reason_names_it() {
    let killed = |newest: i64| Killed {
        kills: 29,
        at_bytes: Some(60 * MIB),
        newest_unknown: Some(Timestamp(newest)),
        newest: Timestamp(newest),
    };
    let live = state(1.0, 512 * MIB);
    let mut inputs = with(live, state(1.0, 320 * MIB), |seen| seen.killed = Some(killed(29 * DAY)));
    let item = first(&inputs);
    assert_eq!(item.after.memory_bytes, Some(640 * MIB));
    assert!(item.reason.contains("29 OOM kills at 512 MiB"), "{}", item.reason);
    // Raised by a plan after the kills: they counted at what was in force then, and do not raise it again.
    inputs.candidates[0].live = state(1.0, 640 * MIB);
    inputs.candidates[0].resized = Some((Timestamp(29 * DAY + 1), live));
    assert_eq!(first(&inputs).after.memory_bytes, Some(640 * MIB));
}

#[test]
fn a_limit_raised_by_hand_after_kills_is_not_cut_until_a_week_went_well() {
    let killed =
        |newest: i64| Killed { kills: 3, at_bytes: Some(512 * MIB), newest: Timestamp(newest), ..Killed::default() };
    let of = |newest: i64| {
        first(&with(state(1.0, 2 * GIB), state(1.0, 700 * MIB), |seen| seen.killed = Some(killed(newest))))
    };
    let fresh = of(25 * DAY);
    assert_eq!((fresh.action, fresh.after.memory_bytes), (Action::None, Some(2 * GIB)));
    assert!(fresh.reason.contains("short of memory until"), "{}", fresh.reason);
    assert_eq!(of(15 * DAY).after.memory_bytes, Some(700 * MIB));
}

#[test]
fn throttled_cpu_asks_for_more_than_the_limit_that_held_it() {
    let held = HeldBack { at: None, unknown: true, worst_day: 0.4, newest: Timestamp(29 * DAY) };
    let item = first(&with(state(2.0, GIB), state(1.0, GIB), |seen| seen.throttled = Some(held)));
    assert_eq!(item.after.cpu_cores, Some(2.5));
    assert!(item.reason.contains("throttled at 2.00 cores during 40 %"), "{}", item.reason);
    let squeezed = HeldBack { at: Some(GIB as f64), ..held };
    let item = first(&with(state(2.0, GIB), state(2.0, GIB / 2), |seen| seen.squeezed = Some(squeezed)));
    assert_eq!(item.after.memory_bytes, Some(5 * GIB / 4));
    assert!(item.reason.contains("waited for memory"), "{}", item.reason);
}

#[test]
fn cpu_stays_above_a_peak_that_was_seen_unless_a_risk_is_stated() {
    let mut inputs = with(state(4.0, GIB), state(0.05, GIB), |seen| seen.peak = state(3.8, GIB));
    let item = first(&inputs);
    assert_eq!((item.action, item.after.cpu_cores), (Action::None, Some(4.0)));
    assert!(item.reason.contains("seen at 3.80 cores"), "{}", item.reason);
    inputs.risk = 0.02;
    // Half of a day's work comes late below 3 cores.
    let replay = |_: &str, limits: State| {
        let late = limits.cpu_cores.map(|cores| if cores < 3.0 { 0.5 } else { 0.01 });
        Some(Replay { late_worst_day: late, ..Replay::default() })
    };
    let cut = plan(&inputs, &replay, Timestamp(30 * DAY)).items[0].after.cpu_cores.unwrap();
    assert!((3.0..3.4).contains(&cut), "{cut}");
}

#[test]
fn long_samples_leave_room_for_the_bursts_that_they_hide_and_say_so() {
    let burst = Burst { cores: 1.44, interval_s: 1800.0 };
    let item = first(&with(state(4.0, GIB), state(0.3, GIB), |seen| seen.burst = Some(burst)));
    assert_eq!(item.after.cpu_cores, Some(1.44));
    assert!(item.reason.contains("samples of 30 min hide bursts"), "{}", item.reason);
}

#[test]
fn what_has_no_limit_gets_no_new_one() {
    let item = first(&with(State { cpu_cores: None, memory_bytes: Some(4 * GIB) }, state(0.5, GIB), |_| {}));
    assert_eq!(item.after, State { cpu_cores: None, memory_bytes: Some(GIB) });
    assert!(item.reason.contains("CPU has no limit"), "{}", item.reason);
}

#[test]
fn a_resource_that_fell_silent_is_named_and_not_resized() {
    let mut inputs = with(state(4.0, 8 * GIB), state(1.0, GIB), |seen| seen.newest = Timestamp(10 * DAY));
    let item = first(&inputs);
    assert_eq!(item.action, Action::None);
    assert!(item.reason.contains("silent since 1970-01-11"), "{}", item.reason);
    // Old data is used where all of it is as old; after a month nothing is known of today.
    inputs.data_watermark = Timestamp(10 * DAY);
    assert_eq!(first(&inputs).action, Action::Resize);
    assert_eq!(plan(&inputs, &|_, _| None, Timestamp(60 * DAY)).items[0].action, Action::None);
}

#[test]
fn a_refused_figure_does_not_hold_back_the_other_and_blocks_no_plan() {
    let mut inputs = with(state(4.0, GIB), state(1.0, 4 * GIB), |_| {});
    inputs.candidates[0].refused = Refused { cpu: Some("it depends on a variable".into()), memory: None };
    let pin = Amounts { cpu: Some("1".into()), memory: None };
    inputs.overrides = overrides(Override { resource: "dev/*".into(), pin, ..Override::default() });
    let plan = plan(&inputs, &|_, _| None, Timestamp(30 * DAY));
    let item = &plan.items[0];
    assert_eq!((item.action, item.after), (Action::Resize, state(4.0, 4 * GIB)));
    assert!(item.reason.contains("CPU stays, the target would refuse: it depends on a variable"), "{}", item.reason);
    assert!(plan.applyable);
}

#[test]
fn the_gate_holds_back_the_memory_of_the_resource_that_fails_it_and_nothing_else() {
    let mut inputs = with(state(4.0, 8 * GIB), state(1.0, GIB), |_| {});
    let worse = |oom_rate: f64| Replay { oom_rate, ..Replay::default() };
    inputs.candidates[0].backtest = [("ours".to_owned(), worse(0.2)), ("vpa".to_owned(), worse(0.01))].into();
    let mut other = inputs.candidates[0].clone();
    other.resource = "dev/api".into();
    other.backtest.clear();
    inputs.candidates.push(other);
    let plan = plan(&inputs, &|_, _| None, Timestamp(30 * DAY));
    let after = |name: &str| plan.items.iter().find(|item| item.resource == name).map(|item| item.after);
    assert_eq!(after("dev/web"), Some(state(1.0, 8 * GIB)));
    assert_eq!(after("dev/api"), Some(state(1.0, GIB)));
    let check = plan.checks.iter().find(|check| check.name == "backtest_memory_safe").unwrap();
    assert!(!check.passed && !check.blocking && check.detail.contains("dev/web"), "{}", check.detail);
    assert!(plan.applyable);
}

#[test]
fn memory_is_not_cut_below_what_the_service_is_configured_to_take() {
    let setup = |command: &str| Setup { words: command.split(' ').map(str::to_owned).collect(), ..Setup::default() };
    let of = |live: u64, target: u64, command: &str| {
        let mut inputs = with(state(1.0, live), state(1.0, target), |_| {});
        inputs.candidates[0].own = settings(&setup(command));
        first(&inputs)
    };
    let cut = of(6 * GIB, 1600 * MIB, "java -Xmx4g -jar app.jar");
    assert_eq!(cut.after.memory_bytes, Some(5 * GIB));
    assert!(cut.reason.contains("-Xmx4g") && cut.guidance.contains("change -Xmx4g first"), "{cut:?}");
    let kept = of(4 * GIB, GIB, "redis-server --maxmemory 3584mb");
    assert_eq!((kept.action, kept.after.memory_bytes), (Action::None, Some(4 * GIB)));
    let share = of(8 * GIB, 3 * GIB / 2, "java -XX:MaxRAMPercentage=50 -jar a.jar");
    assert_eq!(share.after.memory_bytes, Some(3 * GIB), "all of the peak may be heap");
    let unknown = of(8 * GIB, GIB, "java -Xmx${HEAP} -jar a.jar");
    assert_eq!(unknown.after.memory_bytes, Some(8 * GIB));
    let raised = of(GIB, 2 * GIB, "java -Xmx4g -jar app.jar");
    assert_eq!(raised.after.memory_bytes, Some(2 * GIB));
    assert!(raised.guidance.contains("pin the memory at 5.0 GiB"), "{}", raised.guidance);
}

#[test]
fn nothing_is_raised_above_its_machine() {
    let wanted = state(20.0, 75 * GIB);
    let mut inputs = with(state(16.0, 60 * GIB), wanted, |_| {});
    inputs.candidates[0].machine = Machine::seen(state(16.0, 60 * GIB));
    let item = first(&inputs);
    assert_eq!((item.action, item.after), (Action::None, state(16.0, 60 * GIB)));
    assert!(item.reason.contains("seen of its machine") && item.guidance.contains("--nodes"), "{item:?}");
    inputs.candidates[0].machine = Machine { size: state(18.0, 64 * GIB), told: true };
    let item = first(&inputs);
    assert_eq!(item.after.cpu_cores, Some(18.0));
    assert!(item.reason.contains("its machine has 18.00 cores"), "{}", item.reason);
}

#[test]
fn a_pin_makes_no_machine_larger() {
    let pin = Amounts { cpu: Some("100".into()), memory: Some("900GiB".into()) };
    let rule = Override { resource: "dev/*".into(), pin, ..Override::default() };
    let mut inputs = inputs(state(4.0, 8 * GIB), state(1.0, GIB), 5000, overrides(rule));
    assert_eq!(made(&inputs).items[0].after, state(100.0, 900 * GIB), "nobody said what the machine has");
    inputs.candidates[0].machine = Machine { size: state(16.0, 64 * GIB), told: true };
    let item = made(&inputs).items[0].clone();
    assert_eq!(item.after, state(16.0, 64 * GIB));
    assert!(item.reason.contains("its machine has 16.00 cores"), "{}", item.reason);
}

#[test]
fn the_words_for_an_override_are_true() {
    let floor = Amounts { cpu: Some("1".into()), memory: Some("1GiB".into()) };
    let rule = Override { resource: "dev/*".into(), floor, reason: Some("house rule".into()), ..Override::default() };
    let mut inputs = with(state(0.5, 512 * MIB), state(0.15, 300 * MIB), |_| {});
    inputs.overrides = overrides(rule);
    let item = first(&inputs);
    assert_eq!(item.after, state(1.0, GIB));
    assert!(!item.reason.contains("starved") && !item.reason.contains("idle"), "{}", item.reason);
    assert!(item.reason.contains("CPU is raised to the floor of an override (house rule)"), "{}", item.reason);
    inputs.candidates[0].recommendation = None;
    let item = first(&inputs);
    assert!(item.action == Action::Resize && item.reason.contains("no usage recorded"), "{}", item.reason);

    let ceiling = Amounts { cpu: Some("0.5".into()), memory: Some("2GiB".into()) };
    let mut inputs = with(state(4.0, 8 * GIB), state(1.2, 4 * GIB), |_| {});
    inputs.overrides = overrides(Override { resource: "dev/*".into(), ceiling, ..Override::default() });
    let item = first(&inputs);
    assert!(item.reason.contains("below its peak of 4.0 GiB: expect OOM kills"), "{}", item.reason);
}

#[test]
fn an_override_or_a_service_that_matches_nothing_is_named() {
    let mut inputs = with(state(4.0, 8 * GIB), state(1.0, GIB), |_| {});
    inputs.overrides = overrides(Override { resource: "dev/wbe".into(), freeze: true, ..Override::default() });
    inputs.unclaimed = vec!["dev/frontend".into()];
    let note = |inputs: &PlanInputs, name: &str| {
        let plan = plan(inputs, &|_, _| None, Timestamp(30 * DAY));
        plan.checks.iter().find(|check| check.name == name && !check.passed).map(|check| check.detail.clone())
    };
    assert!(note(&inputs, "overrides_match").unwrap().contains("did you mean dev/web?"));
    assert!(note(&inputs, "services_match").unwrap().contains("dev/frontend"));
    inputs.overrides.list[0].resource = "dev/w*".into();
    inputs.unclaimed.clear();
    assert_eq!((note(&inputs, "overrides_match"), note(&inputs, "services_match")), (None, None));
    inputs.overrides.list[0].until = Some(Timestamp(DAY));
    assert!(note(&inputs, "overrides_match").unwrap().contains("ended"));
}

#[test]
fn a_calendar_is_planned_where_limits_change_without_a_restart_and_nothing_speaks_against_it() {
    let low = state(0.2, 256 * MIB);
    let calendar = |highest: State| {
        let quiet = Busy { from: 8, hours: 10, working_days: true }.quiet(low);
        let trial = Trial { days: 14, ..Trial::default() };
        Some(Calendar { highest, quiet, time_zone: "Europe/Berlin".parse().unwrap(), trial })
    };
    let of = |kind: &str, live: State, edit: fn(&mut PlanInputs)| {
        let mut inputs = inputs(live, state(1.0, GIB), 5000, Overrides::default());
        inputs.targets[0] = PlannedTarget { id: kind.into(), kind: kind.into(), ..inputs.targets[0].clone() };
        inputs.candidates[0].on = kind.into();
        inputs.candidates[0].calendar = calendar(state(1.0, GIB));
        edit(&mut inputs);
        made(&inputs).items[0].clone()
    };
    for live in [state(4.0, 8 * GIB), state(1.0, GIB)] {
        let item = of("docker", live, |_| {});
        assert_eq!((item.action, item.after), (Action::Resize, state(1.0, GIB)), "{item:?}");
        // 2026-11-28 is a Saturday; Berlin is an hour ahead of UTC, and two in summer.
        let at = |text: &str| item.limits_at(Timestamp::parse(text).unwrap());
        assert_eq!((at("2026-11-27T12:00:00Z"), at("2026-11-28T12:00:00Z")), (item.after, low));
        assert_eq!((at("2026-11-27T06:44:00Z"), at("2026-11-27T06:46:00Z")), (low, item.after));
        assert_eq!((at("2026-07-31T05:44:00Z"), at("2026-07-31T05:46:00Z")), (low, item.after));
        assert!(item.reason.contains("in its quiet hours 0.20 cores, 256 MiB every day 18:00 to 07:45 and sat, sun 07:45 to 18:00 Europe/Berlin"), "{item:?}");
        let handling = item.handling.unwrap();
        assert_eq!(handling.risk, Level::Medium, "its memory is lowered");
        let last = handling.steps.last().unwrap();
        assert!(last.contains("--memory 268435456") && last.contains("18:00 Europe/Berlin: "), "{last}");
        let evidence = item.evidence.iter().find(|it| it.what == "calendar").unwrap();
        assert!(evidence.sql.as_ref().unwrap().contains("at time zone 'Europe/Berlin'"), "{evidence:?}");
    }
    let none = |kind: &str, edit: fn(&mut PlanInputs)| {
        let item = of(kind, state(4.0, 8 * GIB), edit);
        assert_eq!((item.calendar.as_ref(), item.limits_at(Timestamp(0))), (None, item.after), "{item:?}");
    };
    none("compose", |_| {});
    none("docker", |inputs| inputs.candidates[0].calendar.as_mut().unwrap().highest = state(2.0, GIB));
    none("docker", |inputs| {
        let rule = Override {
            resource: "dev/*".into(),
            pin: Amounts { cpu: Some("1".into()), memory: None },
            ..Override::default()
        };
        inputs.overrides.list = vec![rule];
    });
    none("docker", |inputs| {
        let window = Hours { resource: "dev/*".into(), from: "08:00".into(), to: "18:00".into(), ..Hours::default() };
        inputs.overrides.window = vec![window];
    });
}

#[test]
fn what_follows_the_calendar_of_an_applied_plan_is_left_alone() {
    let mut inputs = inputs(state(0.2, 256 * MIB), state(1.0, GIB), 5000, Overrides::default());
    inputs.overrides.list = vec![Override {
        resource: "dev/*".into(),
        floor: Amounts { cpu: Some("2".into()), memory: None },
        ..Override::default()
    }];
    assert_eq!(made(&inputs).items[0].after, state(2.0, GIB));
    inputs.candidates[0].follows = Some("p20261122T000000Z-0a1b2c3d".into());
    let item = made(&inputs).items[0].clone();
    assert_eq!((item.action, item.after), (Action::None, state(0.2, 256 * MIB)), "{item:?}");
    assert!(item.reason.starts_with("its limits follow the calendar of p20261122T000000Z-0a1b2c3d"), "{item:?}");
}
