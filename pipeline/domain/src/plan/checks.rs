//! What must hold for a plan to be applied, and what its reader should know.

use super::{Check, Item, PlanInputs};
use crate::Timestamp;
use crate::time::DAY;

pub(super) fn checks(inputs: &PlanInputs, items: &[Item], now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |name: &str, passed: bool, blocking: bool, detail: String| {
        checks.push(Check { name: name.into(), passed, blocking, detail });
    };
    let crossed: Vec<_> = items
        .iter()
        .filter(|item| {
            inputs
                .overrides
                .find(&item.resource, now)
                .is_some_and(|rule| rule.constrain(item.before, item.after).0 != item.after)
        })
        .map(|item| item.resource.as_str())
        .collect();
    check("overrides_respected", crossed.is_empty(), true, format!("{} items cross an override", crossed.len()));
    let age_days = (now.0 - inputs.data_watermark.0) as f64 / DAY as f64;
    check("data_fresh", age_days <= 7.0, false, format!("the newest event is {age_days:.1} days old"));
    if let Some(ours) = inputs.backtest.get(&inputs.policy) {
        for (name, peer) in inputs.backtest.iter().filter(|(name, _)| *name == "vpa" || *name == "krr") {
            let detail = format!(
                "over memory {:.3} % of samples, {name} {:.3} %; throttled {:.2} %, {name} {:.2} %",
                ours.oom_rate * 100.0,
                peer.oom_rate * 100.0,
                ours.throttled_rate * 100.0,
                peer.throttled_rate * 100.0
            );
            let safe = ours.oom_rate <= peer.oom_rate + 1e-9 || ours.throttled_rate <= peer.throttled_rate + 1e-9;
            check(&format!("backtest_beside_{name}"), safe, false, detail);
        }
        let worst =
            inputs.backtest.iter().filter(|(n, _)| **n != inputs.policy).map(|(_, r)| r.oom_rate).fold(0.0, f64::max);
        let detail =
            format!("over memory {:.3} % of samples, worst peer {:.3} %", ours.oom_rate * 100.0, worst * 100.0);
        check("backtest_memory_safe", ours.oom_rate <= worst.max(0.001), true, detail);
    } else {
        check("backtest_memory_safe", false, true, "no days to replay".into());
    }
    if inputs.target.kind == "observed" {
        check("live_target", false, true, "limits are the last ones observed; give --target to apply".into());
    }
    checks
}
