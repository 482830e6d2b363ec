//! `stack deploy` and `stack promote`: plans that bring the members of a version group to their targets, in the order in which
//! they require each other, and then the users to the group. Applied, and taken back, by the commands for every plan.

use super::check::{Finding, findings};
use super::declared::{self, Declared};
use super::group::{Named, keep, meant};
use super::kept;
use super::publish::publish;
use super::route::{ROUTE, map_of, moved, resource};
use super::seen::{Carried, Opened, Seen, look};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::values::span;
use clap::{Args, ValueEnum};
use domain::plan::{Check, Note, Plan, PlanInputs, PlannedTarget, State, Tasked, plan_tasks};
use domain::task::{Deployment, Place, Release, Shares, Task};
use domain::time::DAY;
use domain::units::counted;
use lake::Lake;
use stack::haproxy::HaproxyMap;
use stack::{Change, Target, planned_target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The arguments of `stack deploy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline stack deploy green -o plan.json
  pipeline stack deploy green --place staging -o staging.json")]
pub struct DeployArgs {
    /// The version group: its name in the stack, or its digest in the lake
    #[arg(required_unless_present = "snapshot")]
    group: Option<String>,
    /// Restore a snapshot that `stack snapshot` stored, instead of deploying a group
    #[arg(long, value_name = "DIGEST", conflicts_with = "group")]
    snapshot: Option<String>,
    /// Where the version group is deployed
    #[arg(long, value_enum, default_value_t = Where::Production)]
    place: Where,
    #[command(flatten)]
    into: Into,
}

/// The arguments of `stack promote`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline stack promote green -o plan.json")]
pub struct PromoteArgs {
    /// The version group: its name in the stack, or its digest in the lake
    group: String,
    #[command(flatten)]
    into: Into,
}

/// The stack file and the plan file.
#[derive(Debug, Args)]
struct Into {
    /// The plan file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
    /// Time after its creation during which the plan may be started
    #[arg(long, default_value = "7d", value_name = "SPAN", value_parser = span(1..=366 * DAY, "write it as 12h or 7d"))]
    valid_for: i64,
}

/// Where components are deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Where {
    /// The environment for tests
    Staging,
    /// The environment with users
    Production,
}

impl Where {
    /// The same for a plan.
    pub fn place(self) -> Place {
        match self {
            Self::Staging => Place::Staging,
            Self::Production => Place::Production,
        }
    }
}

/// What a plan will hold: tasks on targets, with the texts that they write.
#[derive(Default)]
struct Draft {
    targets: Vec<PlannedTarget>,
    tasks: Vec<Tasked>,
    texts: BTreeMap<String, String>,
    notes: Vec<Note>,
}

/// Writes a plan that deploys a group, or puts a snapshot back.
pub async fn deploy(context: &Context, args: DeployArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.into.stack)?;
    let (lake, _) = context.lake_with_key().await?;
    if let Some(snapshot) = &args.snapshot {
        let draft = restored(&lake, &declared, snapshot).await?;
        return finish(context, &lake, draft, Vec::new(), &args.into, &format!("snapshot {snapshot}")).await;
    }
    let name = args.group.unwrap_or_default();
    let named = keep(&lake, &declared, meant(&lake, &declared, &name).await?).await?;
    let draft = deployed(&declared, &named, args.place.place())?;
    let checks = findings(context, Some(&lake), &declared, &named).await?;
    finish(context, &lake, draft, checks, &args.into, &named.group.name).await
}

/// Writes a plan that deploys a group and then gives it all users.
pub async fn promote(context: &Context, args: PromoteArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.into.stack)?;
    let (lake, _) = context.lake_with_key().await?;
    let named = keep(&lake, &declared, meant(&lake, &declared, &args.group).await?).await?;
    let mut draft = deployed(&declared, &named, Place::Production)?;
    let checks = findings(context, Some(&lake), &declared, &named).await?;
    if declared.manifest.route.is_some() {
        routed(&declared, &named, &mut draft)?;
    }
    finish(context, &lake, draft, checks, &args.into, &named.group.name).await
}

/// What is to be done for the members of a group that their targets do not have.
fn deployed(declared: &Declared, named: &Named, place: Place) -> Result<Draft, Failure> {
    let members = named.group.members.iter().map(|member| &member.component);
    let seen = look(declared, members.map(|it| (it, named.texts.get(&it.name).cloned())))?;
    let mut draft = Draft::default();
    for carried in seen.carried.iter().filter(|carried| !carried.is_live()) {
        let (component, on) = (carried.component, &seen.targets[carried.on]);
        let text = carried.wanted_text();
        let after = component.wanted(&carried.release, text.as_deref()).map_err(|what| {
            Failure::new(Exit::Refused, format!("{} cannot be deployed: {what}", component.in_words()))
        })?;
        if let (Some(name), Some(text)) = (text, &carried.text) {
            draft.texts.insert(name, text.clone());
        }
        let deployment = Deployment {
            component: component.name.clone(),
            version: component.version.to_string(),
            was: was(declared, carried)?,
            digest: component.digest.clone(),
            group: named.group.name.clone(),
            group_digest: named.digest.clone(),
            place,
            before: carried.release.clone(),
            after,
        };
        draft.add(on, &carried.resource, Task::Deploy(Box::new(deployment)), &named.group.name);
    }
    rehearse(&seen, &draft)?;
    Ok(draft)
}

/// The version that a target has before: by the tag of its image, or by the text of a declared version.
fn was(declared: &Declared, carried: &Carried<'_>) -> Result<Option<String>, Failure> {
    if let Some(version) = carried.release.image.as_deref().and_then(stack::versions::tagged) {
        return Ok(Some(version.to_string()));
    }
    if let Some(version) = &carried.release.version {
        return Ok(Some(version.clone()));
    }
    let Some(live) = &carried.release.text else { return Ok(None) };
    for other in declared.manifest.components.iter().filter(|it| it.name == carried.component.name) {
        if declared.text(other)?.is_some_and(|text| kept::digest(&text) == *live) {
            return Ok(Some(other.version.to_string()));
        }
    }
    Ok(None)
}

/// All users go to the group, once its members are deployed.
fn routed(declared: &Declared, named: &Named, draft: &mut Draft) -> Result<(), Failure> {
    let map = map_of(declared)?;
    let before = map.shares()?;
    let after = moved(&before, &named.group.name, 100)?;
    match before == after {
        true => Ok(()),
        false => draft.route(declared, &map, (before, after), &named.group.name),
    }
}

/// What puts the targets of a snapshot back, those that are as they were aside.
async fn restored(lake: &Lake, declared: &Declared, name: &str) -> Result<Draft, Failure> {
    let snapshot = kept::snapshot(lake, name).await?;
    let (mut draft, mut routes) = (Draft::default(), Draft::default());
    let mut at_once = true;
    for (target, text) in &snapshot.texts {
        let (kind, location) = target.split_once(' ').unwrap_or_default();
        let reference = domain::plan::TargetRef { kind: kind.to_owned(), location: location.to_owned() };
        let target = planned_target(&reference)?;
        let live = tokio::task::block_in_place(|| target.read())?;
        if live.digest == *text {
            continue;
        }
        if reference.kind == "haproxy-map" {
            let map = HaproxyMap::named(&reference.location, &declared.folder);
            let (before, after) = (map.shares()?, map.parse(&kept::text(lake, text).await?)?);
            at_once &= are_whole(declared, &after)?;
            routes.route(declared, &map, (before, after), "the snapshot")?;
            continue;
        }
        draft.texts.insert(text.clone(), kept::text(lake, text).await?);
        let nth = draft.targets.iter().filter(|other| other.kind == reference.kind).count() + 1;
        let id = if nth == 1 { reference.kind.clone() } else { format!("{}-{nth}", reference.kind) };
        let before = Release { text: Some(live.digest.clone()), ..Release::default() };
        let opened = Opened { planned: PlannedTarget::new(id, reference, &live.digest), target, live };
        let Some(resource) = opened.live.resources.keys().next().cloned() else { continue };
        let deployment = Deployment {
            component: "snapshot".to_owned(),
            version: name.get("sha256:".len()..).and_then(|hex| hex.get(..12)).unwrap_or(name).to_owned(),
            group: "snapshot".to_owned(),
            group_digest: name.to_owned(),
            before,
            after: Release { text: Some(text.clone()), ..Release::default() },
            ..Deployment::default()
        };
        draft.add(&opened, &resource, Task::Deploy(Box::new(deployment)), "the snapshot");
    }
    // Users go where everything is there: before the others leave it, or after they came.
    let (mut first, last) = if at_once { (routes, draft) } else { (draft, routes) };
    first.targets.extend(last.targets);
    first.tasks.extend(last.tasks);
    first.texts.extend(last.texts);
    first.notes.extend(last.notes);
    Ok(first)
}

/// Whether every group with users is there as a whole now.
fn are_whole(declared: &Declared, shares: &Shares) -> Result<bool, Failure> {
    for (group, _) in shares.iter().filter(|(_, share)| **share > 0) {
        let mut members = Vec::new();
        for component in declared.manifest.members(group).unwrap_or_default() {
            members.push((component, declared.text(component)?));
        }
        if !look(declared, members)?.carried.iter().all(Carried::is_live) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Draft {
    /// Sets the shares of a map, and whose they are.
    fn route(
        &mut self,
        declared: &Declared,
        map: &HaproxyMap,
        shares: (Shares, Shares),
        whose: &str,
    ) -> Result<(), Failure> {
        let live = tokio::task::block_in_place(|| map.read())?;
        self.targets.push(PlannedTarget::new(ROUTE.to_owned(), map.reference(), &live.digest));
        self.notes.extend(live.notes);
        self.tasks.push(Tasked {
            resource: resource(declared),
            on: ROUTE.to_owned(),
            live: State::default(),
            task: Task::Route { before: shares.0, after: shares.1 },
            pattern: resource(declared),
            reason: Some(format!("the users go to {whose}")),
            refused: None,
        });
        Ok(())
    }

    fn add(&mut self, on: &Opened, resource: &str, task: Task, group: &str) {
        if !self.targets.iter().any(|target| target.id == on.planned.id) {
            self.targets.push(on.planned.clone());
            self.notes.extend(on.live.notes.clone());
        }
        self.tasks.push(Tasked {
            resource: resource.to_owned(),
            on: on.planned.id.clone(),
            live: on.limits(resource),
            task,
            pattern: resource.to_owned(),
            reason: Some(format!("it belongs to {group}")),
            refused: None,
        });
    }
}

/// A plan promises nothing that a target would refuse: every target works its steps out, and nothing is written.
fn rehearse(seen: &Seen<'_>, draft: &Draft) -> Result<(), Failure> {
    let inputs = PlanInputs { tasks: draft.tasks.clone(), targets: draft.targets.clone(), ..PlanInputs::default() };
    let plan = plan_tasks(&inputs, Vec::new(), domain::Timestamp::default());
    let ids: Vec<String> = plan.items.iter().map(|item| item.id.clone()).collect();
    let mut changes = Change::of(&plan, &ids);
    for change in &mut changes {
        change.text = change.text_name().and_then(|name| draft.texts.get(name)).cloned();
    }
    tokio::task::block_in_place(|| {
        for opened in seen.targets.iter().filter(|opened| draft.targets.contains(&opened.planned)) {
            let own: Vec<Change> = changes.iter().filter(|change| change.on == opened.planned.id).cloned().collect();
            opened.target.hold()?.prepare(&opened.planned.prior_state_digest, &own)?;
        }
        Ok(())
    })
}

async fn finish(
    context: &Context,
    lake: &Lake,
    draft: Draft,
    checks: Vec<Finding>,
    into: &Into,
    name: &str,
) -> Result<Answer, Failure> {
    if draft.tasks.is_empty() {
        let brief = format!("{name} is there already: nothing is to be done");
        context.say_wrapped("", &brief, 4);
        return Ok(Answer::done(serde_json::json!({"group": name, "plan_id": null})).brief(brief));
    }
    // The texts before the plan that names them.
    for (text, mode) in draft.texts.values().zip(std::iter::repeat(mode_of(&draft)?)) {
        kept::keep_text(lake, text, mode)?;
    }
    let inputs = PlanInputs {
        tasks: draft.tasks,
        targets: draft.targets,
        data_watermark: context.now,
        valid_for: into.valid_for,
        notes: draft.notes,
        ..PlanInputs::default()
    };
    let checks: Vec<Check> = checks.iter().map(Finding::check).collect();
    let (lake, privacy) = (lake, crate::context::privacy()?);
    let plan = publish(context, (lake, &privacy), inputs, &checks, &into.output).await?;
    show(context, &plan, name, &into.output);
    let json = serde_json::to_value(&plan).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let brief = format!("{name} by {} on {}", counted(plan.items.len(), "item"), counted(plan.targets.len(), "target"));
    Ok(Answer::done(json).brief(brief))
}

/// Who may read all of the targets.
fn mode_of(draft: &Draft) -> Result<u32, Failure> {
    let mut mode = 0o666;
    for planned in &draft.targets {
        mode &= planned_target(&planned.reference())?.mode();
    }
    Ok(mode)
}

fn show(context: &Context, plan: &Plan, name: &str, output: &Path) {
    context.say_wrapped("", &format!("{}: {name}, by {}", plan.plan_id, counted(plan.items.len(), "item")), 4);
    for item in &plan.items {
        let words = item.task.as_ref().map(Task::in_words).unwrap_or_default();
        let on = if plan.targets.len() > 1 { format!("on {}: ", item.on) } else { String::new() };
        context.say_wrapped(format!("  {:<24} ", item.resource), &format!("{on}{words}"), 27);
    }
    for check in plan.checks.iter().filter(|check| !check.passed) {
        let kind = if check.blocking { "blocked: " } else { "note: " };
        context.say_wrapped(kind, &format!("{}: {}", check.name, check.detail), kind.len());
    }
    let path = output.display();
    match plan.applyable {
        true => {
            context.say(format!("Next: pipeline approve {path}"));
            context.say(format!("      pipeline apply {path}"));
            context.say(format!("Undo: pipeline rollback {path}"));
        }
        false => context.say("This plan cannot be applied."),
    }
}
