//! The candidates: which there are for a series, what each is called, and how each continues it.

use super::decompose::{Decomposed, Seasons};
use super::{autoregression, double_season, intermittent, naive, smoothing, theta};
use std::cell::OnceCell;

/// A way to continue a series. The order breaks ties: simpler first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The last value.
    Naive,
    /// What was a period ago.
    SeasonalNaive(usize),
    /// The median of the last cycles at the same place.
    TypicalCycle(usize),
    /// Chance and size smoothed apart.
    Tsb,
    /// Exponential smoothing without season.
    Ets,
    /// Exponential smoothing with a damped trend.
    DampedTrend,
    /// Optimised theta.
    Theta,
    /// Seasons by repeated LOESS, the rest by exponential smoothing.
    MstlEts,
    /// The same, the rest by theta.
    MstlTheta,
    /// The same, the rest by autoregression.
    MstlAr,
    /// A level and two seasons, smoothed.
    DoubleSeasonal,
    /// Autoregression on few values and each season.
    Ar,
    /// Autoregression on more values, the recent past counting more.
    ArLong,
    /// Autoregression of changes.
    ArChanges,
}

/// A candidate: a way, on the values as they are or on their logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Model {
    kind: Kind,
    log: bool,
}

impl Model {
    /// What was a period ago.
    pub(super) fn seasonal_naive(period: usize) -> Self {
        let kind = if period > 1 { Kind::SeasonalNaive(period) } else { Kind::Naive };
        Self { kind, log: false }
    }

    /// Whether it fits nothing: a yardstick.
    pub(super) fn is_naive(self) -> bool {
        matches!(self.kind, Kind::Naive | Kind::SeasonalNaive(_))
    }

    /// Whether it takes seasons off: of the values, of their logarithms.
    pub(super) fn decomposes(self) -> [bool; 2] {
        let does = matches!(self.kind, Kind::MstlEts | Kind::MstlTheta | Kind::MstlAr);
        [does && !self.log, does && self.log]
    }

    /// Its name in files.
    pub fn name(self) -> String {
        let name = match self.kind {
            Kind::Naive => "naive",
            Kind::SeasonalNaive(period) => return format!("seasonal-naive-{period}"),
            Kind::TypicalCycle(period) => return format!("typical-cycle-{period}"),
            Kind::Tsb => "tsb",
            Kind::Ets => "ets",
            Kind::DampedTrend => "damped-trend",
            Kind::Theta => "theta",
            Kind::MstlEts => "mstl-ets",
            Kind::MstlTheta => "mstl-theta",
            Kind::MstlAr => "mstl-ar",
            Kind::DoubleSeasonal => "double-seasonal",
            Kind::Ar => "ar",
            Kind::ArLong => "ar-long",
            Kind::ArChanges => "ar-changes",
        };
        if self.log { format!("log-{name}") } else { name.to_owned() }
    }

    /// All that may be asked of series with these periods.
    pub(super) fn all(periods: &[usize]) -> Vec<Self> {
        let plain = |kind| Self { kind, log: false };
        let mut all = vec![plain(Kind::Naive)];
        all.extend(periods.iter().map(|p| plain(Kind::SeasonalNaive(*p))));
        all.extend(periods.iter().map(|p| plain(Kind::TypicalCycle(*p))));
        all.push(plain(Kind::Tsb));
        let mut both = |kind| all.extend([false, true].map(|log| Self { kind, log }));
        both(Kind::Ets);
        both(Kind::DampedTrend);
        both(Kind::Theta);
        if !periods.is_empty() {
            both(Kind::MstlEts);
            both(Kind::MstlTheta);
            both(Kind::MstlAr);
            both(Kind::DoubleSeasonal);
        }
        both(Kind::Ar);
        both(Kind::ArLong);
        both(Kind::ArChanges);
        all
    }
}

/// What a candidate says, and the rates that it was fitted with: those of the smoothing, which are searched for.
pub(super) struct Said {
    pub(super) values: Vec<f64>,
    pub(super) rates: Vec<f64>,
}

/// What was known at an origin, and what several candidates need of it.
pub(super) struct Past<'a> {
    values: &'a [f64],
    periods: &'a [usize],
    logs: Option<Vec<f64>>,
    parts: [OnceCell<Option<Decomposed>>; 2],
}

/// STL is cut to so many of the longest period.
const MOST_CYCLES: usize = 12;
/// No forecast on logarithms is further outside what was seen than this factor (e).
const LOG_MARGIN: f64 = 1.0;

/// Continues what is left of a series without its seasons: values, steps.
type OfRest<'r> = &'r dyn Fn(&[f64], usize) -> Option<Said>;

impl<'a> Past<'a> {
    pub(super) fn new(values: &'a [f64], periods: &'a [usize]) -> Self {
        let logs = values.iter().all(|v| *v > 0.0).then(|| values.iter().map(|v| v.ln()).collect());
        Self { values, periods, logs, parts: [OnceCell::new(), OnceCell::new()] }
    }

    /// Takes over the seasons of the values, and of their logarithms, since when so many values came.
    pub(super) fn keep(&mut self, seasons: &[Option<Seasons>; 2], fresh: usize) {
        for (at, y) in [Some(self.values), self.logs.as_deref()].into_iter().enumerate() {
            let known = seasons[at].as_ref().zip(y);
            let parts = known.and_then(|(kept, y)| Decomposed::with(self.recent(y), self.periods, kept, fresh));
            if let Some(parts) = parts {
                self.parts[at] = OnceCell::from(Some(parts));
            }
        }
    }

    /// The seasons that a candidate has asked for, of the values in a unit that is `unit` times as small, and of their logarithms.
    pub(super) fn seasons(&self, unit: f64) -> [Option<Seasons>; 2] {
        [(0, unit), (1, 1.0)].map(|(at, unit)| Some(self.parts[at].get()?.as_ref()?.seasons(unit)))
    }

    /// The part of a series that seasons are looked for in.
    fn recent<'y>(&self, y: &'y [f64]) -> &'y [f64] {
        let most = MOST_CYCLES * self.periods.iter().copied().max().unwrap_or(1);
        &y[y.len().saturating_sub(most)..]
    }

    /// `steps` values after it; none where the candidate cannot be fitted. `rates` are those of an earlier fit, if they are to
    /// be taken over; else they are searched for.
    pub(super) fn forecast(&self, model: Model, steps: usize, rates: Option<&[f64]>) -> Option<Said> {
        let y = if model.log { self.logs.as_deref()? } else { self.values };
        let Said { mut values, rates } = self.on(model, y, steps, rates)?;
        if model.log {
            let (low, high) = y.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            values.iter_mut().for_each(|v| *v = v.clamp(low - LOG_MARGIN, high + LOG_MARGIN).exp());
        }
        (values.len() == steps && values.iter().all(|v| v.is_finite())).then_some(Said { values, rates })
    }

    fn on(&self, model: Model, y: &[f64], steps: usize, rates: Option<&[f64]>) -> Option<Said> {
        let without = |values: Vec<f64>| Said { values, rates: Vec::new() };
        let smoothed = |y: &[f64], steps: usize, fit: fn(&[f64]) -> Option<smoothing::Fitted>| {
            let kept = rates.and_then(|rates| smoothing::with_rates(y, rates.try_into().ok()?));
            let fitted = kept.or_else(|| fit(y))?;
            Some(Said { values: fitted.state.forecast(steps), rates: fitted.rates.to_vec() })
        };
        let bent = |y: &[f64], steps: usize| {
            let kept = rates.and_then(|rates| rates.try_into().ok());
            let (values, rates) = theta::forecast(y, steps, kept)?;
            Some(Said { values, rates: rates.to_vec() })
        };
        let regressed = |form: &autoregression::Form, y: &[f64]| {
            autoregression::forecast(form, y, self.periods, steps).map(without)
        };
        let around = |of: OfRest| {
            let parts = self.parts[usize::from(model.log)].get_or_init(|| Decomposed::of(self.recent(y), self.periods));
            let parts = parts.as_ref()?;
            let Said { values, rates } = of(&parts.rest, steps)?;
            Some(Said { values: parts.with_seasons(values), rates })
        };
        let seen = |period: usize| y.len() >= period;
        match model.kind {
            Kind::Naive => naive::last(y, steps).map(without),
            Kind::SeasonalNaive(period) => naive::seasonal(y, period, steps).map(without),
            Kind::TypicalCycle(period) => seen(period).then(|| naive::typical(y, period, steps))?.map(without),
            Kind::Tsb => intermittent::tsb(y, steps).map(without),
            Kind::Ets => smoothed(y, steps, smoothing::ets),
            Kind::DampedTrend => smoothed(y, steps, smoothing::damped),
            Kind::Theta => bent(y, steps),
            Kind::MstlEts => around(&|rest, steps| smoothed(rest, steps, smoothing::ets)),
            Kind::MstlTheta => around(&bent),
            Kind::MstlAr => around(&|rest, _| regressed(&autoregression::SHORT, rest)),
            Kind::DoubleSeasonal => {
                let kept = rates.and_then(|rates| rates.try_into().ok());
                let (values, rates) = double_season::forecast(y, self.periods, steps, kept)?;
                Some(Said { values, rates: rates.to_vec() })
            }
            Kind::Ar => regressed(&autoregression::SHORT, y),
            Kind::ArLong => regressed(&autoregression::LONG, y),
            Kind::ArChanges => regressed(&autoregression::CHANGES, y),
        }
    }
}
