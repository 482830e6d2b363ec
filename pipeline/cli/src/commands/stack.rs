//! `stack`: versions of a whole stack. Makers write plans; `apply` and `rollback` act, and `advance` inside an approved plan.

mod advance;
mod check;
mod declared;
mod deploy;
mod group;
mod horizon;
pub mod kept;
pub mod publish;
mod render;
mod route;
mod seen;
mod snapshot;
mod status;

use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::{Args, Subcommand};

/// The arguments of `stack`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pipeline stack status
  pipeline stack route green -o plan.json")]
pub struct StackArgs {
    #[command(subcommand)]
    command: StackCommand,
}

#[derive(Debug, Subcommand)]
enum StackCommand {
    /// Show the version and health of each target; exit with 3 if a target has drifted or is not healthy
    Status(status::StatusArgs),
    /// Store the version groups of the stack in the lake, each under its digest
    Group(group::GroupArgs),
    /// Check that the members of a version group are compatible
    Check(check::CheckArgs),
    /// Store the current state of every target, so that one plan can restore it
    Snapshot(snapshot::SnapshotArgs),
    /// Plan the deployment of a version group, or of a snapshot
    Deploy(deploy::DeployArgs),
    /// Plan to deploy a version group and route all users to it
    Promote(deploy::PromoteArgs),
    /// Plan the routing of users to a version group: a canary in steps, or a fixed share set at once
    Route(route::RouteArgs),
    /// Simulate how many harmless canaries the declared horizon promotes; exit with 3 if too few
    Horizon(horizon::HorizonArgs),
    /// Print the configuration of a load balancer, rendered from the stack
    Render(render::RenderArgs),
    /// Advance an approved rollout by one tick: judge the canary, then raise its share, hold it, or roll it back
    Advance(advance::AdvanceArgs),
}

impl StackArgs {
    /// Whether it changes a target.
    pub fn changes(&self) -> bool {
        matches!(self.command, StackCommand::Advance(_))
    }

    /// Whether what it says is what it was asked for.
    pub fn answers(&self) -> bool {
        matches!(
            self.command,
            StackCommand::Status(_) | StackCommand::Check(_) | StackCommand::Horizon(_) | StackCommand::Advance(_)
        )
    }
}

/// Carries out a subcommand.
pub async fn run(context: &Context, args: StackArgs) -> Result<Answer, Failure> {
    match args.command {
        StackCommand::Status(args) => status::run(context, args).await,
        StackCommand::Group(args) => group::run(context, args).await,
        StackCommand::Check(args) => check::run(context, args).await,
        StackCommand::Snapshot(args) => snapshot::run(context, args).await,
        StackCommand::Deploy(args) => deploy::deploy(context, args).await,
        StackCommand::Promote(args) => deploy::promote(context, args).await,
        StackCommand::Route(args) => route::run(context, args).await,
        StackCommand::Horizon(args) => horizon::run(context, args).await,
        StackCommand::Render(args) => render::run(context, args),
        StackCommand::Advance(args) => advance::run(context, args).await,
    }
}
