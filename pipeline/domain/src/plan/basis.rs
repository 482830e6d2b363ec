//! What a plan rests on beside the limits of its targets, and how far it may move before the plan is no longer of today.
//!
//! Owns the comparison of then and now. What this program did itself, an adjustment, is no movement: only samples, models and
//! forecasts are looked at.

use super::{ModelRef, State};
use crate::Timestamp;
use crate::time::{HOUR, format_span};
use crate::units::format_bytes;
use serde::{Deserialize, Serialize};

/// How far what a plan rests on may move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// The newest sample may be so much newer, hours.
    pub data_hours: f64,
    /// How many of the models may have been replaced.
    pub models: u32,
    /// What a forecast may move by, as a share of the planned limit.
    pub forecast_share: f64,
}

impl Default for Tolerance {
    /// Three nights of data, the same models, and half of what a change is worth making for twice over.
    fn default() -> Self {
        Self { data_hours: 72.0, models: 0, forecast_share: 0.2 }
    }
}

/// The forecast of one resource: the highest upper bound of its hours, and which model won.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// `env/service`.
    pub resource: String,
    /// The highest upper bound.
    pub upper: State,
    /// Which models won, in words.
    pub model: String,
}

/// What a plan rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// How far it may move.
    pub tolerance: Tolerance,
    /// The models in use.
    pub models: Vec<ModelRef>,
    /// The newest forecast of each resource.
    pub forecasts: Vec<Forecast>,
}

/// The same today.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Today {
    /// The newest sample; none where there is none any more.
    pub data_watermark: Option<Timestamp>,
    /// The models in use.
    pub models: Vec<ModelRef>,
    /// The newest forecast of each resource.
    pub forecasts: Vec<Forecast>,
}

impl Basis {
    /// What moved beyond the tolerance, in words, from what to what: of a plan whose newest sample was `watermark`, and of the
    /// resources that it changes to these limits.
    pub fn moved(&self, watermark: Timestamp, changed: &[(&str, State)], today: &Today) -> Vec<String> {
        let mut moved = Vec::new();
        moved.extend(self.data(watermark, today));
        moved.extend(self.models(today));
        for (resource, limits) in changed {
            let of = |all: &[Forecast]| all.iter().find(|it| it.resource == *resource).cloned();
            if let (Some(then), Some(now)) = (of(&self.forecasts), of(&today.forecasts)) {
                moved.extend(self.forecast(&then, &now, *limits));
            }
        }
        moved
    }

    fn data(&self, watermark: Timestamp, today: &Today) -> Option<String> {
        let Some(now) = today.data_watermark else {
            return Some(format!("the data: its newest sample was of {}, and there is none now", watermark.minute()));
        };
        let by = now.0 - watermark.0;
        let most = (self.tolerance.data_hours * HOUR as f64) as i64;
        (by.abs() > most).then(|| {
            let (from, to, by) = (watermark.minute(), now.minute(), format_span(by.abs()));
            format!(
                "the data: the newest sample moved from {from} to {to}, by {by}; {} are let pass",
                format_span(most)
            )
        })
    }

    fn models(&self, today: &Today) -> Option<String> {
        let replaced: Vec<String> = self
            .models
            .iter()
            .filter_map(|then| {
                let now = today.models.iter().find(|now| now.name == then.name);
                let version = now.map_or("none", |now| now.version.as_str());
                (version != then.version).then(|| format!("{} from {} to {version}", then.name, then.version))
            })
            .collect();
        (replaced.len() > self.tolerance.models as usize).then(|| format!("the model: {}", replaced.join(", ")))
    }

    fn forecast(&self, then: &Forecast, now: &Forecast, limits: State) -> Option<String> {
        let share = |from: f64, to: f64, limit: f64| (to - from).abs() / limit.max(f64::MIN_POSITIVE);
        let most = self.tolerance.forecast_share;
        let mut parts = Vec::new();
        if let (Some(from), Some(to)) = (then.upper.cpu_cores, now.upper.cpu_cores)
            && share(from, to, limits.cpu_cores.unwrap_or(from)) > most
        {
            parts.push(format!("{from:.2} to {to:.2} cores"));
        }
        if let (Some(from), Some(to)) = (then.upper.memory_bytes, now.upper.memory_bytes)
            && share(from as f64, to as f64, limits.memory_bytes.unwrap_or(from) as f64) > most
        {
            parts.push(format!("{} to {}", format_bytes(from as f64), format_bytes(to as f64)));
        }
        (!parts.is_empty()).then(|| {
            let percent = most * 100.0;
            format!(
                "the forecast: {} from {}; {percent:.0} % of the limit are let pass",
                then.resource,
                parts.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::MIB;

    fn forecast(cpu: f64, mib: u64) -> Forecast {
        let upper = State { cpu_cores: Some(cpu), memory_bytes: Some(mib * MIB) };
        Forecast { resource: "dev/web".into(), upper, model: "mstl".into() }
    }

    fn model(version: &str) -> ModelRef {
        ModelRef { name: "contention".into(), version: version.into() }
    }

    fn basis() -> Basis {
        Basis { tolerance: Tolerance::default(), models: vec![model("1")], forecasts: vec![forecast(1.0, 500)] }
    }

    fn moved(hours: i64, version: &str, now: Forecast) -> Vec<String> {
        let today =
            Today { data_watermark: Some(Timestamp(hours * HOUR)), models: vec![model(version)], forecasts: vec![now] };
        let limits = State { cpu_cores: Some(2.0), memory_bytes: Some(1000 * MIB) };
        basis().moved(Timestamp(0), &[("dev/web", limits)], &today)
    }

    #[test]
    fn what_stays_within_the_tolerance_is_no_movement() {
        assert_eq!(moved(0, "1", forecast(1.0, 500)), Vec::<String>::new());
        assert_eq!(moved(72, "1", forecast(1.39, 301)), Vec::<String>::new());
    }

    #[test]
    fn each_movement_says_from_what_to_what() {
        assert_eq!(
            moved(96, "1", forecast(1.0, 500)),
            ["the data: the newest sample moved from 1970-01-01 00:00 to 1970-01-05 00:00, by 4d; 3d are let pass"]
        );
        assert_eq!(moved(0, "2", forecast(1.0, 500)), ["the model: contention from 1 to 2"]);
        let said = moved(0, "1", forecast(1.5, 800));
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("dev/web from 1.00 to 1.50 cores, 500 MiB to 800 MiB"), "{said:?}");
        assert!(said[0].contains("20 % of the limit"), "{said:?}");
    }

    #[test]
    fn a_replaced_model_passes_where_the_plan_says_so_and_what_vanished_moved() {
        let mut basis = basis();
        let today = Today { data_watermark: Some(Timestamp(0)), ..Today::default() };
        assert_eq!(basis.moved(Timestamp(0), &[], &today), ["the model: contention from 1 to none"]);
        basis.tolerance.models = 1;
        assert!(basis.moved(Timestamp(0), &[], &today).is_empty());
        assert!(basis.moved(Timestamp(0), &[], &Today::default())[0].contains("there is none now"));
    }
}
