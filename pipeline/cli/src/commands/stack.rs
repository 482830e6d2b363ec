//! `stack`: versions of a whole stack. Makers write plans; `apply` and `rollback` act, and `advance` inside an approved plan.

mod advance;
mod declared;
mod publish;
mod render;
mod route;

use crate::context::{Answer, Context};
use crate::failure::Failure;
use clap::{Args, Subcommand};

/// What `stack` takes.
#[derive(Debug, Args)]
pub struct StackArgs {
    #[command(subcommand)]
    command: StackCommand,
}

#[derive(Debug, Subcommand)]
enum StackCommand {
    /// Plan who is sent to which version group: a canary that grows by steps, or one share
    Route(route::RouteArgs),
    /// Print the configuration of a load balancer, rendered from the stack
    Render(render::RenderArgs),
    /// Do one tick of an approved rollout: judge the canary, then grow, hold or roll back
    Advance(advance::AdvanceArgs),
}

impl StackArgs {
    /// Whether it changes a target.
    pub fn changes(&self) -> bool {
        matches!(self.command, StackCommand::Advance(_))
    }
}

/// Carries out a subcommand.
pub async fn run(context: &Context, args: StackArgs) -> Result<Answer, Failure> {
    match args.command {
        StackCommand::Route(args) => route::run(context, args).await,
        StackCommand::Render(args) => render::run(context, args),
        StackCommand::Advance(args) => advance::run(context, args).await,
    }
}
