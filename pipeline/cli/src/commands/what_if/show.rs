//! Both states side by side, for people and as JSON.

use super::changes::Made;
use crate::context::Context;
use domain::Timestamp;
use domain::units::format_bytes;
use domain::what_if::{Finding, Inventory, Outcome};
use serde_json::{Value, json};

/// Resources shown; the JSON has all.
const SHOWN: usize = 20;

/// A row a changed resource.
pub(super) fn both(today: &Inventory, then: &Inventory, made: &Made) -> Vec<Value> {
    let one = |name: &String| {
        let (before, after) = (today.get(name), then.get(name));
        json!({
            "resource": name,
            "borrowed_from": after.map(|it| &it.borrowed_from),
            "today": {"cpu": before.and_then(|it| it.cpu()), "memory": before.and_then(|it| it.memory())},
            "then": {"cpu": after.and_then(|it| it.cpu()), "memory": after.and_then(|it| it.memory())},
        })
    };
    made.resources.iter().map(one).collect()
}

/// For people.
pub(super) fn show(
    context: &Context,
    today: &Inventory,
    then: &Inventory,
    made: &Made,
    machines: &Value,
    findings: &[Finding],
) {
    for word in made.words.iter().take(SHOWN) {
        context.say_wrapped("what if  ", word, 9);
    }
    if made.words.len() > SHOWN {
        context.say(format!("         … and {} more", made.words.len() - SHOWN));
    }
    context.say("");
    context.say(format!("{:<10}{:<34}with the change", "", "today"));
    for name in made.resources.iter().take(SHOWN) {
        context.say(name);
        let (before, after) = (today.get(name), then.get(name));
        let cores = |cores: f64| format!("{cores:.2}");
        row(context, "cpu", before.and_then(|it| it.cpu()), after.and_then(|it| it.cpu()), &cores);
        row(context, "memory", before.and_then(|it| it.memory()), after.and_then(|it| it.memory()), &format_bytes);
        if let Some(kin) = after.map(|it| it.borrowed_from.join(", ")).filter(|kin| !kin.is_empty()) {
            context.say_wrapped("  as     ", &kin, 9);
        }
    }
    if made.resources.len() > SHOWN {
        context.say(format!("… and {} more; --json has all", made.resources.len() - SHOWN));
    }
    if !machines.is_null() {
        context.say("");
        context.say_wrapped(
            "machines  ",
            &format!("{}, then {}", needed(&machines["today"]), needed(&machines["then"])),
            10,
        );
        let full = machines["then"]["full"].as_array().map_or(&[][..], Vec::as_slice);
        for node in full.iter().take(SHOWN) {
            let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| node[name].as_f64().unwrap_or_default();
            let amount = |value: f64| if text("figure") == "cpu" { format!("{value:.2}") } else { format_bytes(value) };
            let first = Timestamp::parse(&text("first_at")).map_or_else(String::new, Timestamp::minute);
            let what = format!(
                "{} {} of {}, over {:.0} %, first at {first}",
                text("figure"),
                amount(number("expected")),
                amount(number("capacity")),
                number("probability") * 100.0
            );
            context.say_wrapped(format!("  {:<8}", text("node")), &what, 10);
        }
    }
    context.say("");
    if findings.is_empty() {
        context.say("Nothing speaks against it.");
    }
    for found in findings {
        let gravity = format!("{:?}", found.gravity).to_lowercase();
        context.say_wrapped(format!("{gravity:<9} "), &format!("{}: {}", found.resource, found.what), 10);
        context.say_wrapped("          finding ", &found.id, 18);
    }
}

fn row(
    context: &Context,
    figure: &str,
    before: Option<Outcome>,
    after: Option<Outcome>,
    amount: &dyn Fn(f64) -> String,
) {
    let told = |outcome: Option<&Outcome>| {
        outcome.map_or_else(
            || "-".to_owned(),
            |outcome| match outcome.limit {
                Some(limit) => {
                    let percent = outcome.probability * 100.0;
                    format!("{} of {}, over {percent:.0} %", amount(outcome.peak), amount(limit))
                }
                None => format!("{}, no limit", amount(outcome.peak)),
            },
        )
    };
    if before.is_none() && after.is_none() {
        return;
    }
    context.say(format!("  {figure:<8}{:<34}{}", told(before.as_ref()), told(after.as_ref())));
    if let Some(at) = after.as_ref().and_then(|after| after.first_at) {
        context.say(format!("  {:<42}first at {}", "", at.minute()));
    }
}

fn needed(machines: &Value) -> String {
    if let Some(resource) = machines["does_not_hold"].as_str() {
        return format!("none that hold {resource}");
    }
    let kinds = machines["machines"].as_object();
    let each: Vec<String> = kinds.into_iter().flatten().map(|(name, count)| format!("{count} × {name}")).collect();
    format!("{} at {:.2} an hour", each.join(", "), machines["price_hour"].as_f64().unwrap_or_default())
}
