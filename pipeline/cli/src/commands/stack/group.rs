//! `stack group`: keeps the version groups of a stack in the lake, each under its digest.

use super::declared::{self, Declared};
use super::{kept, seen};
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use clap::Args;
use domain::units::counted;
use lake::Lake;
use serde_json::{Value, json};
use stack::versions::{Group, Manifest};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The arguments of `stack group`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline stack group
  pipeline stack group blue green")]
pub struct GroupArgs {
    /// The groups [default: every group of the stack]
    names: Vec<String>,
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
}

/// A group with its digest and the texts of its members, by the names of the components.
pub struct Named {
    /// As it was declared or kept.
    pub group: Group,
    /// Its name for ever.
    pub digest: String,
    /// What its members are deployed as.
    pub texts: BTreeMap<String, String>,
}

/// Keeps them.
pub async fn run(context: &Context, args: GroupArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    let names: Vec<String> = match args.names.is_empty() {
        true => declared.manifest.groups.iter().map(|group| group.name.clone()).collect(),
        false => args.names,
    };
    let (lake, _) = context.lake_with_key().await?;
    let mut kept = Vec::new();
    for name in &names {
        let named = keep(&lake, &declared, of_stack(&declared, name)?).await?;
        let members: Vec<String> = named.group.members.iter().map(|member| member.component.in_words()).collect();
        context.say(format!("{name} {}", named.digest));
        context.say_wrapped("    ", &members.join(", "), 4);
        kept.push(json!({"name": name, "digest": named.digest, "members": members}));
    }
    let brief = counted(kept.len(), "group");
    Ok(Answer::done(json!({"groups": Value::Array(kept)})).brief(brief))
}

/// The group that a stack declares under a name.
pub fn of_stack(declared: &Declared, name: &str) -> Result<Named, Failure> {
    let members = declared.manifest.members(name).ok_or_else(|| unknown(&declared.manifest, name))?;
    let texts = seen::texts(declared, &members)?;
    let group = Group::declared(&declared.manifest, name, &texts).ok_or_else(|| unknown(&declared.manifest, name))?;
    Ok(Named { digest: group.digest(), group, texts })
}

/// The group that is meant: by its name in the stack, or by the digest under which the lake keeps it.
pub async fn meant(lake: &Lake, declared: &Declared, name: &str) -> Result<Named, Failure> {
    if !kept::is_digest(name) {
        return of_stack(declared, name);
    }
    let group = kept::group(lake, name).await?;
    let mut texts = BTreeMap::new();
    for member in &group.members {
        if let Some(text) = &member.text {
            texts.insert(member.component.name.clone(), kept::text(lake, text).await?);
        }
    }
    Ok(Named { digest: name.to_owned(), group, texts })
}

/// Keeps a group and its texts.
pub async fn keep(lake: &Lake, declared: &Declared, named: Named) -> Result<Named, Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    for (name, text) in &named.texts {
        // As closely as the file that it comes from, or, where it is rendered, as the stack.
        let source = named.group.member(name).and_then(|member| member.component.source.as_ref());
        let path = source.map_or_else(|| declared.path.clone(), |source| declared.folder.join(source));
        let mode = std::fs::metadata(&path).map_or(0o600, |found| found.permissions().mode() & 0o777);
        kept::keep_text(lake, text, mode)?;
    }
    kept::keep_group(lake, &named.group).await?;
    Ok(named)
}

fn unknown(manifest: &Manifest, name: &str) -> Failure {
    let names: Vec<&str> = manifest.groups.iter().map(|group| group.name.as_str()).collect();
    Failure::new(Exit::Usage, format!("no group is called {name}")).hint(format!("the stack has {}", names.join(", ")))
}
