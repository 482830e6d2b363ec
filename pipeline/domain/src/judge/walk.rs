//! One walk over the pairs in the order in which they came to be: each enters with what is known of it then, and is bet on
//! once. What later pairs bring never changes a bet of before, so that the wealth at any look is the same whenever it is asked.
//!
//! Besides the bets on the typical value there are those on the tail, and those that stand in for a shift where a shift is no
//! model of a regression: values that mostly are equal, yes or no, and counts with zeros.

use super::Arm;
use super::pairs::{Pair, Paired, Row};
use super::quantile::RunningQuantile;
use super::rules::{Direction, Margin, Rules, TailUse};
use super::scale::{Limits, Point, Scale, Seen, is_tie, point};
use super::wealth::{MeanBets, SignBets};
use std::collections::VecDeque;

/// A row is slow when it lies beyond this quantile of all rows of both arms before it.
const TAIL: f64 = 0.95;

/// A pass excludes that the share of slow rows rises by this.
pub const TAIL_MARGIN: f64 = 0.05;

/// Pairs from which on a 95th percentile has a value or two beyond it.
const TAIL_BEGINS: usize = 20;

/// Fewer pairs than this hold too few slow rows to say anything about them.
pub const TAIL_NEEDS: usize = 100;

/// From this share of equal pairs on, values are steps, and a shift by less than a step means nothing.
const TIES: f64 = 1.0 / 3.0;

/// The largest rise of a share that is bet against; beyond it, bets would be on certainty.
const MOST_MARGIN: f64 = 0.95;

/// Everything that was bet on so far.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    paired: &'a Paired,
    rules: &'a Rules,
    seen: Seen,
    limits: Limits,
    slow: RunningQuantile,
    /// Pairs walked over.
    pub pairs: usize,
    /// Of each: by how much more of the candidate's rows were slow.
    pub tail: Vec<f64>,
    /// Slow rows and rows since the tail is watched, of control and candidate.
    pub slow_rows: [(usize, usize); 2],
    ties: usize,
    /// Of each, what was known when it entered.
    pub points: Vec<(Point, Point)>,
    harm: SignBets,
    harm_tail: SignBets,
    /// What there was when half of it went to the tail.
    divided: Option<f64>,
    safe: SignBets,
    calm: Crossing,
    net: Crossing,
    rise: Crossing,
    /// How often, for the whole margin, and for half of it.
    presence: [Crossing; 2],
    sizes: SizeBets,
}

/// A wealth and whether it has ever sufficed.
#[derive(Clone, Debug)]
struct Crossing {
    bets: MeanBets,
    has: bool,
}

impl Crossing {
    fn new(margin: f64) -> Self {
        Self { bets: MeanBets::new(margin.min(MOST_MARGIN)), has: false }
    }

    fn bet(&mut self, difference: f64, line: f64) {
        self.bets.bet(difference);
        self.has |= self.bets.log() >= line;
    }
}

/// Bets on the sizes of what is not zero: the next one of the control against the next one of the candidate.
#[derive(Clone, Debug, Default)]
struct SizeBets {
    waiting: [VecDeque<f64>; 2],
    bets: SignBets,
    has: bool,
}

/// Which test shows that a regression of the margin is excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The control moved by the margin is worse than the candidate.
    ByShift,
    /// The same, and it is not so that the candidate is worse in so many more pairs than it is better.
    ByShiftAndSteps,
    /// The mean of values in [0, 1] does not rise by the margin.
    ByMean,
    /// Neither how often a value is above zero nor how large it is then rises by the margin.
    ByCounts,
    /// By none: no test can exclude it.
    Never(Why),
}

/// Why nothing can exclude a regression of the margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A share of what may be below zero.
    BelowZero,
    /// An amount, of counts that have no upper end.
    Steps,
}

impl<'a> Walk<'a> {
    pub fn new(paired: &'a Paired, rules: &'a Rules) -> Self {
        let (share, amount) = match rules.margin {
            Margin::Relative(share) => (share, MOST_MARGIN),
            Margin::Absolute(amount) => (MOST_MARGIN, amount),
        };
        let against = |shift: f64| Crossing::new(shift.exp() / (1.0 + shift.exp()));
        Self {
            paired,
            rules,
            seen: Seen::default(),
            limits: Limits::default(),
            slow: RunningQuantile::new(TAIL),
            pairs: 0,
            tail: Vec::new(),
            slow_rows: [(0, 0); 2],
            ties: 0,
            points: Vec::new(),
            harm: SignBets::default(),
            harm_tail: SignBets::default(),
            divided: None,
            safe: SignBets::default(),
            calm: Crossing::new(TAIL_MARGIN),
            net: Crossing::new(share),
            rise: Crossing::new(amount),
            presence: [against(rules.shift()), against(rules.shift() / 2.0)],
            sizes: SizeBets::default(),
        }
    }

    /// The wealth at which a pass may rest on a bet.
    fn safety_line(&self) -> f64 {
        (1.0 / self.rules.safety_alpha()).ln()
    }

    /// Goes on until so many pairs have entered.
    pub fn go_on(&mut self, pairs: usize) {
        let paired = self.paired;
        for pair in &paired.pairs[self.pairs..pairs.min(paired.pairs.len())] {
            self.enter(pair);
        }
    }

    fn enter(&mut self, pair: &Pair) {
        let rules = self.rules;
        let until = if self.paired.is_ordered { pair.at } else { i64::MAX };
        let control = self.paired.rows(Arm::Control, &pair.control, until);
        let candidate = self.paired.rows(Arm::Candidate, &pair.candidate, until);
        control.iter().chain(candidate).for_each(|row| self.seen.add(row));
        let scale = self.seen.scale(rules);
        let points = [control, candidate].map(|rows| point(rows, scale, &self.seen, rules.direction));
        points.iter().for_each(|point| self.limits.add(*point));
        let [a, b] = points;
        self.pairs += 1;
        self.points.push((a, b));
        let (line, shift) = (self.safety_line(), rules.shift());
        let worse = self.limits.compare(a, b, 0.0);
        self.ties += usize::from(is_tie(a, b));
        self.harm.bet(worse);
        self.watch_tail(control, candidate, line);
        self.net.bet(if worse == 0.0 { 0.0 } else { worse.signum() }, line);
        match (scale, rules.margin) {
            (Scale::Ratio, _) | (_, Margin::Absolute(_)) => self.safe.bet(-self.limits.compare(a, b, shift)),
            (Scale::Difference, Margin::Relative(_)) => self.bet_on_counts(control, candidate, line),
        }
        self.rise.bet(if scale == Scale::Difference { b.at - a.at } else { 1.0 }, line);
    }

    fn watch_tail(&mut self, control: &[Row], candidate: &[Row], line: f64) {
        let turned = |row: &Row| match self.rules.direction {
            Direction::LowerIsBetter => row.value,
            Direction::HigherIsBetter => -row.value,
        };
        let mut difference = 0.0;
        if let Some(border) = self.slow.value().filter(|_| self.pairs > TAIL_BEGINS) {
            let may_be_more = self.rules.direction == Direction::LowerIsBetter;
            let is_slow = |row: &&Row| turned(row) > border || (may_be_more && row.censored && row.value >= border);
            let mut shares = [0.0; 2];
            for (n, rows) in [control, candidate].into_iter().enumerate() {
                let slow = rows.iter().filter(is_slow).count();
                shares[n] = slow as f64 / rows.len().max(1) as f64;
                self.slow_rows[n] = (self.slow_rows[n].0 + slow, self.slow_rows[n].1 + rows.len());
            }
            difference = shares[1] - shares[0];
            self.harm_tail.bet(difference);
            self.calm.bet(difference, line);
        }
        self.tail.push(difference);
        for row in control.iter().chain(candidate) {
            self.slow.add(turned(row));
        }
        if self.pairs == TAIL_BEGINS && self.seen.has_tail() {
            self.divided = Some(self.harm.log());
        }
    }

    /// A regression of a count is more often, or more at a time: half of the margin each, on a scale of ratios. When all that
    /// is not zero is the same, it is more often by all of it.
    ///
    /// How often: of pairs in which one is above zero and the other is not, a ratio `r` of the two shares makes at least
    /// `r / (1 + r)` go against the candidate, because the odds move further than the shares.
    fn bet_on_counts(&mut self, control: &[Row], candidate: &[Row], line: f64) {
        let worse_is_more = self.rules.direction == Direction::LowerIsBetter;
        let is_there = |rows: &[Row]| rows.iter().any(|row| row.value != 0.0);
        let (in_control, in_candidate) = (is_there(control), is_there(candidate));
        if in_control != in_candidate {
            let is_against = f64::from(u8::from(in_candidate == worse_is_more));
            self.presence.iter_mut().for_each(|presence| presence.bet(is_against, line));
        }
        for (n, rows) in [control, candidate].into_iter().enumerate() {
            let sizes = rows.iter().map(|row| row.value).filter(|value| *value > 0.0);
            let (count, sum) = sizes.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
            if count > 0 {
                self.sizes.waiting[n].push_back((sum / f64::from(count)).ln());
            }
        }
        let turn = if worse_is_more { 1.0 } else { -1.0 };
        while let [Some(a), Some(b)] = [0, 1].map(|n| self.sizes.waiting[n].front().copied()) {
            for queue in &mut self.sizes.waiting {
                queue.pop_front();
            }
            // Equal sizes say nothing here: in steps, a shift by less than one is none.
            if a != b {
                self.sizes.bets.bet(turn * (a - b) + self.rules.shift() / 2.0);
            }
            self.sizes.has |= self.sizes.bets.log() >= line;
        }
    }

    /// Which test can show safety, as far as is seen.
    pub fn shown(&self) -> Shown {
        let is_stepped = self.ties as f64 >= TIES * self.pairs as f64;
        let (low, high) = self.seen.range;
        match (self.seen.scale(self.rules), self.rules.margin) {
            (Scale::Ratio, _) if is_stepped => Shown::ByShiftAndSteps,
            (Scale::Ratio, _) => Shown::ByShift,
            (Scale::Difference, Margin::Relative(_)) if low < 0.0 => Shown::Never(Why::BelowZero),
            (Scale::Difference, Margin::Relative(_)) => Shown::ByCounts,
            (Scale::Difference, Margin::Absolute(_)) if low >= 0.0 && high <= 1.0 => Shown::ByMean,
            (Scale::Difference, Margin::Absolute(_)) if is_stepped => Shown::Never(Why::Steps),
            (Scale::Difference, Margin::Absolute(_)) => Shown::ByShift,
        }
    }

    /// Whether safety is shown, given whether the shift is excluded.
    pub fn is_safe(&self, is_shift_excluded: bool, needs_tail: bool) -> bool {
        if self.rules.tail == TailUse::Alone {
            return self.calm.has;
        }
        let is_typical_safe = match self.shown() {
            Shown::ByShift => is_shift_excluded,
            Shown::ByShiftAndSteps => is_shift_excluded && self.net.has,
            Shown::ByMean => self.rise.has,
            Shown::ByCounts if self.seen.is_presence => self.presence[0].has,
            Shown::ByCounts => self.presence[1].has && self.sizes.has,
            Shown::Never(_) => false,
        };
        is_typical_safe && (!needs_tail || !self.seen.has_tail() || self.calm.has)
    }

    /// Whether values have a tail to speak of.
    pub fn has_tail(&self) -> bool {
        self.seen.has_tail()
    }

    /// The logarithm of the wealth of bets on harm. Half of it is on the tail from when there is one.
    pub fn harm_log(&self) -> f64 {
        match self.divided {
            _ if self.rules.tail == TailUse::Alone => self.harm_tail.log(),
            _ if self.rules.tail == TailUse::Ignored => self.harm.log(),
            None => self.harm.log(),
            Some(before) => {
                let (typical, tail) = (self.harm.log() - before, self.harm_tail.log());
                let top = typical.max(tail);
                let mean = ((typical - top).exp() + (tail - top).exp()) / 2.0;
                before + top + mean.ln()
            }
        }
    }

    /// Whether the bets on the typical value alone would not have sufficed.
    pub fn is_harm_in_tail(&self) -> bool {
        self.rules.tail != TailUse::Ignored && self.divided.is_some() && self.harm.log() < (1.0 / self.rules.alpha).ln()
    }

    /// The logarithm of the wealth of bets that a shift by the margin is excluded.
    pub fn safe_log(&self) -> f64 {
        self.safe.log()
    }
}
