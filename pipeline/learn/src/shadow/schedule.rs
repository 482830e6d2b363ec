//! What is known to be coming: scheduled events, and what they do to a forecast.

use super::hours::{History, Hour};
use crate::LearnError;
use crate::forecast::Outlook;
use crate::frame::Frame;
use domain::Timestamp;
use domain::columns::schedule as s;
use domain::holidays::AtRest;
use domain::time::HOUR;
use std::collections::BTreeMap;
use std::path::Path;

/// A deployment or load of unknown size, never seen before, may need half as much again: the upper bound makes room for it.
pub(super) const UNKNOWN_EVENT_FACTOR: f64 = 1.5;
/// What past events may teach: a ratio outside says more about the hours compared than about the event.
const LEARNT_RATIO: std::ops::RangeInclusive<f64> = 0.25..=5.0;

/// A scheduled event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    resource: Option<String>,
    event_type: String,
    pub(super) start: Timestamp,
    end: Timestamp,
    scale: Option<f64>,
}

impl Event {
    /// Whether it names the resource, its environment (what is before `/`), or all.
    pub(super) fn touches(&self, resource: &str) -> bool {
        let env = resource.split_once('/').map_or(resource, |(env, _)| env);
        self.resource.as_deref().is_none_or(|r| r.is_empty() || r == resource || r == env)
    }

    /// Whether it says that nobody works, and nothing else.
    pub(super) fn is_holiday(&self) -> bool {
        self.event_type == "holiday"
    }

    /// Whether another version is brought out.
    pub(super) fn is_deployment(&self) -> bool {
        self.event_type == "deployment"
    }

    /// As time at rest.
    pub(super) fn at_rest(&self) -> AtRest {
        AtRest { resource: None, from: self.start, to: self.end }
    }

    /// The hours it overlaps of those from `first` to `last`.
    pub(super) fn hours(&self, first: Hour, last: Hour) -> std::ops::RangeInclusive<Hour> {
        let ends = self.end.0.max(self.start.0 + 1) - 1;
        self.start.0.div_euclid(HOUR).max(first)..=ends.div_euclid(HOUR).min(last)
    }

    fn overlaps(&self, hour: Hour) -> bool {
        let starts = hour * HOUR;
        self.start.0 < starts + HOUR && self.end.0.max(self.start.0 + 1) > starts
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<Event>, LearnError> {
    let frame = Frame::read(path)?;
    let (id, resource, kind) = (frame.texts(s::ID)?, frame.texts(s::RESOURCE)?, frame.texts(s::EVENT_TYPE)?);
    let (start, end, scale) = (frame.times(s::START_TIME)?, frame.times(s::END_TIME)?, frame.numbers(s::SCALE)?);
    let rows = (0..frame.rows()).filter_map(|i| {
        Some(Event {
            id: id[i].clone()?,
            resource: resource[i].clone(),
            event_type: kind[i].clone().unwrap_or_default(),
            start: start[i]?,
            end: end[i]?,
            scale: Some(scale[i]).filter(|x| x.is_finite() && *x >= 0.0),
        })
    });
    let mut events: Vec<Event> = rows.collect();
    events.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
    Ok(events)
}

/// The event that counts in an hour: the largest known scale, then the earliest start; a holiday where there is nothing else.
pub(super) fn strongest<'a>(events: &[&'a Event], hour: Hour) -> Option<&'a Event> {
    let over = events.iter().filter(|event| event.overlaps(hour));
    over.fold(None, |best: Option<&Event>, event| match best {
        Some(best) if event.is_holiday() && !best.is_holiday() => Some(best),
        Some(best) if best.is_holiday() && !event.is_holiday() => Some(event),
        Some(best) if best.scale.unwrap_or(0.0) >= event.scale.unwrap_or(0.0) => Some(best),
        _ => Some(event),
    })
}

/// What events do to the hours they touch: a known scale multiplies centre and upper bound; one without is taken to do what
/// its kind did to this resource before. Where none has been seen a deployment or load widens the upper bound, and
/// maintenance changes nothing. What a holiday does is [`super::usual`]'s.
pub(super) fn apply(outlook: &mut Outlook, history: &History, figure: usize, events: &[&Event], first: Hour) {
    let mut learnt: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    for step in 0..outlook.centre.len() {
        let Some(event) = strongest(events, first + step as i64) else { continue };
        let kind = event.event_type.as_str();
        let (centre, upper) = match event.scale {
            Some(scale) => (scale, scale),
            None if matches!(kind, "deployment" | "load" | "maintenance") => {
                let ratio = learnt.entry(kind).or_insert_with(|| past_ratio(history, figure, events, kind));
                let unknown = if kind == "maintenance" { 1.0 } else { UNKNOWN_EVENT_FACTOR };
                ratio.map_or((1.0, unknown), |ratio| (ratio, ratio.max(1.0)))
            }
            None => (1.0, 1.0),
        };
        outlook.centre[step] *= centre;
        outlook.upper[step] = (outlook.upper[step] * upper).max(outlook.centre[step]);
        // The load may fail to come, so the lower bound does not rise with it; it falls where less is expected.
        outlook.lower[step] = outlook.lower[step].min(outlook.lower[step] * centre).min(outlook.centre[step]);
    }
}

/// What events of a kind did to a figure: the median over past events of their mean ÷ the mean of the same hours on the up
/// to three days before that no event touched. None where no past event can be compared.
fn past_ratio(history: &History, figure: usize, events: &[&Event], kind: &str) -> Option<f64> {
    let seen = |hour: Hour| history.get(&hour).and_then(|figures| figures[figure]);
    let quiet = |hour: Hour| (!events.iter().any(|e| e.overlaps(hour))).then(|| seen(hour)).flatten();
    let (oldest, newest) = (*history.keys().next()?, *history.keys().next_back()?);
    let mut ratios: Vec<f64> = events
        .iter()
        .filter(|event| event.event_type == kind)
        .filter_map(|event| {
            let (mut during, mut usual) = (0.0, 0.0);
            let from = event.start.0.div_euclid(HOUR).max(oldest);
            let to = event.end.0.div_euclid(HOUR).min(newest);
            for hour in (from..=to).filter(|hour| event.overlaps(*hour)) {
                let before: Vec<f64> = (1..=3).filter_map(|day| quiet(hour - 24 * day)).collect();
                if let (Some(value), false) = (seen(hour), before.is_empty()) {
                    during += value;
                    usual += before.iter().sum::<f64>() / before.len() as f64;
                }
            }
            (usual > 0.0).then_some(during / usual)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    crate::usage::quantile(&ratios, 0.5).map(|r| r.clamp(*LEARNT_RATIO.start(), *LEARNT_RATIO.end()))
}
