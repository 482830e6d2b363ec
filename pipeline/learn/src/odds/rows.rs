//! Rows to learn from and to judge. Owns what is known of a row and when; refuses to choose a model.

use std::collections::HashMap;

/// Rows of feature columns, all equally long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) names: Vec<String>,
    /// One vector a column; NaN is missing.
    pub(crate) columns: Vec<Vec<f32>>,
    /// 0 or 1; NaN is not known.
    pub(crate) label: Vec<f32>,
    /// Rows of one group have one outcome or nearly so: they are never learnt from and judged on at once.
    pub(crate) group: Vec<u32>,
    /// What a row counts.
    pub(crate) weight: Vec<f32>,
    /// Whose past outcomes tell of this row; rows of one key repeat the same work.
    pub(crate) key: Vec<u32>,
    /// When a row begins, in any unit that orders.
    pub(crate) starts: Vec<i64>,
    /// When its outcome was known, in the same unit.
    pub(crate) known: Vec<i64>,
    /// Whether its outcome may tell of later rows of its key.
    pub(crate) tells: Vec<bool>,
    /// Whether the outcome of any earlier row may be asked for (they come in day by day), or only of those learnt from.
    pub(crate) live: bool,
}

/// What the past of the same key says of a row.
pub(crate) const HISTORY: [&str; 3] = ["last_outcome", "contended_share5", "contended_share20"];

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.label.len()
    }

    /// The label as learners take it; what is not known is 0 and must not be asked for.
    pub(crate) fn truth(&self, rows: &[u32]) -> Vec<bool> {
        rows.iter().map(|&row| self.label[row as usize] == 1.0).collect()
    }

    /// [`HISTORY`] of every row, from outcomes known when it began: of `learnt` alone, or of all rows where they are live.
    pub(crate) fn history(&self, learnt: &[u32]) -> [Vec<f32>; 3] {
        // One outcome a group: eight samples of one run are one outcome. Of each key (known, positives, rows), in order.
        let mut outcomes: HashMap<(u32, u32), (i64, f32, f32)> = HashMap::new();
        let mut take = |row: usize| {
            if self.tells[row] && !self.label[row].is_nan() {
                let one = outcomes.entry((self.key[row], self.group[row])).or_insert((i64::MIN, 0.0, 0.0));
                *one = (one.0.max(self.known[row]), one.1 + self.label[row], one.2 + 1.0);
            }
        };
        if self.live {
            (0..self.len()).for_each(&mut take)
        } else {
            learnt.iter().for_each(|&row| take(row as usize))
        }
        let mut of_key: HashMap<u32, Vec<(i64, u32, f32)>> = HashMap::new();
        for ((key, group), (known, positives, rows)) in outcomes {
            of_key.entry(key).or_default().push((known, group, positives / rows));
        }
        of_key.values_mut().for_each(|one| one.sort_unstable_by_key(|(known, group, _)| (*known, *group)));
        let mut columns = [(); 3].map(|()| vec![f32::NAN; self.len()]);
        for row in 0..self.len() {
            let past = of_key.get(&self.key[row]).map_or(&[][..], Vec::as_slice);
            let past = &past[..past.partition_point(|(known, ..)| *known <= self.starts[row])];
            for (column, n) in columns.iter_mut().zip([1, 5, 20]) {
                let recent = &past[past.len().saturating_sub(n)..];
                if !recent.is_empty() {
                    column[row] = recent.iter().map(|(.., y)| y).sum::<f32>() / recent.len() as f32;
                }
            }
        }
        columns
    }

    /// How many groups some rows are of: as many outcomes were seen.
    pub(crate) fn groups(&self, rows: &[u32]) -> usize {
        let mut groups: Vec<u32> = rows.iter().map(|&row| self.group[row as usize]).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.len()
    }

    /// Whether any past outcome can be had at all.
    pub(crate) fn has_past(&self) -> bool {
        let mut keys: Vec<u32> = self.key.clone();
        keys.sort_unstable();
        keys.dedup();
        let mut groups = self.group.clone();
        groups.sort_unstable();
        groups.dedup();
        groups.len() >= 5 * keys.len()
    }
}
