//! The rules file: which prediction leads to which action, what a needed service is, which runners there are, and what may
//! be approved without a person.
//!
//! Owns the form of `rules.toml` and what of it cannot be meant. The thresholds are those of a team; the ones inside
//! ([`DEFAULT`]) hold where it names none.

mod approval;
mod runner;

pub use approval::{AutoApproval, Candidates};
pub use runner::Runner;

use crate::overrides::matches;
use crate::plan::Action;
use crate::time::parse_span;
use crate::units::parse_share;
use serde::{Deserialize, Serialize};

/// The rules that hold without `--rules`, in TOML.
pub const DEFAULT: &str = include_str!("rules/default.toml");

/// The file that `plan --rules` and `approve --auto` read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// What is done about what is predicted; each rule acts for itself.
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// What the services are that runs need.
    #[serde(default)]
    pub service: Vec<Service>,
    /// The machines of CI, the smallest first.
    #[serde(default)]
    pub runner: Vec<Runner>,
    /// What is approved without a person.
    pub approve: Option<AutoApproval>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Form")]
pub struct Rule {
    /// What is predicted.
    pub when: When,
    /// Above so much: a share of 1, or microseconds of a span; none where there is nothing to be above.
    pub above: Option<f64>,
    /// Of which resources or repositories; `*` stands for any run of characters.
    pub resource: String,
    /// What is planned.
    pub then: Action,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The chance that the next hour of a resource is contended.
    Contention,
    /// What nine in ten runs of a job stay below.
    BuildTime,
    /// A service that coming runs will likely call, and which does not run.
    NewService,
    /// One that nothing called for so long, and that no coming run will likely call.
    UnneededService,
    /// Images and packages that coming runs will likely need, and which are not there.
    ChangedDependency,
    /// The highest forecast, as a share of the limit.
    ForecastBreach,
    /// Memory that leaks, and the share of its limit that it has filled.
    Leak,
}

/// A service that runs need, and what it is made from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// How runs name it: `postgres`, or a package, `pkg:npm/playwright`; `*` stands for any run of characters.
    pub need: String,
    /// `env/service` that is started for it; else any whose service is called as the need.
    pub resource: Option<String>,
    /// The image that it runs.
    pub image: Option<String>,
    /// A file with that image, as `docker save` writes it.
    pub archive: Option<String>,
}

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    when: When,
    above: Option<String>,
    #[serde(default = "all")]
    resource: String,
    then: Action,
}

fn all() -> String {
    "*".to_owned()
}

/// How a threshold is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Share,
    Span,
    None,
}

impl When {
    fn unit(self) -> Unit {
        match self {
            Self::Contention | Self::ForecastBreach | Self::Leak => Unit::Share,
            Self::BuildTime | Self::UnneededService => Unit::Span,
            Self::NewService | Self::ChangedDependency => Unit::None,
        }
    }

    fn actions(self) -> &'static [Action] {
        match self {
            Self::Contention => &[Action::Resize, Action::Prioritize],
            Self::BuildTime => &[Action::Optimize],
            Self::NewService => &[Action::Provision],
            Self::UnneededService => &[Action::Deprovision],
            Self::ChangedDependency => &[Action::Prefetch],
            Self::ForecastBreach => &[Action::Resize],
            Self::Leak => &[Action::Restart],
        }
    }

    fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
    }
}

impl TryFrom<Form> for Rule {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let Form { when, above, resource, then } = form;
        let name = when.name();
        if !when.actions().contains(&then) {
            let known: Vec<&str> = when.actions().iter().map(|action| action.name()).collect();
            return Err(format!("{name} leads to {}, not to {}", known.join(" or "), then.name()));
        }
        let above = match (when.unit(), above.as_deref()) {
            (Unit::None, None) => None,
            (Unit::None, Some(_)) => return Err(format!("{name} has no `above`")),
            (Unit::Share, Some(text)) => {
                let share = parse_share(text).filter(|share| (0.0..=100.0).contains(share));
                Some(share.ok_or_else(|| format!("cannot read {text:?}: write a share, as \"60%\""))?)
            }
            (Unit::Span, Some(text)) => {
                let span = parse_span(text).filter(|span| *span > 0);
                Some(span.ok_or_else(|| format!("cannot read {text:?}: write a span, as \"15m\""))? as f64)
            }
            (_, None) => return Err(format!("{name} needs `above`")),
        };
        Ok(Self { when, above, resource, then })
    }
}

impl Rules {
    /// The rule that leads from what is predicted of a resource to an action: of several, the one with the lowest
    /// threshold.
    pub fn of(&self, when: When, then: Action, resource: &str) -> Option<&Rule> {
        let fits = |rule: &&Rule| rule.when == when && rule.then == then && matches(&rule.resource, resource);
        self.rule.iter().filter(fits).min_by(|a, b| a.above.unwrap_or(0.0).total_cmp(&b.above.unwrap_or(0.0)))
    }

    /// Whether something that is predicted of a resource, at so much, leads to an action.
    pub fn leads(&self, when: When, at: f64, then: Action, resource: &str) -> bool {
        self.of(when, then, resource).is_some_and(|rule| rule.above.is_none_or(|above| at > above))
    }

    /// The lowest threshold of anything that leads to an action; none where nothing does.
    pub fn least(&self, when: When, then: Action) -> Option<f64> {
        let of = self.rule.iter().filter(|rule| rule.when == when && rule.then == then);
        of.map(|rule| rule.above.unwrap_or(0.0)).min_by(f64::total_cmp)
    }
}
