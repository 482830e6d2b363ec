//! An item of a plan on one page: what was predicted, planned, approved, done, what came of it, and what people say of it.

use crate::artifacts::journal_path;
use crate::commands::approve::in_words;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::entries;
use domain::Timestamp;
use domain::ledger::Entry;
use domain::plan::{Item, Plan};
use domain::units::counted;
use lake::{Lake, Session};
use serde_json::{Value, json};
use stack::Journal;

/// Where the text of a part begins.
const INDENT: usize = 12;

/// Items of that name: of plans of this lake, or of others whose events it took.
const ITEMS: &str = "
    select plan_id from plans.items where item_id = $item
    union all
    select plan_id from plans.outcomes where item_id = $item and type = 'adjustment' and plan_id is not null
    limit 1";

const EVENTS: &str = "
    select ts, type, action, result, resource, before, after from plans.outcomes
    where item_id = $item and ts <= (select now from session.clock)
    order by ts, event_id";

/// What was promised and measured is in the events themselves: the table has only what came of it.
const OUTCOMES: &str = "
    select ts, result, payload from staging.events
    where item_id = $item and type = 'outcome' and ts <= (select now from session.clock)
    order by ts, event_id";

const VERDICTS: &str = "
    select given_at, verdict, note, developer from plans.verdicts
    where item_id = $item and given_at <= (select now from session.clock)
    order by given_at, event_id";

/// Explains an item; none where nothing is called so.
pub async fn explain(context: &Context, lake: &Lake, session: &Session, name: &str) -> Result<Option<Answer>, Failure> {
    let ask = async |query: &str| -> Result<Vec<Value>, Failure> {
        Ok(session.query_with(query, &[("item", name)]).await?.to_json()?)
    };
    let found = ask(ITEMS).await?;
    let Some(plan_id) = found.first().and_then(|row| row["plan_id"].as_str()) else { return Ok(None) };
    let all: Vec<Entry> = entries(lake).await?.into_iter().filter(|entry| entry.plan_id == plan_id).collect();
    let plan = plan_of(lake, plan_id, &all).await?;
    let item = plan.as_ref().and_then(|plan| plan.items.iter().find(|item| item.id == name));
    let journal = match &plan {
        Some(plan) => lake.document::<Journal>(&journal_path(plan)).await?,
        None => None,
    };
    let (events, outcomes, verdicts) = (ask(EVENTS).await?, ask(OUTCOMES).await?, ask(VERDICTS).await?);
    let own: Vec<&Entry> = all
        .iter()
        .filter(|it| it.at <= context.now && (it.action == "plan" || it.items.iter().any(|i| i == name)))
        .collect();
    let page = Page { context };
    page.head(name, plan_id, item, events.first());
    if let (Some(plan), Some(item)) = (&plan, item) {
        page.predicted(plan, item);
        page.planned(plan, item);
        page.handled(item);
    }
    page.ledger(&own);
    page.steps(journal.as_ref(), name, &events);
    page.outcomes(item, &outcomes);
    page.verdicts(&verdicts);
    let steps: Vec<Value> = steps_of(journal.as_ref(), name).map(super::super::apply::shown).collect();
    Ok(Some(Answer::done(json!({
        "item_id": name, "plan_id": plan_id, "item": item, "ledger": own, "steps": steps,
        "adjustments": events.iter().filter(|event| event["type"] == "adjustment").collect::<Vec<_>>(),
        "outcomes": outcomes, "verdicts": verdicts,
    }))))
}

/// The plan as it was made; none where another lake has it.
async fn plan_of(lake: &Lake, plan_id: &str, entries: &[Entry]) -> Result<Option<Plan>, Failure> {
    if !domain::plan::is_plan_id(plan_id) {
        return Ok(None);
    }
    let place = format!("plans/{plan_id}/plan.json");
    let Some(plan) = lake.document::<Plan>(&place).await? else { return Ok(None) };
    let as_made = |entry: &Entry| entry.action == "plan" && entry.plan_digest == plan.digest;
    if !plan.is_intact() || !entries.iter().any(as_made) {
        return Err(Failure::new(Exit::Refused, format!("{place} of the lake was changed after it was made"))
            .hint("`pipeline log verify` looks at the ledger; restore the file from a backup"));
    }
    Ok(Some(plan))
}

fn steps_of<'a>(journal: Option<&'a Journal>, item: &'a str) -> impl Iterator<Item = &'a stack::Step> {
    journal.into_iter().flat_map(|journal| &journal.steps).filter(move |step| step.items.iter().any(|id| id == item))
}

struct Page<'a> {
    context: &'a Context,
}

impl Page<'_> {
    fn line(&self, word: &str, text: &str) {
        self.context.say_wrapped(format!("  {word:<9} "), text, INDENT);
    }

    fn head(&self, name: &str, plan_id: &str, item: Option<&Item>, event: Option<&Value>) {
        let (action, resource, on) = match (item, event) {
            (Some(item), _) => {
                (item.action.name().replace('_', " "), item.resource.clone(), format!(" on {}", item.on))
            }
            (None, Some(event)) => {
                (text(event, "action").to_owned(), text(event, "resource").to_owned(), String::new())
            }
            (None, None) => Default::default(),
        };
        self.context.say_wrapped("", &format!("{action} {resource}{on}  [{name} of {plan_id}]"), 2);
        if item.is_none() {
            self.line("plan", "not in this lake: only its events are known");
        }
    }

    fn predicted(&self, plan: &Plan, item: &Item) {
        let sure = item.confidence.map_or_else(
            || "no measured confidence".to_owned(),
            |share| format!("confidence {:.0} % by cross-validation", share * 100.0),
        );
        self.line("predicted", &format!("from data up to {}; {sure}", plan.data_watermark.minute()));
        let known: Vec<String> = item.evidence.iter().map(|it| format!("{} {}", it.what, it.value)).collect();
        self.line("", &known.join("; "));
    }

    fn planned(&self, plan: &Plan, item: &Item) {
        let limits = || format!("{} -> {}", in_words(item.before), in_words(item.after));
        self.line("planned", &item.task.as_ref().map_or_else(limits, |task| task.in_words()));
        if let Some(requests) = item.requests.and_then(|requests| requests.in_words()) {
            self.line("", &requests);
        }
        self.line("", &item.reason);
        if let Some(rule) = item.override_.as_ref().filter(|rule| rule.rule != "none") {
            let why = rule.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            self.line("", &format!("{} by the override for {}{why}", rule.rule, rule.pattern));
        }
        let hours = plan.hours.in_words();
        hours.iter().for_each(|rule| self.line("", rule));
    }

    /// What it brings, how risky it is, how a person does and undoes it, and the queries of its rows.
    fn handled(&self, item: &Item) {
        let Some(handling) = &item.handling else { return };
        self.line("brings", &handling.impact);
        self.line("risk", &format!("{}: {}", handling.risk.name(), handling.risk_why));
        for (word, steps) in [("by hand", &handling.steps), ("undo", &handling.undo)] {
            steps.iter().for_each(|step| self.line(word, step));
        }
        let rows = item.evidence.iter().filter_map(|it| Some((&it.what, it.sql.as_ref()?)));
        rows.for_each(|(what, sql)| self.line("rows", &format!("{what}: {sql}")));
    }

    fn ledger(&self, entries: &[&Entry]) {
        for action in ["plan", "approve", "expire", "apply", "revert", "rollback"] {
            for entry in entries.iter().filter(|entry| entry.action == action) {
                let word = match action {
                    "plan" => "made",
                    "approve" => "approved",
                    "expire" => "expired",
                    "apply" => "applied",
                    "revert" => "reverted",
                    _ => "undone",
                };
                let rehearsal = if entry.fixed_clock { ", at a fixed --now" } else { "" };
                self.line(word, &format!("{} by {}: {}{rehearsal}", entry.at.minute(), entry.who, entry.result));
            }
        }
        if !entries.iter().any(|entry| entry.action == "approve") {
            self.line("approved", "by nobody");
        }
    }

    fn steps(&self, journal: Option<&Journal>, item: &str, events: &[Value]) {
        let mut word = "steps";
        let mut next = |line: String| {
            self.line(word, &line);
            word = "";
        };
        for step in steps_of(journal, item) {
            let progress = json!(step.progress).as_str().unwrap_or_default().replace('_', " ");
            next(format!("{}: {progress}", step.what));
        }
        for event in events.iter().filter(|event| event["type"] == "adjustment") {
            next(format!("{} told as {}: {}", minute(event, "ts"), text(event, "action"), text(event, "result")));
        }
    }

    fn outcomes(&self, item: Option<&Item>, outcomes: &[Value]) {
        let Some(last) = outcomes.last() else {
            self.line("outcome", "not verified yet: `pipeline verify`");
            return;
        };
        let earlier = outcomes.len() - 1;
        let earlier = if earlier > 0 { format!(", after {}", counted(earlier, "earlier look")) } else { String::new() };
        self.line("outcome", &format!("{}, by data up to {}{earlier}", text(last, "result"), minute(last, "ts")));
        let payload: Value = last["payload"]
            .as_str()
            .map_or(last["payload"].clone(), |text| serde_json::from_str(text).unwrap_or_default());
        let Some(item) = item else { return };
        let projected = &item.projected;
        let percent =
            |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        let figures = [
            ("CPU slack", projected.slack, "slack"),
            ("memory slack", projected.memory_slack, "memory_slack"),
            ("throttled", projected.throttled_rate, "throttled_rate"),
            ("over memory", projected.oom_rate, "oom_rate"),
        ];
        for (what, promised, key) in figures {
            let came = payload["measured"][key].as_f64();
            if came.is_some() {
                self.line("", &format!("{what}: projected {}, measured {}", percent(promised), percent(came)));
            }
        }
    }

    fn verdicts(&self, verdicts: &[Value]) {
        let mut word = "verdicts";
        for verdict in verdicts {
            let note = verdict["note"].as_str().map_or_else(String::new, |note| format!(": {note}"));
            let who = text(verdict, "developer");
            self.line(word, &format!("{} {} by {who}{note}", minute(verdict, "given_at"), text(verdict, "verdict")));
            word = "";
        }
        if verdicts.is_empty() {
            self.line("verdicts", "none: `pipeline feedback ITEM helpful|slowed-down|neutral`");
        }
    }
}

fn text<'a>(row: &'a Value, column: &str) -> &'a str {
    row[column].as_str().unwrap_or_default()
}

fn minute(row: &Value, column: &str) -> String {
    Timestamp::parse(text(row, column)).unwrap_or_default().minute()
}
