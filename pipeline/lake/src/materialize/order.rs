//! Brings steps up to date in the order of their references, those that do not read one another side by side.

use super::days::Expected;
use super::follows::{Follows, Rule};
use super::{Built, Step, Work};
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::model;
use domain::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::available_parallelism;
use tokio::task::JoinSet;

/// A step, and how far it is.
struct Place {
    step: Arc<Step>,
    /// The steps before it whose tables it reads.
    after: Vec<usize>,
    state: State,
}

enum State {
    Waiting,
    Running,
    Done(Vec<Built>),
}

impl Place {
    fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }
}

impl Step {
    /// Whether it takes so many rows at a time, whatever the size of the lake: what sorts a whole history has the memory for
    /// itself.
    fn is_bounded(&self, work: &Work) -> bool {
        let by_days = |rule: &Option<Rule>| matches!(rule, Some(Rule { follows: Follows::Tables(_), .. }));
        match work {
            Work::Nothing | Work::Days { .. } | Work::PullRequests(_) => true,
            Work::Whole(_) => self.rules.iter().all(by_days),
        }
    }
}

impl Lake {
    /// Brings all steps up to date; says what was done in their order. With `whole`, makes all of them whole, for this reason.
    pub(super) async fn bring_all(
        &self,
        mut session: Session,
        now: Timestamp,
        steps: Vec<Step>,
        whole: Option<&str>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Built>, LakeError> {
        let mut places = places(steps, &session)?;
        let cores = available_parallelism().map_or(1, usize::from);
        let mut running: JoinSet<Result<(usize, Vec<Built>), LakeError>> = JoinSet::new();
        loop {
            let mut is_alone = false;
            for n in 0..places.len() {
                let Place { step, after, state } = &places[n];
                let is_ready = matches!(state, State::Waiting) && after.iter().all(|&before| places[before].is_done());
                if !is_ready || is_alone || running.len() >= cores {
                    continue;
                }
                let step = step.clone();
                let work = self.to_do(&session, &step, whole).await?;
                is_alone = !step.is_bounded(&work);
                if is_alone && !running.is_empty() {
                    continue;
                }
                step.files.iter().for_each(|file| progress(&file.name.to_string()));
                places[n].state = State::Running;
                // Another handle of the same engine: what a step registers there is what the later ones read.
                let (lake, whole, mut session) = (self.clone(), whole.map(str::to_owned), session.clone());
                running.spawn(async move {
                    let built = lake.bring(&mut session, now, &step, whole.as_deref(), work).await?;
                    Ok((n, built))
                });
            }
            let Some(ended) = running.join_next().await else { break };
            let (n, built) =
                ended.map_err(|error| LakeError::Stopped("the tables".to_owned(), error.to_string()))??;
            for file in &places[n].step.files {
                self.register(&mut session, &file.name).await?;
            }
            places[n].state = State::Done(built);
        }
        let built = |place: Place| match place.state {
            State::Done(built) => built,
            State::Waiting | State::Running => Vec::new(),
        };
        Ok(places.into_iter().flat_map(built).collect())
    }

    /// What there is to do for one step.
    pub(super) async fn to_do(&self, session: &Session, step: &Step, whole: Option<&str>) -> Result<Work, LakeError> {
        match whole {
            Some(why) => Ok(Work::Whole(why.to_owned())),
            None => self.work(session, step, &Expected::new(), &[]).await,
        }
    }
}

fn places(steps: Vec<Step>, session: &Session) -> Result<Vec<Place>, LakeError> {
    let mut places: Vec<Place> = Vec::new();
    for step in steps {
        let mut reads = BTreeSet::new();
        for file in &step.files {
            reads.extend(model::references(file, &session.context)?);
        }
        let is_read = |place: &Place| place.step.files.iter().any(|file| reads.contains(&file.name.to_string()));
        let after = places.iter().enumerate().filter(|(_, place)| is_read(place)).map(|(n, _)| n).collect();
        places.push(Place { step: Arc::new(step), after, state: State::Waiting });
    }
    Ok(places)
}
