//! What moved a forest's answer: every question on a row's way moves it from the mean of the rows that were asked to the
//! mean of those that answered alike (path contributions, Saabas 2014). The means are those of the rows that it is compared
//! with, sent through the trees here, so that trees need not carry them.

use super::Forest;
use crate::trees::{Table, Tree};

impl Forest {
    /// How far each feature moved what is said of `row` from the mean over `others`, in the unit of the target. The mean and
    /// the moves add up to what is said.
    pub(crate) fn explain(&self, table: &Table, row: u32, others: &[u32]) -> (f64, Vec<f64>) {
        let features = |row: u32| -> Vec<f32> { table.columns.iter().map(|column| column[row as usize]).collect() };
        let others: Vec<Vec<f32>> = others.iter().map(|&row| features(row)).collect();
        let asked = features(row);
        let (mut mean, mut moves) = (self.start, vec![0.0; table.columns.len()]);
        for tree in &self.trees {
            let means = means(tree, &others);
            mean += means[0];
            tree.contributions(|at| means[at], |column| asked[column], |column, moved| moves[column] += moved);
        }
        (mean, moves)
    }
}

/// Of each node the mean of the values of the rows that come by; where none does, of both its children.
fn means(tree: &Tree, rows: &[Vec<f32>]) -> Vec<f64> {
    let mut count = vec![0.0_f64; tree.left.len()];
    for row in rows {
        let mut at = 0;
        count[at] += 1.0;
        while tree.left[at] != 0 {
            at = tree.next(at, |column| row[column]);
            count[at] += 1.0;
        }
    }
    let mut means = vec![0.0; tree.left.len()];
    // Children come after their parents.
    for at in (0..tree.left.len()).rev() {
        let left = tree.left[at] as usize;
        means[at] = match count[at] {
            _ if left == 0 => f64::from(tree.value[at]),
            0.0 => (means[left] + means[left + 1]) / 2.0,
            n => (count[left] * means[left] + count[left + 1] * means[left + 1]) / n,
        };
    }
    means
}

#[cfg(test)]
mod tests {
    use super::super::Columns;
    use super::super::tests::KNOBS;
    use super::*;

    #[test]
    fn the_moves_add_up_and_belong_to_the_feature_that_matters() {
        let noise = |i: usize| ((i * 7919) % 1000) as f64 / 1000.0;
        let step: Vec<f32> = (0..2000).map(|i| i as f32 % 10.0).collect();
        let other: Vec<f32> = (0..2000).map(|i| if i % 3 == 0 { f32::NAN } else { noise(i * 31) as f32 }).collect();
        let target: Vec<f64> = (0..2000).map(|i| if i % 10 < 5 { 1.0 } else { 3.0 } + noise(i)).collect();
        let table = Table { columns: vec![step, other] };
        let rows: Vec<u32> = (0..2000).collect();
        let forest = Forest::fit(&Columns::of(&table, &rows), &target, 0.5, &KNOBS, 1);
        let said = forest.predict(&table, &rows);
        for row in [0, 7] {
            let (mean, moves) = forest.explain(&table, row, &rows[..500]);
            assert!((mean + moves.iter().sum::<f64>() - said[row as usize]).abs() < 1e-9);
            assert!((mean - 2.5).abs() < 0.1, "{mean}");
            let towards = if row == 0 { -1.0 } else { 1.0 };
            assert!((moves[0] - towards).abs() < 0.15 && moves[1].abs() < 0.15, "{moves:?}");
        }
    }
}
