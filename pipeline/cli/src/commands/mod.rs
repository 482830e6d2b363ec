//! One file per command.

pub mod anomalies;
pub mod apply;
pub mod approve;
pub mod backtest;
pub mod check;
pub mod collect;
pub mod completions;
pub mod doctor;
pub mod evaluate;
pub mod explain;
pub mod export;
pub mod feedback;
pub mod forecast;
pub mod ingest;
pub mod init;
pub mod judge;
pub mod labels;
pub mod lake;
pub mod log;
pub mod materialize;
pub mod own_table;
pub mod plan;
pub mod predict;
pub mod privacy;
pub mod record;
pub mod report;
pub mod rollback;
pub mod run;
pub mod schema;
pub mod shadow;
pub mod sql;
pub mod stack;
pub mod trace;
pub mod train;
pub mod verify;
pub mod what_if;

use crate::args::Command;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use std::future::Future;
use std::pin::Pin;

/// Carries out a command. Boxed, because `run` comes back here for each of its steps.
pub fn dispatch(context: &Context, command: Command) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + '_>> {
    Box::pin(async move {
        match command {
            Command::Record(args) => record::inside(&args),
            Command::Collect(args) => collect::run(context, args).await,
            Command::Ingest(args) => ingest::run(context, args).await,
            Command::Materialize(args) => materialize::run(context, args).await,
            Command::Check => check::run(context).await,
            Command::Lake(args) => lake::run(context, args).await,
            Command::Privacy(args) => privacy::run(context, args).await,
            Command::Sql(args) => sql::run(context, args).await,
            Command::Trace(args) => trace::run(context, args).await,
            Command::Train(args) => train::run(context, args).await,
            Command::Evaluate(args) => evaluate::run(context, args).await,
            Command::Backtest(args) => backtest::run(context, args).await,
            Command::Shadow(args) => shadow::run(context, args).await,
            Command::Forecast(args) => forecast::run(context, args).await,
            Command::Anomalies(args) => anomalies::run(context, args).await,
            Command::Explain(args) => explain::run(context, args).await,
            Command::Predict(args) => predict::run(context, args).await,
            Command::WhatIf(args) => what_if::run(context, args).await,
            Command::Plan(args) => plan::run(context, args).await,
            Command::Approve(args) => approve::run(context, args).await,
            Command::Apply(args) => apply::run(context, args).await,
            Command::Verify(args) => verify::run(context, args).await,
            Command::Rollback(args) => rollback::run(context, args).await,
            Command::Log(args) => log::run(context, args).await,
            Command::Stack(args) => stack::run(context, args).await,
            Command::Judge(args) => judge::run(context, args).await,
            Command::Feedback(args) => feedback::run(context, args).await,
            Command::Labels(args) => labels::run(context, args).await,
            Command::Report(args) => report::run(context, args).await,
            Command::Export(args) => export::run(context, args).await,
            Command::Run(args) => run::run(context, args).await,
            Command::Doctor(args) => doctor::run(context, args).await,
            Command::Init(args) => init::run(context, args),
            Command::Completions(args) => completions::completions(context, &args),
            Command::Man(args) => completions::man(context, &args),
            Command::Schema(args) => schema::run(context, args),
        }
    })
}
