//! `stack route`: a plan of who is sent to which version group. A canary grows by the steps of `stack.toml`, each an item with
//! its inverse; what it is held to is part of the approved digest.

use super::declared::{self, Declared};
use super::horizon;
use super::publish::publish;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::values::span;
use clap::Args;
use domain::judge::RulesError;
use domain::plan::{Check, Plan, PlanInputs, PlannedTarget, State, Tasked};
use domain::rollout::Rollout;
use domain::task::{Shares, Task, shares_in_words};
use domain::time::DAY;
use domain::units::counted;
use lake::Lake;
use stack::Target;
use stack::haproxy::HaproxyMap;
use std::path::PathBuf;

/// The target of a route in its plan.
pub(super) const ROUTE: &str = "route";

/// The arguments of `stack route`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --share, the plan is a rollout: approve it, then call `pipeline stack
advance plan.json` from cron until the rollout ends. Without GROUP, users are
routed to the most stable and fastest valid group, according to stack.kpis and
stack.verdicts.

Examples:
  pipeline stack route green -o plan.json && pipeline approve plan.json
  pipeline stack route green --share 25 -o plan.json")]
pub struct RouteArgs {
    /// The version group to which users are routed
    group: Option<String>,
    /// The plan file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
    /// Route this share of the users at once, in per cent, with `pipeline apply` and without a judgement
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    share: Option<u8>,
    /// Time after its creation during which the plan may be started
    #[arg(long, default_value = "7d", value_name = "SPAN", value_parser = span(1..=366 * DAY, "write it as 12h or 7d"))]
    valid_for: i64,
}

/// Writes the plan.
pub async fn run(context: &Context, args: RouteArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    let map = map_of(&declared)?;
    let (lake, privacy) = context.lake_with_key().await?;
    let live = tokio::task::block_in_place(|| map.read())?;
    let before = map.shares()?;
    let (canary, why) = match &args.group {
        Some(group) => (group.clone(), format!("{group} is asked for")),
        None => best(context, &lake, &declared).await?,
    };
    check_group(&declared, &canary)?;
    if args.share.is_none() && before.get(&canary) == Some(&100) {
        let brief = format!("{canary} has all users already: {why}");
        context.say_wrapped("", &brief, 4);
        return Ok(Answer::done(serde_json::json!({"group": canary, "plan_id": null, "reason": why})).brief(brief));
    }
    let (shares, rollout) = match args.share {
        Some(share) => (vec![before.clone(), moved(&before, &canary, share)?], None),
        None => {
            let rollout = rollout(&declared, &before, control(&before)?, &canary)?;
            (rollout.shares.clone(), Some(rollout))
        }
    };
    let mut checks = checks(&before);
    if let Some(rollout) = &rollout {
        checks.push(horizon::check(context, &lake, rollout).await?);
    }
    let target = PlannedTarget::new(ROUTE.to_owned(), map.reference(), &live.digest);
    let tasks = shares.windows(2).map(|pair| Tasked {
        resource: resource(&declared),
        on: ROUTE.to_owned(),
        live: State::default(),
        task: Task::Route { before: pair[0].clone(), after: pair[1].clone() },
        pattern: resource(&declared),
        reason: Some(why.clone()),
        refused: None,
    });
    let inputs = PlanInputs {
        tasks: tasks.collect(),
        targets: vec![target],
        data_watermark: context.now,
        valid_for: args.valid_for,
        notes: live.notes,
        rollout,
        ..PlanInputs::default()
    };
    let plan = publish(context, (&lake, &privacy), inputs, &checks, &args.output).await?;
    show(context, &plan, &args);
    let json = serde_json::to_value(&plan).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok(Answer::done(json).brief(format!("{canary} by {}", counted(plan.items.len(), "step"))))
}

/// The map that a stack names, with its socket.
pub fn map_of(declared: &Declared) -> Result<HaproxyMap, Failure> {
    let missing = |what: &str| {
        Failure::new(Exit::Failed, format!("{} {what}", declared.path.display()))
            .hint("[route] target = \"haproxy-map:routes.map\", socket = \"haproxy.sock\"")
    };
    let route = declared.manifest.route.as_ref().ok_or_else(|| missing("has no [route]"))?;
    let Some(("haproxy-map", file)) = route.target.split_once(':') else {
        return Err(missing("routes by something else than a haproxy-map"));
    };
    let socket = route.socket.as_ref().map(|socket| declared.folder.join(socket));
    Ok(HaproxyMap::new(declared.folder.join(file), socket))
}

/// `STACK/routes`: the folder of the stack, as its environment.
pub(super) fn resource(declared: &Declared) -> String {
    let name = declared.folder.file_name().map(|name| name.to_string_lossy().into_owned());
    format!("{}/routes", name.unwrap_or_else(|| "stack".to_owned()))
}

/// The group that has all the users: a canary grows beside one, and not beside a mixture.
fn control(before: &Shares) -> Result<String, Failure> {
    match before.iter().find(|(_, share)| **share == 100) {
        Some((group, _)) => Ok(group.clone()),
        None => Err(Failure::new(Exit::Refused, format!("no group has all users: {}", shares_in_words(before))).hint(
            "end the rollout that goes on, or give one group all of them: `pipeline stack route GROUP --share 100`",
        )),
    }
}

/// The shares with so much for one group; the rest is that of the only other one with users.
pub(super) fn moved(before: &Shares, group: &str, share: u8) -> Result<Shares, Failure> {
    let others: Vec<&String> =
        before.iter().filter(|(name, share)| **share > 0 && *name != group).map(|(name, _)| name).collect();
    let mut after: Shares = before.keys().map(|name| (name.clone(), 0)).collect();
    match (others[..].first(), share) {
        (_, 100) => {}
        (Some(other), _) if others.len() == 1 => {
            after.insert((*other).clone(), 100 - share);
        }
        _ => {
            let what = format!("who gets the other {} % is not clear: {}", 100 - share, shares_in_words(before));
            return Err(Failure::new(Exit::Refused, what).hint("give one group all users first: --share 100"));
        }
    }
    after.insert(group.to_owned(), share);
    Ok(after)
}

/// The rollout that the stack declares, with every step's shares.
pub(super) fn rollout(declared: &Declared, before: &Shares, control: String, canary: &str) -> Result<Rollout, Failure> {
    let manifest = &declared.manifest;
    let missing = |section: &str| {
        Failure::new(Exit::Failed, format!("{} has no [{section}]", declared.path.display()))
            .hint("a rollout needs both [route] and [judge]; --share sets a share without a judge")
    };
    let route = manifest.route.as_ref().ok_or_else(|| missing("route"))?;
    let judge = manifest.judge.as_ref().ok_or_else(|| missing("judge"))?;
    let mut shares = vec![before.clone()];
    for step in &route.steps {
        shares.push(moved(before, canary, u8::try_from(*step).unwrap_or(100))?);
    }
    let rollout = Rollout {
        manifest: declared.path.display().to_string(),
        control,
        canary: canary.to_owned(),
        unit: route.unit.clone(),
        metrics: judge.metrics.clone(),
        margin: judge.margin,
        alpha: judge.alpha,
        horizon: usize::try_from(judge.horizon).unwrap_or(usize::MAX),
        on_inconclusive: judge.on_inconclusive,
        shares,
    };
    for metric in &rollout.metrics {
        rollout.rules(*metric).check().map_err(|error| {
            let hint = match error {
                RulesError::Alpha(_) => {
                    "alpha is shared over metrics and steps: accept a larger one, or take fewer steps"
                }
                RulesError::Horizon(_) => "horizon is the number of users of each arm at the last look of a step",
                _ => "margin is a share above 0, such as \"20%\"",
            };
            Failure::new(Exit::Failed, format!("{} cannot be judged: {error}", metric.name())).hint(hint)
        })?;
    }
    Ok(rollout)
}

/// Where what an approved rollout was made from says something else now, in words.
pub fn redeclared(declared: &Declared, rollout: &Rollout) -> Vec<String> {
    let (Some(route), Some(judge)) = (&declared.manifest.route, &declared.manifest.judge) else {
        return vec!["its [route] or [judge] is gone".to_owned()];
    };
    let steps = |shares: &[Shares]| -> Vec<u32> {
        shares.iter().skip(1).map(|shares| shares.get(&rollout.canary).map_or(0, |share| u32::from(*share))).collect()
    };
    let names = |metrics: &[domain::rollout::Metric]| metrics.iter().map(|it| it.name()).collect::<Vec<_>>().join(", ");
    let pairs = [
        ("judge.horizon", judge.horizon.to_string(), rollout.horizon.to_string()),
        ("judge.alpha", judge.alpha.to_string(), rollout.alpha.to_string()),
        ("judge.margin", judge.margin.to_string(), rollout.margin.to_string()),
        ("judge.metrics", names(&judge.metrics), names(&rollout.metrics)),
        ("judge.on_inconclusive", format!("{:?}", judge.on_inconclusive), format!("{:?}", rollout.on_inconclusive)),
        ("route.unit", route.unit.clone(), rollout.unit.clone()),
        ("route.steps", format!("{:?}", route.steps), format!("{:?}", steps(&rollout.shares))),
    ];
    let differs = pairs.into_iter().filter(|(_, now, approved)| now != approved);
    differs.map(|(name, now, approved)| format!("{name} is {now}, approved is {approved}").to_lowercase()).collect()
}

/// The most stable and fastest of the declared groups, and what speaks for it.
async fn best(context: &Context, lake: &Lake, declared: &Declared) -> Result<(String, String), Failure> {
    let select = ["stack.kpis", "stack.verdicts"].map(str::to_owned);
    lake.materialize(context.now, &select, false, false, &mut |_| {}).await?;
    let session = lake.session(context.now).await?;
    let report = lake::sql_files("reports").into_iter().find(|report| report.name.table == "stable-groups");
    let text = report.map(|report| report.text).unwrap_or_default();
    let rows = session.query_with(&text, &[]).await?.to_json()?;
    let is_declared = |name: &str| declared.manifest.groups.iter().any(|group| group.name == name);
    let valid = rows.into_iter().find(|row| row["group"].as_str().is_some_and(is_declared) && row["harm"] == false);
    let Some(row) = valid else {
        return Err(Failure::new(Exit::Inconclusive, "no declared group has requests without harm")
            .hint("name the group: `pipeline stack route GROUP`; or ingest the router's log and materialize"));
    };
    let figure = |name: &str| row[name].as_f64().unwrap_or_default();
    let why = format!(
        "at least {:.2} % of its requests succeed, in {:.0} ms at most on average ({} users)",
        figure("success_lower") * 100.0,
        figure("latency_upper_ms"),
        row["units"]
    );
    Ok((row["group"].as_str().unwrap_or_default().to_owned(), why))
}

fn check_group(declared: &Declared, group: &str) -> Result<(), Failure> {
    let names: Vec<&str> = declared.manifest.groups.iter().map(|group| group.name.as_str()).collect();
    if names.contains(&group) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("{} has no group {group}", declared.path.display()))
        .hint(format!("its groups are {}", names.join(", "))))
}

/// A map that sets no share routes nobody: said, and not in the way of the first share.
fn checks(before: &Shares) -> Vec<Check> {
    let total: u32 = before.values().map(|share| u32::from(*share)).sum();
    vec![Check {
        name: "shares".to_owned(),
        passed: total == 100,
        blocking: false,
        detail: format!("{} now; users without a group are told that there is none", shares_in_words(before)),
    }]
}

fn show(context: &Context, plan: &Plan, args: &RouteArgs) {
    context.say_wrapped("", &format!("Plan {} for {}", plan.plan_id, plan.targets_in_words()), 4);
    for item in &plan.items {
        let words = item.task.as_ref().map(Task::in_words).unwrap_or_default();
        context.say_wrapped(format!("  {:<24} ", item.resource), &words, 27);
    }
    for check in plan.checks.iter().filter(|check| !check.passed) {
        context.say_wrapped("note: ", &format!("{}: {}", check.name, check.detail), 6);
    }
    let path = args.output.display();
    match &plan.rollout {
        Some(rollout) => {
            let metrics: Vec<&str> = rollout.metrics.iter().map(|metric| metric.name()).collect();
            let text = format!(
                "{} beside {}, {} users of each at every step: {}; a regression of {:.0} % or more is excluded, a false \
                 rollback has at most {:.1} %",
                rollout.canary,
                rollout.control,
                rollout.horizon,
                metrics.join(", "),
                rollout.margin * 100.0,
                rollout.alpha * 100.0
            );
            context.say_wrapped("judged: ", &text, 8);
            context.say(format!("next: pipeline approve {path}, then pipeline stack advance {path} until it ends"));
        }
        None => context.say(format!("next: pipeline approve {path} && pipeline apply {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(all: &[(&str, u8)]) -> Shares {
        all.iter().map(|(group, share)| ((*group).to_owned(), *share)).collect()
    }

    #[test]
    fn a_canary_grows_beside_one_group_and_the_rest_stays_with_it() {
        let before = shares(&[("blue", 100), ("green", 0)]);
        assert_eq!(control(&before).unwrap(), "blue");
        assert_eq!(moved(&before, "green", 10).unwrap(), shares(&[("blue", 90), ("green", 10)]));
        assert_eq!(moved(&before, "amber", 100).unwrap(), shares(&[("amber", 100), ("blue", 0), ("green", 0)]));
        let mixed = shares(&[("blue", 50), ("green", 50)]);
        assert_eq!(control(&mixed).unwrap_err().exit, Exit::Refused);
        assert_eq!(moved(&mixed, "amber", 10).unwrap_err().exit, Exit::Refused);
        assert_eq!(moved(&mixed, "green", 100).unwrap(), shares(&[("blue", 0), ("green", 100)]));
        assert_eq!(moved(&Shares::new(), "blue", 10).unwrap_err().exit, Exit::Refused);
    }
}
