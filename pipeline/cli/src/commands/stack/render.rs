//! `stack render`: the configuration of a load balancer, as the stack declares it.

use super::declared;
use crate::commands::sql::output::Sink;
use crate::context::{Answer, Context, emit_bytes};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::json;
use stack::versions::{Component, Kind};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The arguments of `stack render`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline stack render -o haproxy.cfg")]
pub struct RenderArgs {
    /// The load balancer, if the stack declares more than one
    component: Option<String>,
    /// The stack
    #[arg(long, value_name = "FILE", default_value = "stack.toml")]
    stack: PathBuf,
    /// Write the configuration to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Prints or writes it; of several versions of a load balancer, the newest.
pub fn run(context: &Context, args: RenderArgs) -> Result<Answer, Failure> {
    let declared = declared::read(&args.stack)?;
    let all = || declared.manifest.components.iter().filter(|it| it.kind == Kind::LoadBalancer);
    let wanted = |it: &&Component| args.component.as_ref().is_none_or(|name| it.name == *name);
    let Some(edge) = all().filter(wanted).max_by_key(|it| &it.version) else {
        let names: Vec<&str> = all().map(|it| it.name.as_str()).collect();
        let hint = match names.is_empty() {
            true => "declare one: kind = \"load_balancer\", config = { bind = \"127.0.0.1:8080\" }".to_owned(),
            false => format!("its components of kind load_balancer: {}", names.join(", ")),
        };
        return Err(
            Failure::new(Exit::Usage, format!("{} has no such load balancer", declared.path.display())).hint(hint)
        );
    };
    let text = stack::haproxy::render(&declared.manifest, edge, &declared.folder)?;
    let json = json!({"component": edge.name, "version": edge.version.to_string(), "text": text});
    match &args.output {
        Some(path) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let mut sink = Sink::within(folder, &name)?;
            sink.write_all(text.as_bytes()).map_err(|error| Failure::file("write", path, &error))?;
            sink.finish()?;
        }
        None if !context.global.json => emit_bytes(text.as_bytes()),
        None => {}
    }
    Ok(Answer::done(json).brief(format!("{} {}", edge.name, edge.version)))
}
