//! `stack check`: whether the members of a version group go together, by what they require, what runs measured, and what
//! contracts promise. 0 all is proven, 3 something speaks against it, 5 something is unproven.

use super::declared::{self, Declared};
use super::group::{Named, meant};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use clap::Args;
use domain::plan::Check;
use lake::Lake;
use serde_json::{Value, json};
use stack::versions::{Component, Kind, breaking_changes};
use std::path::PathBuf;

/// So many runs of a pair must have passed before it counts as proven.
const RUNS: u64 = 3;

/// The arguments of `stack check`.
#[derive(Debug, Args)]
#[command(after_help = "\
A pair of versions in which one requires the other is proven by three passed
runs, unless more failed than passed (stack.compatibility). A contract may
break its callers only with a new major version.

Exit codes: 0 proven, 3 evidence against the group, 5 unproven

Examples:
  pipeline stack check green")]
pub struct CheckArgs {
    /// The version group: its name in the stack, or its digest in the lake
    group: String,
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
}

/// What one check came to.
pub struct Finding {
    name: &'static str,
    /// None: unproven.
    passed: Option<bool>,
    detail: String,
}

impl Finding {
    /// The same in a plan: what is unproven is a note, what speaks against it blocks.
    pub fn check(&self) -> Check {
        Check {
            name: self.name.to_owned(),
            passed: self.passed == Some(true),
            blocking: self.passed == Some(false),
            detail: self.detail.clone(),
        }
    }
}

/// Checks and says.
pub async fn run(context: &Context, args: CheckArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    // Without a lake nothing was measured; a group by its digest is only there.
    let lake = match context.lake().await {
        Ok(lake) => Some(lake),
        Err(_) if !super::kept::is_digest(&args.group) => None,
        Err(failure) => return Err(failure),
    };
    let named = match &lake {
        Some(lake) => meant(lake, &declared, &args.group).await?,
        None => super::group::of_stack(&declared, &args.group)?,
    };
    let found = findings(context, lake.as_ref(), &declared, &named).await?;
    for finding in &found {
        let word = match finding.passed {
            Some(true) => "ok",
            Some(false) => "against",
            None => "unproven",
        };
        context.say_wrapped(format!("  {word:<9} "), &format!("{}: {}", finding.name, finding.detail), 12);
    }
    let exit = match () {
        () if found.iter().any(|finding| finding.passed == Some(false)) => Exit::Findings,
        () if found.iter().any(|finding| finding.passed.is_none()) => Exit::Inconclusive,
        () => Exit::Done,
    };
    let word = match exit {
        Exit::Done => "its members go together",
        Exit::Findings => "something speaks against it",
        _ => "unproven",
    };
    let brief = format!("{}: {word}", named.group.name);
    context.say(&brief);
    let checks: Vec<Value> = found
        .iter()
        .map(|finding| json!({"name": finding.name, "passed": finding.passed, "detail": finding.detail}))
        .collect();
    Ok(Answer::new(exit, json!({"group": named.group.name, "digest": named.digest, "checks": checks})).brief(brief))
}

/// Everything that speaks for a group or against it.
pub async fn findings(
    context: &Context,
    lake: Option<&Lake>,
    declared: &Declared,
    named: &Named,
) -> Result<Vec<Finding>, Failure> {
    let unmet = named.group.unmet(&declared.manifest);
    let detail = if unmet.is_empty() { "every requirement is met".to_owned() } else { unmet.join("; ") };
    let mut found = vec![Finding { name: "requirements", passed: Some(unmet.is_empty()), detail }];
    found.extend(compatibility(context, lake, named).await?);
    found.extend(contracts(declared, named)?);
    Ok(found)
}

/// Pairs of which one requires the other, by the runs that met them together.
async fn compatibility(context: &Context, lake: Option<&Lake>, named: &Named) -> Result<Vec<Finding>, Failure> {
    let rows = match lake {
        Some(lake) => {
            let session = lake.session(context.now).await?;
            match session.versions.contains_key("stack.compatibility") {
                true => session.query("select * from stack.compatibility").await?.to_json()?,
                false => Vec::new(),
            }
        }
        None => Vec::new(),
    };
    let members = &named.group.members;
    let pairs = members.iter().flat_map(|member| {
        let component = &member.component;
        component.requires.keys().filter_map(move |name| Some((component, &named.group.member(name)?.component)))
    });
    let finding = |(a, b): (&Component, &Component)| {
        let is_pair = |row: &&Value, a: &Component, b: &Component| {
            row["component"] == a.name.as_str()
                && row["version"] == a.version.to_string()
                && row["other"] == b.name.as_str()
                && row["other_version"] == b.version.to_string()
        };
        let row = rows.iter().find(|row| is_pair(row, a, b) || is_pair(row, b, a));
        let count = |name: &str| row.and_then(|row| row[name].as_u64()).unwrap_or(0);
        let (passed, failed) = (count("passed"), count("failed"));
        let verdict = match () {
            () if failed > passed => Some(false),
            () if passed >= RUNS => Some(true),
            () => None,
        };
        let detail = format!("{} with {}: {passed} runs passed, {failed} failed", a.in_words(), b.in_words());
        Finding { name: "compatibility", passed: verdict, detail }
    };
    Ok(pairs.map(finding).collect())
}

/// The contracts of a group, and those of third parties that its members require: of several versions, the newest that is met.
fn promised<'a>(declared: &'a Declared, named: &'a Named) -> Vec<&'a Component> {
    let members = || named.group.members.iter().map(|member| &member.component);
    let own = members().filter(|it| it.kind == Kind::Contract);
    let required = members().flat_map(|component| &component.requires).filter_map(|(name, wanted)| {
        let all = declared.manifest.components.iter().filter(|it| it.name == *name && it.kind == Kind::Contract);
        let outside = all.filter(|it| it.carrier().is_none() && named.group.member(name).is_none());
        outside.filter(|it| wanted.matches(&it.version)).max_by_key(|it| &it.version)
    });
    let mut all: Vec<&Component> = own.chain(required).collect();
    all.dedup_by_key(|component| &component.name);
    all
}

/// What contracts of the group break for the callers of the version before.
fn contracts(declared: &Declared, named: &Named) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for component in promised(declared, named) {
        let text = match named.texts.get(&component.name) {
            Some(text) => Some(text.clone()),
            None => declared.text(component)?,
        };
        let Some(text) = text else { continue };
        let earlier = declared
            .manifest
            .components
            .iter()
            .filter(|it| it.name == component.name && it.version < component.version && it.source.is_some());
        let Some(before) = earlier.max_by_key(|it| &it.version) else {
            let detail = format!("{} has no earlier version to compare with", component.in_words());
            found.push(Finding { name: "contract", passed: Some(true), detail });
            continue;
        };
        let old = declared.text(before)?.unwrap_or_default();
        let breaks = breaking_changes(&old, &text).map_err(|what| {
            Failure::new(Exit::Failed, format!("{} cannot be compared: {what}", component.in_words()))
        })?;
        let is_major = component.version.major > before.version.major;
        let detail = match breaks.is_empty() {
            true => format!("{} breaks nothing of {}", component.in_words(), before.version),
            false if is_major => {
                format!(
                    "{} is a new major version, and breaks {}: {}",
                    component.in_words(),
                    before.version,
                    breaks.join("; ")
                )
            }
            false => format!("{} breaks {}: {}", component.in_words(), before.version, breaks.join("; ")),
        };
        found.push(Finding { name: "contract", passed: Some(breaks.is_empty() || is_major), detail });
    }
    Ok(found)
}
