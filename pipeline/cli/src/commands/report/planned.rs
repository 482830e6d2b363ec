//! The plan on the page: the verdict of the first screen, the policies beside each other, and each item with its reasons.

use super::demand::{CHARTED, Demand, policies};
use super::fleet::{age, month};
use super::ledger::{Standing, Stands, quoted};
use crate::context::Context;
use domain::Timestamp;
use domain::plan::{Action, Item, Plan, Rates, State};
use domain::units::format_bytes;
use page::{Block, Cell, Chart, Column, Fact, Ink, Page, Point, Points, Section, Table, Tone, Track, Tracks, Unit};
use std::path::Path;

/// Items that are shown one by one; the page stays below 1 MB.
const ITEMS: usize = 60;

/// Verdict, facts and what to type next.
pub fn head(page: &mut Page, standing: &Standing, context: &Context) {
    let plan = &standing.plan;
    let (verdict, tone) = verdict(standing);
    page.verdict = verdict;
    page.tone = tone;
    page.facts = facts(plan, context.now);
    page.first.extend(next(standing, context));
}

fn facts(plan: &Plan, now: Timestamp) -> Vec<Fact> {
    let age = |at: Timestamp| age(at, now);
    vec![
        Fact::code("Plan", &plan.plan_id),
        Fact::new("Made", format!("{}, {} ago", plan.created_at.minute(), age(plan.created_at))),
        Fact::new("May be applied until", plan.expires_at.minute()),
        Fact::new("Data up to", format!("{}, {} old", plan.data_watermark.minute(), age(plan.data_watermark))),
        Fact::new("Rests on", format!("{}, version {}", plan.model.name, plan.model.version)),
        Fact::new("Changes", plan.targets_in_words()),
        Fact::code("Digest", &plan.digest),
    ]
}

/// The sentence that everything else explains.
fn verdict(standing: &Standing) -> (String, Tone) {
    let plan = &standing.plan;
    let (changes, all) = (plan.changes().count(), plan.resources());
    match standing.stands {
        Stands::Applied(at) => {
            let done = format!("The plan is in force since {}: {changes} of {all} limits were changed.", at.minute());
            return (done, Tone::Good);
        }
        Stands::RolledBack(at) => {
            let back = format!("The last plan was rolled back on {}: every limit is what it was before.", at.minute());
            return (back, Tone::Warn);
        }
        Stands::Expired => {
            let late = format!("The last plan could be applied until {}: make a new one.", plan.expires_at.minute());
            return (late, Tone::Warn);
        }
        Stands::Waits | Stands::Approved(_) => {}
    }
    let blocked = plan.checks.iter().find(|check| !check.passed && check.blocking);
    if let Some(check) = blocked {
        return (format!("The plan cannot be applied: {}: {}.", check.name.replace('_', " "), check.detail), Tone::Bad);
    }
    let people = match plan.for_people().count() {
        0 => String::new(),
        1 => " One resource needs a person.".to_owned(),
        n => format!(" {n} resources need a person."),
    };
    if changes == 0 {
        return (
            format!("Nothing to change: the limits of all {all} resources fit what they use.{people}"),
            Tone::Good,
        );
    }
    let raised = plan.changes().filter(|item| is_raised(item)).count();
    let items: Vec<&Item> = plan.items.iter().collect();
    let (before, after) = (month(&items, |item| item.before), month(&items, |item| item.after));
    let money = match after - before {
        saved if saved < -0.005 => {
            format!("{} less a month ({:.0} %)", Unit::Money.format(-saved), -saved / before.max(0.01) * 100.0)
        }
        more if more > 0.005 => format!("{} more a month", Unit::Money.format(more)),
        _ => "the same cost".to_owned(),
    };
    let get = match raised {
        0 => String::new(),
        1 => ", and one that is starved gets more".to_owned(),
        n => format!(", and {n} that are starved get more"),
    };
    let then = match (standing.stands, plan.applyable) {
        (_, false) => " It cannot be applied: the limits were only observed; name a --target.".to_owned(),
        (Stands::Approved(at), _) => format!(" It was approved at {} and is not applied yet.", at.minute()),
        _ => " It waits for approval.".to_owned(),
    };
    (format!("{changes} of {all} resources should change: {money}{get}.{then}{people}"), Tone::Plain)
}

/// What to type.
fn next(standing: &Standing, context: &Context) -> Vec<Block> {
    let command = |about: &str, verbs: &[&str]| Block::Command {
        about: about.to_owned(),
        lines: verbs.iter().map(|verb| standing.command(context, verb)).collect(),
    };
    let changes = standing.plan.changes().next().is_some();
    match standing.stands {
        _ if !standing.plan.applyable || !changes => Vec::new(),
        Stands::Waits => vec![command("To approve it, and to carry it out:", &["approve", "apply"])],
        Stands::Approved(_) => vec![command("To carry it out:", &["apply"])],
        Stands::Applied(_) => vec![command("To see whether it helped, and to undo it:", &["verify", "rollback"])],
        Stands::RolledBack(_) | Stands::Expired => Vec::new(),
    }
}

/// What is done with a resource, in a few words.
pub fn change_in_words(item: &Item) -> String {
    match item.action {
        Action::None => "left as it is".to_owned(),
        Action::FixLeak => "needs a person: it leaks memory".to_owned(),
        Action::Optimize => "advice for a build".to_owned(),
        _ if !item.is_change() => format!("needs a person: {}", item.action.name()),
        Action::Resize => {
            let mut words = Vec::new();
            if item.before.cpu_cores != item.after.cpu_cores {
                words.push(format!("{} → {} cores", cores(item.before), cores(item.after)));
            }
            if item.before.memory_bytes != item.after.memory_bytes {
                words.push(format!("{} → {}", bytes(item.before), bytes(item.after)));
            }
            words.extend(item.requests.and_then(|requests| requests.in_words()));
            words.join(", ")
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

fn cores(state: State) -> String {
    state.cpu_cores.map_or_else(|| "no limit".to_owned(), |cores| Unit::Cores.format(cores))
}

fn bytes(state: State) -> String {
    state.memory_bytes.map_or_else(|| "no limit".to_owned(), |bytes| format_bytes(bytes as f64))
}

fn in_words(state: State) -> String {
    let cpu = state.cpu_cores.map_or_else(|| "no CPU limit".to_owned(), |cores| Unit::Cores.say(cores));
    let memory = state.memory_bytes.map_or_else(|| "no memory limit".to_owned(), |bytes| format_bytes(bytes as f64));
    format!("{cpu} and {memory}")
}

fn is_raised(item: &Item) -> bool {
    let more =
        |before: Option<f64>, after: Option<f64>| before.zip(after).is_some_and(|(before, after)| after > before);
    let memory = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
    more(item.before.cpu_cores, item.after.cpu_cores) || more(memory(item.before), memory(item.after))
}

/// What follows the first screen: what changes, each item, the policies, what speaks against it.
pub fn sections(standing: &Standing, demand: &Demand, context: &Context, only: Option<&str>) -> Vec<Section> {
    let plan = &standing.plan;
    let shown = |item: &&Item| only.is_none_or(|only| only == item.resource);
    let mut sections = Vec::new();
    let concerns = concerns(plan);
    if !concerns.is_empty() {
        let about = "What a reviewer should not overlook, the gravest first.";
        sections.push(Section::new("Please look at", about).with([Block::List { items: concerns }]));
    }
    let act: Vec<&Item> = plan.changes().chain(plan.for_people()).filter(shown).collect();
    if !act.is_empty() {
        let about = "Each change with its reason, what it would have done on the past days, and how to undo it.";
        let mut section = Section::new("What changes, and why", about);
        section.blocks.extend(bounds(&act));
        if act.len() > CHARTED {
            section.blocks.push(Block::text(format!(
                "For room, the first {CHARTED} of {} items have a chart and a replay; report --resource shows those of any other.",
                act.len()
            )));
        }
        for item in act.iter().take(ITEMS) {
            section.parts.push(part(standing, item, demand, context));
        }
        if act.len() > ITEMS {
            section.blocks.push(Block::text(format!("{} more items are in the plan file.", act.len() - ITEMS)));
        }
        sections.push(section);
    } else if demand.names().next().is_some() {
        let about = "What was used beside what is allowed.";
        let names = demand.names().filter_map(|name| demand.figure(name, None));
        sections.push(Section::new("Use and limits", about).with(names));
    }
    if !plan.backtest.is_empty() {
        sections.push(beside_others(plan));
    }
    let kept: Vec<&Item> = plan.items.iter().filter(|item| item.action == Action::None).filter(shown).collect();
    if !kept.is_empty() {
        let bytes = |item: &Item| item.before.memory_bytes.map(|bytes| bytes as f64);
        let table = Table::of(format!("{} left as they are", kept.len()), kept)
            .text("resource", |item| item.resource.clone())
            .amount("CPU limit (cores)", Unit::Cores, |item| item.before.cpu_cores)
            .amount("memory limit", Unit::Bytes, |item| bytes(item))
            .text("why", |item| item.reason.clone())
            .table();
        sections.push(Section::new("Left as they are", "").with([Block::Table(table.at_most(200))]));
    }
    sections
}

/// Before and after within their bounds, one track an item.
fn bounds(items: &[&Item]) -> Vec<Block> {
    let memory = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
    let figure = |what: &str, unit: Unit, of: &dyn Fn(State) -> Option<f64>| {
        let changed: Vec<&&Item> = items.iter().filter(|item| of(item.before) != of(item.after)).take(12).collect();
        if changed.is_empty() {
            return None;
        }
        let columns = ["now", "after", "at least", "at most"].map(|name| Column::number(&unit.heading(name)));
        let columns = [vec![Column::text("resource")], columns.to_vec()].concat();
        let mut numbers = Table::new(format!("{what} limits now and after the plan"), columns);
        let mut tracks = Vec::new();
        for item in &changed {
            let figures = [of(item.before), of(item.after), of(item.lower_bound), of(item.upper_bound)];
            let cells = figures.map(|figure| Cell::amount(unit, figure));
            numbers.rows.push([vec![Cell::text(&item.resource)], cells.to_vec()].concat());
            tracks.push(Track {
                name: item.resource.clone(),
                range: figures[2].zip(figures[3]),
                marks: vec![figures[0], figures[1]],
                failed: false,
            });
        }
        let caption =
            format!("{what} limits now and after the plan, within the bounds that the use of the past days sets.");
        let marks = vec!["now".to_owned(), "after the plan".to_owned()];
        let range = "from “less would starve it” to “more would be waste”".to_owned();
        Some(Block::figure(caption, Chart::Tracks(Tracks { unit, marks, range, tracks }), numbers))
    };
    [figure("CPU", Unit::Cores, &|state| state.cpu_cores), figure("Memory", Unit::Bytes, &memory)]
        .into_iter()
        .flatten()
        .collect()
}

/// One item.
fn part(standing: &Standing, item: &Item, demand: &Demand, context: &Context) -> Section {
    let plan = &standing.plan;
    let on = if plan.targets.len() > 1 { format!(" on {}", item.on) } else { String::new() };
    let mut part = Section::new(format!("{}{on}", item.resource), format!("{}.", item.reason.trim_end_matches('.')));
    part.id = format!("item-{}", part.id);
    (part.badge, part.tone) = match (item.action, is_raised(item)) {
        (Action::FixLeak, _) => ("for a person".to_owned(), Tone::Bad),
        _ if !item.is_change() => ("for a person".to_owned(), Tone::Warn),
        (_, true) => (change_in_words(item), Tone::Warn),
        _ => (change_in_words(item), Tone::Good),
    };
    part.blocks.extend(demand.figure(&item.resource, Some(item)));
    if item.action == Action::Resize || item.action == Action::FixLeak {
        part.blocks.push(Block::Group { blocks: vec![limits(item), Block::Facts { facts: promises(item) }] });
        part.blocks.extend(demand.replay(&item.resource));
    }
    part.blocks.extend(by_hand(item));
    let evidence = Table::of("What it rests on", &item.evidence)
        .text("what", |it| it.what.clone())
        .text("value", |it| it.value.clone())
        .text("from", |it| it.source.clone())
        .table();
    let lake = quoted(&context.global.lake);
    let queries: Vec<String> = item
        .evidence
        .iter()
        .filter_map(|it| it.sql.as_ref())
        .map(|sql| format!("pipeline --lake {lake} sql {}", quoted(sql)))
        .collect();
    let sql = "select hour, cpu_cores_max, cpu_limit_cores, memory_bytes, memory_limit_bytes, oom_kills from \
               features.resource_hours where resource = $r order by hour";
    let rows =
        format!("pipeline --lake {lake} sql \"{}\" --param r={}", sql.replace('$', "\\$"), quoted(&item.resource));
    let lines = if item.action == Action::Resize || queries.is_empty() { vec![rows] } else { queries };
    let rows = Block::Command { about: "The rows behind it:".into(), lines };
    let summary = format!("What it rests on: {} figures, and the SQL of the rows behind them", item.evidence.len());
    part.blocks.push(Block::Fold { summary, blocks: vec![Block::Table(evidence), rows] });
    if item.action == Action::Resize && plan.applyable {
        let back = format!("To undo it, once it is applied: back to {}.", in_words(item.inverse.after));
        part.blocks.push(Block::Command { about: back, lines: vec![standing.command(context, "rollback")] });
    } else {
        part.blocks.push(Block::text(&item.guidance));
    }
    part
}

/// What it brings, how risky it is, and how a person does and undoes it.
fn by_hand(item: &Item) -> Option<Block> {
    let handling = item.handling.as_ref()?;
    let mut items = vec![
        format!("Brings: {}.", handling.impact),
        format!("Risk: {}, {}.", handling.risk.name(), handling.risk_why),
    ];
    items.extend(handling.steps.iter().map(|step| format!("By hand: {step}")));
    items.extend(handling.undo.iter().map(|step| format!("Undo by hand: {step}")));
    Some(Block::Fold {
        summary: "What it brings, its risk, and how to do it by hand".into(),
        blocks: vec![Block::List { items }],
    })
}

/// Now, after and between what.
fn limits(item: &Item) -> Block {
    let columns = vec![
        Column::text("limit"),
        Column::number("now"),
        Column::number("after"),
        Column::number("change"),
        Column::number("at least"),
        Column::number("at most"),
    ];
    let mut table = Table::new("Limits", columns);
    let row = |name: &str, say: &dyn Fn(State) -> String, of: &dyn Fn(State) -> Option<f64>| {
        let change = match (of(item.before), of(item.after)) {
            (Some(before), Some(after)) if before > 0.0 && before != after => {
                format!("{:+.0} %", (after / before - 1.0) * 100.0).replace('-', "−")
            }
            _ => "–".to_owned(),
        };
        let cells = [say(item.before), say(item.after), change, say(item.lower_bound), say(item.upper_bound)];
        [vec![Cell::text(name)], cells.map(Cell::text).to_vec()].concat()
    };
    let memory = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
    table.rows.push(row("CPU (cores)", &cores, &|state| state.cpu_cores));
    table.rows.push(row("memory", &bytes, &memory));
    let rates = Rates::default();
    let cost = |state: State| rates.month(state).map_or_else(|| "–".to_owned(), |cost| Unit::Money.format(cost));
    table.rows.push(row("cost a month", &cost, &|state| rates.month(state)));
    Block::Table(table)
}

/// What it would have done, and how sure that is.
fn promises(item: &Item) -> Vec<Fact> {
    let percent = |share: Option<f64>| share.map_or_else(|| "not known".to_owned(), |share| Unit::Share.say(share));
    let past = &item.projected;
    let mut facts = vec![
        Fact::new("Would have throttled", format!("{} of the samples", percent(past.throttled_rate))),
        Fact::new("Would have exceeded memory in", format!("{} of the samples", percent(past.oom_rate))),
        Fact::new("Slack left", format!("CPU {}, memory {}", percent(past.slack), percent(past.memory_slack))),
    ];
    if let Some(late) = past.late_core_seconds.filter(|late| *late > 0.0) {
        let caught = Unit::Seconds.say(past.catch_up_s.unwrap_or_default());
        facts.push(Fact::new("Work delayed", format!("{late:.0} core-seconds, caught up with in {caught} at most")));
    }
    let sure = item.confidence.map_or_else(
        || "not measured: too little history".to_owned(),
        |sure| format!("{:.0} %: how often its intervals held in cross-validation, and their skill", sure * 100.0),
    );
    facts.push(Fact::new("Confidence", sure));
    if let Some(replicas) = past.replicas {
        facts.push(Fact::new("Containers", format!("{replicas}, each with these limits")));
    }
    if let Some(rule) = item.override_.as_ref().filter(|rule| rule.rule != "none") {
        let why = rule.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
        facts.push(Fact::new("Override", format!("{} from {}{why}", rule.rule, rule.pattern)));
    }
    if let Some(advice) = item.advice() {
        facts.push(Fact::new("Watch", advice));
    }
    facts
}

/// The policies on the same rows.
fn beside_others(plan: &Plan) -> Section {
    let about = "What each policy would have done on the days shown, on the same rows: less slack costs less, more throttling \
                 slows the work down. Lower left is better.";
    let points = plan.backtest.iter().map(|(name, replay)| Point {
        name: if name == "static" { "as they were".to_owned() } else { name.clone() },
        x: replay.cpu_slack,
        y: replay.throttled_rate,
        ink: if name == "ours" { Ink::Green } else { Ink::Blue },
    });
    let chart = Chart::Points(Points {
        x: ("CPU slack".into(), Unit::Share),
        y: ("samples throttled".into(), Unit::Share),
        points: points.collect(),
    });
    let table = policies("Policies beside each other, over all resources of the plan", &plan.backtest);
    let caption = "Slack of the CPU limits against throttled samples, a point a policy.";
    Section::new("Beside other policies", about)
        .with([Block::figure(caption, chart, table.clone()), Block::Table(table)])
}

/// What a reviewer should not overlook, the gravest first.
fn concerns(plan: &Plan) -> Vec<String> {
    let failed = |blocking: bool| plan.checks.iter().filter(move |check| !check.passed && check.blocking == blocking);
    let told = |check: &domain::plan::Check| format!("{}: {}", check.name.replace('_', " "), check.detail);
    let mut concerns: Vec<String> = failed(true).map(|check| format!("Blocked. {}", told(check))).collect();
    concerns.extend(plan.for_people().map(|item| format!("{}: {}; {}", item.resource, item.reason, item.guidance)));
    concerns.extend(failed(false).map(told));
    concerns.extend(plan.notes.iter().map(|note| {
        let whose = note.resource.as_ref().map_or(String::new(), |resource| format!("{resource}: "));
        format!("{whose}{}", note.what)
    }));
    concerns
}

/// The page of a plan file alone, without a lake.
pub fn file_page(context: &Context, plan: &Plan, path: &Path) -> Page {
    let standing = Standing::of_file(context, plan.clone(), path, &[]);
    let mut page = Page {
        title: "A plan, to be read before saying yes".to_owned(),
        about: format!("{}. With the lake at hand, pipeline report shows its use and its past too.", path.display()),
        made: format!("Made by pipeline {} from {}.", env!("CARGO_PKG_VERSION"), path.display()),
        state: serde_json::json!({ "plan_id": plan.plan_id, "digest": plan.digest }),
        ..Page::default()
    };
    head(&mut page, &standing, context);
    page.sections = sections(&standing, &Demand::default(), context, None);
    page
}
