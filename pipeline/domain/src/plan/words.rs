//! What a plan says to its reader: why, on what evidence, and what to do.

use super::{Action, Candidate, Evidence, Recommendation};
use crate::overrides::Applied;
use crate::state::State;
use crate::units;

pub(super) fn reason(
    candidate: &Candidate,
    enough: bool,
    action: Action,
    before: State,
    after: State,
    applied: Option<&Applied>,
) -> String {
    if let Some(refused) = &candidate.refused {
        return format!("the target would refuse: {refused}");
    }
    let ruled = applied.and_then(in_words);
    if let (Some(ruled), Some("freeze" | "pin")) = (&ruled, applied.map(|a| a.rule.as_str())) {
        return ruled.clone();
    }
    let Some(seen) = candidate.recommendation.as_ref() else { return "no usage recorded".into() };
    if !enough {
        return format!("too little evidence: {} samples over {:.1} days", seen.samples, seen.days);
    }
    if action == Action::None {
        return "the limits fit what it uses".into();
    }
    let mut parts = Vec::new();
    if let (Some(new), Some(peak)) = (after.cpu_cores, seen.peak.cpu_cores)
        && before.cpu_cores != after.cpu_cores
    {
        parts.push(match before.cpu_cores {
            None => format!("CPU has no limit, peak {peak:.2}"),
            Some(old) if new > old => format!("CPU is starved: peak {peak:.2} of {old:.2} cores"),
            Some(old) => format!("CPU {}: peak {peak:.2} of {old:.2} cores", unused(peak, old)),
        });
    }
    if let (Some(new), Some(used)) = (after.memory_bytes, seen.peak.memory_bytes)
        && before.memory_bytes != after.memory_bytes
    {
        let peak = units::format_bytes(used as f64);
        let old = before.memory_bytes.map(|b| units::format_bytes(b as f64));
        parts.push(match (before.memory_bytes, old) {
            (Some(bytes), Some(old)) if new > bytes && seen.oom_kills > 0 => {
                format!("memory is starved: {} OOM kills at {old}", seen.oom_kills)
            }
            (Some(bytes), Some(old)) if new > bytes => format!("memory is starved: peak {peak} of {old}"),
            (Some(bytes), Some(old)) => {
                format!("memory {}: peak {peak} of {old}", unused(used as f64, bytes as f64))
            }
            _ => format!("memory has no limit, peak {peak}"),
        });
    }
    if let Some(expected) = candidate.expected.as_ref().filter(|e| !e.schedule.is_empty()) {
        parts.push(format!("ahead of {}", expected.schedule.join(", ")));
    }
    parts.extend(ruled);
    parts.join("; ")
}

/// What to call a limit that could be lower.
fn unused(peak: f64, limit: f64) -> &'static str {
    if peak * 2.0 <= limit { "is idle" } else { "has room" }
}

fn in_words(applied: &Applied) -> Option<String> {
    let why = applied.reason.as_deref().map_or(String::new(), |r| format!(" ({r})"));
    let what = match applied.rule.as_str() {
        "freeze" => "frozen",
        "pin" => "pinned",
        "floor" => "held up",
        "ceiling" => "held down",
        _ => return None,
    };
    Some(format!("{what} by an override{why}"))
}

pub(super) fn evidence(candidate: &Candidate) -> Vec<Evidence> {
    let mut list = Vec::new();
    let mut add = |what: &str, value: String, source: &str| {
        list.push(Evidence { what: what.into(), value, source: source.into() });
    };
    if let Some(r) = &candidate.recommendation {
        add("samples", format!("{} over {:.1} days, newest {}", r.samples, r.days, r.newest), "marts.usage");
        if let Some(cpu) = r.peak.cpu_cores {
            add("peak CPU", format!("{cpu:.2} cores"), "marts.usage");
        }
        if let Some(memory) = r.peak.memory_bytes {
            add("peak memory", units::format_bytes(memory as f64), "marts.usage");
        }
        if r.oom_kills > 0 {
            add("OOM kills", r.oom_kills.to_string(), "marts.usage");
        }
        add("sizing rule", r.basis.clone(), "backtest");
    }
    if let Some(e) = &candidate.expected {
        add("forecast model", e.model.clone(), "predictions.shadow_inventory");
        for event in &e.schedule {
            add("scheduled event", event.clone(), "features.schedule");
        }
    }
    if let Some(p) = candidate.contention {
        add("chance that the next hour is contended", format!("{:.0} %", p * 100.0), "models/contention");
    }
    if let Some(past) = &candidate.replay_before {
        let value = format!(
            "CPU slack {:.0} %, throttled {:.2} %, memory slack {:.0} %, over memory {:.2} % of samples",
            past.cpu_slack * 100.0,
            past.throttled_rate * 100.0,
            past.memory_slack * 100.0,
            past.oom_rate * 100.0
        );
        add("present limits on the past days", value, "backtest");
    }
    list
}

pub(super) fn guidance(action: Action, seen: Option<&Recommendation>, enough: bool) -> String {
    match (action, seen) {
        (Action::None, None) => "record its usage first: `pipeline collect`, or send `usage` events".into(),
        (Action::None, Some(_)) if !enough => "wait for more samples".into(),
        (Action::None, _) => String::new(),
        _ => "takes effect when the service is recreated: `docker compose up -d`; undo with `pipeline rollback`".into(),
    }
}
