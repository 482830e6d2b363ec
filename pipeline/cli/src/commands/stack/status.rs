//! `stack status`: the map of a stack, really asked: which version each target has, how it is, and where that is not what is
//! declared. 0 as declared and well, 3 drifted or not well.

use super::declared::{self, Declared};
use super::deploy::Where;
use super::group::of_stack;
use super::route::map_of;
use super::seen::{Carried, Seen, look};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::values::wait;
use clap::Args;
use domain::task::shares_in_words;
use domain::time::MINUTE;
use domain::units::counted;
use serde_json::{Value, json};
use stack::versions::{Answered, Component, Version, ask_all};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The arguments of `stack status`.
#[derive(Debug, Args)]
#[command(after_help = "\
A stack has drifted if a group with users lacks a member, or, without a route,
if no group is complete. A target of such a group, or of no group, has drifted
if its version is none of the declared versions.

Exit codes: 0 as declared and healthy, 3 drifted or not healthy

Examples:
  pipeline stack status
  pipeline stack status --record --timeout 5s")]
pub struct StatusArgs {
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
    /// Timeout for each health URL
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    #[arg(value_parser = wait(1000..=MINUTE, "write it as 2s, of at most a minute"))]
    timeout: Duration,
    /// Store the observations in the lake, as component and health events
    #[arg(long)]
    record: bool,
    /// Where the stack is deployed, for the stored events
    #[arg(long, value_enum, default_value_t = Where::Production)]
    place: Where,
}

/// A component as it is now.
struct Row<'a> {
    /// The declared version that is live, else the newest declared.
    component: &'a Component,
    /// What is live; none: unknown, or nothing carries it.
    version: Option<String>,
    carried: Option<&'a Carried<'a>>,
    /// Where its health is asked: its own URL, else that of another version on the same resource.
    url: Option<&'a str>,
    /// What differs from everything that is declared for its target.
    differs: Option<String>,
    /// Whether that is so although it should be there.
    drifted: bool,
    health: Option<Answered>,
}

/// A declared group: whether all members that a target carries are live.
struct Whole {
    name: String,
    digest: String,
    missing: Vec<String>,
    members: BTreeMap<String, Version>,
    has_users: bool,
}

/// Looks, asks and says.
pub async fn run(context: &Context, args: StatusArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    let mut components = Vec::new();
    for component in &declared.manifest.components {
        components.push((component, declared.text(component)?));
    }
    let seen = look(&declared, components)?;
    let mut rows = rows(&declared, &seen);
    let urls: Vec<Option<&str>> = rows.iter().map(|row| row.url).collect();
    let asked = ask_all(&urls, args.timeout).await;
    rows.iter_mut().zip(asked).for_each(|(row, health)| row.health = health);
    let mut groups = groups(&declared, &seen)?;
    let shares = match declared.manifest.route {
        Some(_) => Some(map_of(&declared)?.shares()?),
        None => None,
    };
    if let Some(shares) = &shares {
        groups.iter_mut().for_each(|group| group.has_users = shares.get(&group.name).is_some_and(|share| *share > 0));
    }
    let mixed = is_mixed(&groups);
    for row in &mut rows {
        let among: Vec<&Whole> = groups.iter().filter(|group| row.belongs_to(group, &seen)).collect();
        let wanted = among.is_empty() || mixed || among.iter().any(|group| group.has_users);
        row.drifted = row.differs.is_some() && wanted;
    }
    let drifted = rows.iter().filter(|row| row.drifted).count();
    let ill = rows.iter().filter(|row| row.health.as_ref().is_some_and(|health| !health.healthy)).count();
    show(context, &rows, &groups, &seen);
    if let Some(shares) = &shares {
        context.say_wrapped("route: ", &shares_in_words(shares), 7);
    }
    if mixed {
        context.say("drift: no group that should be there is whole");
    }
    if args.record {
        record(context, &rows, &groups, args.place).await?;
    }
    let json = json!({
        "components": rows.iter().map(|row| row.json(&seen)).collect::<Vec<_>>(),
        "groups": groups.iter().map(Whole::json).collect::<Vec<_>>(),
        "route": shares,
        "drift": drifted > 0 || mixed,
        "unhealthy": ill,
    });
    let exit = if drifted > 0 || mixed || ill > 0 { Exit::Findings } else { Exit::Done };
    let brief = format!("{}, {drifted} drifted, {ill} not well", counted(rows.len(), "component"));
    Ok(Answer::new(exit, json).brief(brief))
}

/// One row per target and resource, and one per component that nothing carries.
fn rows<'a>(declared: &'a Declared, seen: &'a Seen<'a>) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    for carried in &seen.carried {
        let same = |other: &&Carried<'_>| other.on == carried.on && other.resource == carried.resource;
        let all: Vec<&Carried<'_>> = seen.carried.iter().filter(same).collect();
        let live = all.iter().find(|other| other.is_live());
        let newest = all.iter().max_by_key(|other| &other.component.version);
        let Some(shown) = live.or(newest) else { continue };
        // Of those that share a resource, one row: the live one's, else the newest's.
        if !std::ptr::eq(*shown, carried) {
            continue;
        }
        let version = carried.live_version(&seen.carried).map(|version| version.to_string());
        let differs = live.is_none().then(|| differs(&all));
        let component = carried.component;
        let others = all.iter().rev().find_map(|other| other.component.health.as_deref());
        let url = component.health.as_deref().or(others);
        rows.push(Row { component, version, carried: Some(carried), url, differs, drifted: false, health: None });
    }
    for component in declared.manifest.components.iter().filter(|component| component.carrier().is_none()) {
        let url = component.health.as_deref();
        rows.push(Row { component, version: None, carried: None, url, differs: None, drifted: false, health: None });
    }
    rows
}

/// How a target differs from each version that is declared for it.
fn differs(all: &[&Carried<'_>]) -> String {
    let differs = all.iter().map(|carried| {
        let text = carried.wanted_text();
        let declared = carried.component.in_words();
        match carried.component.wanted(&carried.release, text.as_deref()) {
            Err(what) => format!("{declared}: {what}"),
            Ok(wanted) => {
                let mut parts = Vec::new();
                let mut part = |what: &str, is: Option<&String>, wanted: Option<&String>| {
                    if is != wanted {
                        let words = |it: Option<&String>| it.map_or("none", String::as_str).to_owned();
                        parts.push(format!("{what} is {}, not {}", words(is), words(wanted)));
                    }
                };
                part("image", carried.release.image.as_ref(), wanted.image.as_ref());
                part("text", carried.release.text.as_ref(), wanted.text.as_ref());
                part("version", carried.release.version.as_ref(), wanted.version.as_ref());
                for (name, value) in &wanted.config {
                    part(name, carried.release.config.get(name), Some(value));
                }
                format!("{declared}: {}", parts.join(", "))
            }
        }
    });
    differs.collect::<Vec<_>>().join("; ")
}

fn groups(declared: &Declared, seen: &Seen<'_>) -> Result<Vec<Whole>, Failure> {
    let mut all = Vec::new();
    for section in &declared.manifest.groups {
        let named = of_stack(declared, &section.name)?;
        let is_missing = |carried: &&Carried<'_>| {
            section.members.get(&carried.component.name) == Some(&carried.component.version) && !carried.is_live()
        };
        let missing = seen.carried.iter().filter(is_missing).map(|carried| carried.component.in_words()).collect();
        all.push(Whole {
            name: section.name.clone(),
            digest: named.digest,
            missing,
            members: section.members.clone(),
            has_users: false,
        });
    }
    Ok(all)
}

fn show(context: &Context, rows: &[Row<'_>], groups: &[Whole], seen: &Seen<'_>) {
    context.say(format!("{:<16} {:<14} {:<10} {:<10} {}", "component", "kind", "version", "health", "target"));
    for row in rows {
        let component = row.component;
        // Of what nobody deploys, what is declared.
        let otherwise = || if row.carried.is_some() { "?".to_owned() } else { component.version.to_string() };
        let version = row.version.clone().unwrap_or_else(otherwise);
        let health = match &row.health {
            None => "-".to_owned(),
            Some(answer) if answer.healthy => "ok".to_owned(),
            Some(answer) => answer.status.map_or_else(|| "silent".to_owned(), |status| format!("ill {status}")),
        };
        let target = row.carried.map_or("-", |carried| carried.resource.as_str());
        context.say(format!(
            "{:<16} {:<14} {version:<10} {health:<10} {target}",
            component.name,
            component.kind.name()
        ));
        match &row.differs {
            Some(differs) if row.drifted => context.say_wrapped("    drift: ", differs, 11),
            Some(_) => context.say("    not deployed"),
            None => {}
        }
        if let Some(answer) = row.health.as_ref().filter(|answer| !answer.healthy) {
            context.say_wrapped("    health: ", &answer.what, 12);
        }
    }
    for group in groups {
        let state = if group.missing.is_empty() {
            "is there as a whole".to_owned()
        } else {
            format!("lacks {}", group.missing.join(", "))
        };
        context.say_wrapped("group: ", &format!("{} {state}", group.name), 7);
    }
    let mut places: Vec<String> = seen.targets.iter().map(super::seen::Opened::name).collect();
    places.sort();
    places.iter().for_each(|place| context.say_wrapped("target: ", place, 8));
}

/// Whether no group is whole where one must be: those with users, or, where no route says so, any.
fn is_mixed(groups: &[Whole]) -> bool {
    let whole = |group: &Whole| group.missing.is_empty();
    match groups.iter().any(|group| group.has_users) {
        true => !groups.iter().filter(|group| group.has_users).all(whole),
        false => !groups.is_empty() && !groups.iter().any(whole),
    }
}

impl Row<'_> {
    /// Whether a version that is declared for its resource is a member of a group.
    fn belongs_to(&self, group: &Whole, seen: &Seen<'_>) -> bool {
        let Some(carried) = self.carried else { return false };
        let same = |other: &&Carried<'_>| other.on == carried.on && other.resource == carried.resource;
        let is_member = |it: &Carried<'_>| group.members.get(&it.component.name) == Some(&it.component.version);
        seen.carried.iter().filter(same).any(is_member)
    }

    fn json(&self, seen: &Seen<'_>) -> Value {
        let health = self.health.as_ref().map(|answer| {
            json!({"healthy": answer.healthy, "status": answer.status, "what": answer.what,
                "duration_ms": answer.took.as_millis() as u64})
        });
        json!({
            "component": self.component.name,
            "kind": self.component.kind.name(),
            "version": self.version,
            "target": self.carried.map(|carried| seen.targets[carried.on].name()),
            "resource": self.carried.map(|carried| carried.resource.as_str()),
            "drift": self.differs.as_ref().filter(|_| self.drifted),
            "health": health,
        })
    }
}

impl Whole {
    fn json(&self) -> Value {
        json!({"name": self.name, "digest": self.digest, "is_live": self.missing.is_empty(), "missing": self.missing})
    }

    /// Whether it is there as a whole, with this component.
    fn has(&self, declared: &Component) -> bool {
        self.missing.is_empty() && self.members.get(&declared.name) == Some(&declared.version)
    }
}

/// Keeps what was seen: a `component` event of each version that is live, a `health` event of each URL that was asked.
async fn record(context: &Context, rows: &[Row<'_>], groups: &[Whole], place: Where) -> Result<(), Failure> {
    let (_, privacy) = context.lake_with_key().await?;
    let place = place.place().name();
    let mut lines = Vec::new();
    for row in rows {
        let resource = row.carried.map(|carried| carried.resource.as_str());
        let env = resource.and_then(|resource| resource.split('/').next());
        let mut event = |kind: &str, payload: Value| {
            lines.push(
                json!({"ts": context.now, "type": kind, "env": env, "resource": resource, "payload": payload})
                    .to_string(),
            );
        };
        let group = groups.iter().find(|group| group.has(row.component));
        if let Some(version) = &row.version {
            event(
                "component",
                json!({"component": row.component.name, "version": version, "digest": row.component.digest,
                "group": group.map(|group| &group.name), "group_digest": group.map(|group| &group.digest), "place": place}),
            );
        }
        if let Some(answer) = &row.health {
            let health = if answer.healthy { "healthy" } else { "unhealthy" };
            event(
                "health",
                json!({"component": row.component.name, "version": row.version, "health": health,
                "status": answer.status, "duration_ms": answer.took.as_millis() as u64, "place": place, "note": answer.what}),
            );
        }
    }
    context.tell(&privacy, "stack status", &lines).await
}
