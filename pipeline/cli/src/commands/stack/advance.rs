//! `stack advance`: one tick of an approved rollout. It looks at the requests since the last share was set, judges the canary
//! against the control of the same time, and sets the next share, waits, or takes everything back. Then it ends.
//!
//! Whatever a killed tick began is finished by the next: the journal says what was to be done, the map what was.

use super::declared;
use super::route::redeclared;
use crate::artifacts::journal_path;
use crate::commands::apply::{remarks, tell};
use crate::commands::rollback::restore;
use crate::consent::Consent;
use crate::context::{Answer, Context};
use crate::failure::{Exit, Failure};
use crate::ledger::{Act, enter};
use crate::plan_file::read_plan;
use crate::targets::Targets;
use clap::Args;
use domain::Timestamp;
use domain::judge::{Judgement, judge};
use domain::plan::Plan;
use domain::privacy::Privacy;
use domain::rollout::{Metric, Rollout, Tick};
use domain::task::shares_in_words;
use lake::Lake;
use serde_json::{Value, json};
use stack::{Change, Health, Held, How, Journal, Phase, Progress, StackError, Work};
use std::path::{Path, PathBuf};

/// The arguments of `stack advance`.
#[derive(Debug, Args)]
#[command(after_help = "\
Ingest the router's log first. Call the command from cron until it reports the
end of the rollout; frequent calls do not increase the error. Exit codes: 0 the
next share is set, or all users are on the canary; 3 rolled back; 4 refused; 5
too little evidence yet, or a control that is not concurrent.

Examples:
  pipeline ingest haproxy.ndjson
  pipeline stack advance plan.json")]
pub struct AdvanceArgs {
    /// The plan file of an approved rollout
    plan: PathBuf,
    #[command(flatten)]
    consent: Consent,
}

/// A rollout that is held for one tick.
struct Ticking<'a> {
    context: &'a Context,
    lake: &'a Lake,
    privacy: &'a Privacy,
    plan: &'a Plan,
    rollout: &'a Rollout,
    targets: &'a Targets,
}

/// One tick.
pub async fn run(context: &Context, args: AdvanceArgs) -> Result<Answer, Failure> {
    let plan = read_plan(&args.plan)?;
    let Some(rollout) = &plan.rollout else {
        return Err(Failure::new(Exit::Usage, format!("{} is no rollout", plan.plan_id))
            .hint("`pipeline apply` carries it out; a rollout is made by `pipeline stack route GROUP`"));
    };
    let (lake, privacy) = context.lake_with_key().await?;
    let items = args.consent.to(context, &lake, &privacy, &plan).await?;
    if items.len() < plan.items.len() {
        return Err(Failure::new(Exit::Refused, format!("only some steps of {} are approved", plan.plan_id))
            .hint("a rollout is approved as a whole: `pipeline approve` without --item"));
    }
    still_declared(rollout)?;
    let targets = Targets::of(&plan, &items)?;
    let tick = Ticking { context, lake: &lake, privacy: &privacy, plan: &plan, rollout, targets: &targets };
    let mut held = targets.hold()?;
    let mut journal = match lake.document::<Journal>(&journal_path(&plan)).await? {
        Some(journal) => journal,
        None => Journal::new(&plan),
    };
    match journal.state {
        Phase::Planned => return tick.grow(&mut held, &mut journal, &[]).await,
        Phase::RollingBack | Phase::GoingBack => {
            drop(held);
            return tick.go_back("a tick that was broken off had begun to", &[]).await;
        }
        Phase::RolledBack | Phase::WentBack => {
            let brief = format!("{} was rolled back", plan.plan_id);
            context.say(&brief);
            return Ok(told(Exit::Findings, tick.json("rolled back", &journal, &[]), brief));
        }
        Phase::Prepared | Phase::Applied => {}
    }
    tick.steady(&mut held, &mut journal)?;
    tick.finish(&mut journal).await?;
    let done = steps_done(&journal);
    if done == journal.steps.len() {
        tick.promoted(&mut journal).await?;
        let brief = format!("done: all users are on {}", rollout.canary);
        context.say(&brief);
        return Ok(told(Exit::Done, tick.json("promoted", &journal, &[]), brief));
    }
    // A step whose end nobody wrote down is looked at from now on.
    let since = match journal.steps[done - 1].done_at {
        Some(since) => since,
        None => tick.mark(&mut journal, done - 1)?,
    };
    let judged = tick.look(since).await?;
    let verdict = rollout.tick(&judged);
    match &verdict {
        Tick::Grow => {
            let answer = tick.grow(&mut held, &mut journal, &judged).await?;
            tick.tell_verdicts(&judged, done, "grow").await?;
            Ok(answer)
        }
        Tick::GoBack(why) => {
            // What it harms goes first: the lock is given back so that the rollback may have it.
            drop(held);
            let answer = tick.go_back(why, &judged).await?;
            tick.tell_verdicts(&judged, done, "rollback").await?;
            Ok(answer)
        }
        Tick::Hold(why) => {
            tick.tell_verdicts(&judged, done, "hold").await?;
            let share = shares_in_words(&rollout.shares[done]);
            context.say_wrapped("hold: ", &format!("{share}; {why}"), 6);
            tick.show(&judged);
            let json = tick.json("hold", &journal, &judged);
            Ok(told(Exit::Inconclusive, json, format!("hold at {share}: {why}")))
        }
    }
}

/// The answer, with its line: a job's summary tells it.
fn told(exit: Exit, mut json: Value, brief: String) -> Answer {
    json["brief"] = brief.as_str().into();
    Answer::new(exit, json).brief(brief)
}

/// Refuses where the stack declares something else than what was approved.
fn still_declared(rollout: &Rollout) -> Result<(), Failure> {
    let path = Path::new(&rollout.manifest);
    if !path.exists() {
        return Ok(());
    }
    let differs = redeclared(&declared::read(path)?, rollout);
    if differs.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Refused,
        format!("{} changed since it was approved: {}", path.display(), differs.join("; ")),
    )
    .hint("put it back, or take the rollout back with `pipeline rollback` and plan a new one"))
}

/// Steps that are done: the first are.
fn steps_done(journal: &Journal) -> usize {
    journal.steps.iter().take_while(|step| step.progress == Progress::Done).count()
}

impl Ticking<'_> {
    fn how(&self) -> How {
        How { now: self.context.now, at_once: 1, health: Health::default(), work: Work::IGNORED }
    }

    /// A step that a killed tick began is finished; a router that went astray is told again.
    fn steady(&self, held: &mut [Held], journal: &mut Journal) -> Result<(), Failure> {
        let mut save = |journal: &Journal| self.targets.keep(self.lake, self.plan, journal);
        tokio::task::block_in_place(|| stack::steady(held, journal, &self.how(), &mut save))?;
        Ok(())
    }

    /// The moment from which on requests count for a step.
    fn mark(&self, journal: &mut Journal, i: usize) -> Result<Timestamp, Failure> {
        // Later than the change itself: a request before it was still sent by the share before.
        let at = match self.context.fixed_clock {
            true => self.context.now,
            false => Timestamp(chrono::Utc::now().timestamp_micros()),
        };
        journal.steps[i].done_at = Some(at);
        self.targets
            .keep(self.lake, self.plan, journal)
            .map_err(|source| Failure::from(StackError::Save { plan_id: self.plan.plan_id.clone(), source }))?;
        Ok(at)
    }

    /// What a killed tick had no time to tell is told now.
    async fn finish(&self, journal: &mut Journal) -> Result<(), Failure> {
        for i in 0..steps_done(journal) {
            let items = &journal.steps[i].items.clone();
            let result = shares_in_words(&self.rollout.shares[i + 1]);
            let act = Act { plan: self.plan, action: "advance", items, result: &result };
            if enter(self.context, self.lake, self.privacy, act).await? {
                tell(self.context, self.privacy, self.plan, journal, "advance", items).await?;
            }
        }
        Ok(())
    }

    /// With the last step the plan counts as applied.
    async fn promoted(&self, journal: &mut Journal) -> Result<(), Failure> {
        let items: Vec<String> = self.plan.items.iter().map(|item| item.id.clone()).collect();
        let act = Act { plan: self.plan, action: "apply", items: &items, result: "promoted" };
        enter(self.context, self.lake, self.privacy, act).await?;
        debug_assert!(journal.state == Phase::Applied);
        Ok(())
    }

    async fn grow(
        &self,
        held: &mut [Held],
        journal: &mut Journal,
        judged: &[(Metric, Judgement)],
    ) -> Result<Answer, Failure> {
        let changes = Change::of(self.plan, &self.plan.items.iter().map(|item| item.id.clone()).collect::<Vec<_>>());
        let ended = {
            let mut save = |journal: &Journal| self.targets.keep(self.lake, self.plan, journal);
            tokio::task::block_in_place(|| stack::step(held, &changes, journal, &self.how(), &mut save))
        };
        if let Err(error) = ended {
            if matches!(error, StackError::WentBack { .. }) {
                let items: Vec<String> = self.plan.items.iter().map(|item| item.id.clone()).collect();
                let act = Act { plan: self.plan, action: "revert", items: &items, result: "failed, and taken back" };
                enter(self.context, self.lake, self.privacy, act).await?;
            }
            return Err(error.into());
        }
        let done = steps_done(journal);
        self.mark(journal, done - 1)?;
        self.finish(journal).await?;
        let share = shares_in_words(&self.rollout.shares[done]);
        let (word, brief) = match done == journal.steps.len() {
            true => {
                self.promoted(journal).await?;
                ("promoted", format!("promoted: {share}"))
            }
            false => ("grow", format!("grow: {share}")),
        };
        self.context.say(&brief);
        self.show(judged);
        remarks(self.context, journal);
        Ok(told(Exit::Done, self.json(word, journal, judged), brief))
    }

    async fn go_back(&self, why: &str, judged: &[(Metric, Judgement)]) -> Result<Answer, Failure> {
        let restored = restore(self.context, self.plan).await?;
        let brief = format!("rolled back: {why}");
        self.context.say_wrapped("rolled back: ", why, 13);
        self.show(judged);
        let mut json = json!({"plan_id": self.plan.plan_id, "result": "rolled back", "why": why,
            "metrics": metrics(judged)});
        json["restored"] = restored.json;
        Ok(told(Exit::Findings, json, brief))
    }

    /// Judges every metric on the requests since a moment, of both groups.
    async fn look(&self, since: Timestamp) -> Result<Vec<(Metric, Judgement)>, Failure> {
        let select = ["stack.requests".to_owned()];
        self.lake.materialize(self.context.now, &select, false, false, &mut |_| {}).await?;
        let session = self.lake.session(self.context.now).await?;
        let (from, until) = (since.to_string(), self.context.now.to_string());
        let mut judged = Vec::new();
        for metric in &self.rollout.metrics {
            let ask = async |group: &str| -> Result<_, Failure> {
                let given = [("group", group), ("from", &from), ("until", &until)];
                Ok(session.answer("canary", &given, metric.name()).await?.observations)
            };
            let (control, canary) = (ask(&self.rollout.control).await?, ask(&self.rollout.canary).await?);
            let found = judge(&control, &canary, &self.rollout.rules(*metric));
            let found = found.map_err(|error| {
                Failure::new(Exit::Failed, format!("cannot judge {} of {}: {error}", metric.name(), self.plan.plan_id))
            })?;
            judged.push((*metric, found));
        }
        Ok(judged)
    }

    /// One `verdict` event a metric, through the same door as every event.
    async fn tell_verdicts(&self, judged: &[(Metric, Judgement)], step: usize, tick: &str) -> Result<(), Failure> {
        let share = self.rollout.shares[step].get(&self.rollout.canary).copied().unwrap_or(0);
        let lines = judged.iter().zip(metrics(judged)).map(|((metric, _), mut payload)| {
            payload["plan_id"] = self.plan.plan_id.as_str().into();
            payload["metric"] = metric.name().into();
            payload["control"] = self.rollout.control.as_str().into();
            payload["canary"] = self.rollout.canary.as_str().into();
            payload["share"] = share.into();
            payload["tick"] = tick.into();
            json!({"ts": self.context.now, "type": "verdict", "payload": payload}).to_string()
        });
        self.context.tell(self.privacy, &self.plan.plan_id, &lines.collect::<Vec<_>>()).await
    }

    fn show(&self, judged: &[(Metric, Judgement)]) {
        for (metric, it) in judged {
            let text = format!("{}, {} users of each arm: {}", it.verdict.name(), it.used, it.reason);
            self.context.say_wrapped(format!("  {:<13} ", metric.name()), &text, 16);
        }
    }

    fn json(&self, result: &str, journal: &Journal, judged: &[(Metric, Judgement)]) -> Value {
        let done = steps_done(journal);
        json!({"plan_id": self.plan.plan_id, "result": result, "step": done, "steps": self.plan.items.len(),
            "shares": self.rollout.shares.get(done), "since": done.checked_sub(1).and_then(|i| journal.steps[i].done_at),
            "metrics": metrics(judged)})
    }
}

/// What the judge said of each metric.
fn metrics(judged: &[(Metric, Judgement)]) -> Vec<Value> {
    let of = |(metric, it): &(Metric, Judgement)| {
        json!({"metric": metric.name(), "verdict": it.verdict.name(), "look": it.looks, "n": it.used,
            "effect": it.effect.map(|effect| effect.change), "lower": it.effect.and_then(|effect| effect.lower),
            "upper": it.effect.and_then(|effect| effect.upper), "alpha_spent": it.alpha_spent, "evidence": it.reason})
    };
    judged.iter().map(of).collect()
}
