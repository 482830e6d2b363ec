//! Splits inside the training rows that are like the split they will be judged by.
//!
//! Where test rows follow long stretches of training rows, each stretch is cut by time: its beginning learns, what follows is
//! judged, over several origins, each judging as far ahead in proportion as the real test lies. Where test rows lie in
//! between training rows, whole groups are drawn. Only the places of test rows are looked at, never what is in them.

use super::rows::Rows;
use crate::random::Random;
use std::collections::HashMap;

/// Rows to learn from, and rows to judge by what was learnt.
pub(crate) struct Fold {
    pub(crate) learn: Vec<u32>,
    pub(crate) judge: Vec<u32>,
}

/// Where rolling origins cut a stretch.
const ORIGINS: [f64; 4] = [0.4, 0.55, 0.7, 0.85];
/// A stretch of fewer groups (in the median) says nothing about time.
const STRETCH_GROUPS: usize = 20;
/// Fewest rows on either side of a fold, and of either outcome among those learnt from.
const ROWS: usize = 10;

/// Folds over `train` (ascending); `test` says which of all rows are judged in the end. Also whether they are by time: where
/// one of the outcomes came too late for that, groups are drawn.
pub(crate) fn folds(rows: &Rows, train: &[u32], test: &[bool], seed: u64) -> (Vec<Fold>, bool) {
    let by_time = in_time(rows, train, test);
    if by_time.len() >= 2 { (by_time, true) } else { (drawn(rows, train, seed), false) }
}

/// Of each stretch between test rows what comes before an origin, and what follows, as far ahead as the test rows lie; none
/// where stretches are short.
fn in_time(rows: &Rows, train: &[u32], test: &[bool]) -> Vec<Fold> {
    let mut stretches: Vec<Vec<u32>> = Vec::new();
    for &row in train {
        let broken = stretches
            .last()
            .and_then(|s| s.last())
            .is_none_or(|&last| test[last as usize..row as usize].iter().any(|test| *test));
        if broken {
            stretches.push(vec![row])
        } else if let Some(last) = stretches.last_mut() {
            last.push(row)
        }
    }
    let places: Vec<(HashMap<u32, usize>, usize)> = stretches.iter().map(|s| groups_of(rows, s)).collect();
    let mut sizes: Vec<usize> = places.iter().map(|(_, n)| *n).collect();
    sizes.sort_unstable();
    if sizes.get(sizes.len() / 2).is_none_or(|n| *n < STRETCH_GROUPS) {
        return Vec::new();
    }
    let tests = test.iter().filter(|t| **t).count();
    let ahead = (tests as f64 / train.len().max(1) as f64).clamp(0.1, 1.0);
    let at_origin = |origin: f64| {
        let (mut learn, mut judge) = (Vec::new(), Vec::new());
        for (stretch, (place, n)) in stretches.iter().zip(&places) {
            let at = |row: u32| (place[&rows.group[row as usize]] as f64 + 0.5) / *n as f64;
            let later: Vec<u32> =
                stretch.iter().copied().filter(|&row| (origin..origin * (1.0 + ahead)).contains(&at(row))).collect();
            let border = later.first().map_or(i64::MAX, |&row| rows.starts[row as usize]);
            let before = |row: &u32| at(*row) < origin && rows.known[*row as usize] <= border;
            learn.extend(stretch.iter().copied().filter(before));
            judge.extend(later);
        }
        Fold { learn, judge }
    };
    ORIGINS.map(at_origin).into_iter().filter(|fold| fold.is_enough(rows)).collect()
}

/// A part of the groups after another judged by what the others say.
fn drawn(rows: &Rows, train: &[u32], seed: u64) -> Vec<Fold> {
    let mut random = Random::stream(seed, 11);
    let mut drawn: HashMap<u32, usize> = HashMap::new();
    for &row in train {
        let next = random.below(ORIGINS.len());
        drawn.entry(rows.group[row as usize]).or_insert(next);
    }
    let one = |fold: usize| {
        let (judge, learn) = train.iter().partition(|row| drawn[&rows.group[**row as usize]] == fold);
        Fold { learn, judge }
    };
    (0..ORIGINS.len()).map(one).filter(|fold| fold.is_enough(rows)).collect()
}

impl Fold {
    fn is_enough(&self, rows: &Rows) -> bool {
        let positive = self.learn.iter().filter(|&&row| rows.label[row as usize] == 1.0).count();
        self.judge.len() >= ROWS && positive >= ROWS && self.learn.len() - positive >= ROWS
    }
}

/// The place of each group in order of first sight, and how many there are.
fn groups_of(rows: &Rows, stretch: &[u32]) -> (HashMap<u32, usize>, usize) {
    let mut place = HashMap::new();
    for &row in stretch {
        let next = place.len();
        place.entry(rows.group[row as usize]).or_insert(next);
    }
    let n = place.len();
    (place, n)
}
