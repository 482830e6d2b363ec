//! A group-sequential test: the error allowed is spent look by look, and never more of it than there is.
//!
//! Spending function of Lan & DeMets 1983 (Biometrika 70, 659-663), linear in the share of the horizon that is there, over the
//! permutation distribution itself in place of a normal one. At each look, of the sign vectors that are still in, those with
//! the largest sums leave: as many as the error spent so far has room for. The data is rejected when its own vector leaves.
//! Each vector leaves at most once, and all are equally likely to be the data's: the probability of a rejection at any look is
//! at most the error allowed, at every size and for every distribution.

/// One test over all its looks.
#[derive(Clone, Debug)]
pub struct Spending {
    alpha: f64,
    is_in: Vec<bool>,
    gone: usize,
}

/// What a look says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Whether the data's own sum lies beyond the bound.
    pub is_beyond: bool,
    /// The bound; infinite: there is no room for any rejection yet.
    pub bound: f64,
}

/// Vectors for an error level: so many that a hundred of them may leave.
pub fn vectors(alpha: f64) -> usize {
    ((100.0 / alpha).ceil() as usize).clamp(2000, 100_000)
}

impl Spending {
    pub fn new(alpha: f64) -> Self {
        Self { alpha, is_in: vec![true; vectors(alpha)], gone: 0 }
    }

    /// The next look, at a share of the horizon. `sums` are of all vectors, the data's own first.
    pub fn look(&mut self, share: f64, sums: &[f64]) -> Look {
        let spent = self.alpha * share.min(1.0) * self.is_in.len() as f64;
        let room = (spent + 1e-9).floor() as usize;
        let room = room.saturating_sub(self.gone);
        let mut left: Vec<f64> =
            sums.iter().zip(&self.is_in).filter(|(_, is_in)| **is_in).map(|(sum, _)| *sum).collect();
        if room == 0 || room >= left.len() {
            return Look { is_beyond: false, bound: f64::INFINITY };
        }
        // Strictly beyond the first for which there is no room: ties at the bound all stay.
        let (_, bound, _) = left.select_nth_unstable_by(room, |a, b| b.total_cmp(a));
        let bound = *bound;
        for (is_in, sum) in self.is_in.iter_mut().zip(sums) {
            if *is_in && *sum > bound {
                *is_in = false;
                self.gone += 1;
            }
        }
        Look { is_beyond: sums.first().is_some_and(|own| *own > bound), bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_leave_than_there_is_room_for() {
        let mut test = Spending::new(0.05);
        let count = vectors(0.05);
        for (look, factor) in (1..=10).zip([1, 3, 7, 9, 11, 13, 17, 19, 21, 23]) {
            let sums: Vec<f64> = (0..count).map(|i| ((i * 7919 * factor) % count) as f64).collect();
            test.look(look as f64 / 10.0, &sums);
            assert!(test.gone <= count * look / 200, "{}", test.gone);
        }
        assert_eq!(test.gone, count / 20);
        // Nothing is left to spend.
        assert_eq!(test.look(1.0, &vec![0.0; count]).bound, f64::INFINITY);
    }

    #[test]
    fn ties_at_the_bound_stay() {
        let mut test = Spending::new(0.05);
        let sums = vec![1.0; vectors(0.05)];
        assert_eq!(test.look(1.0, &sums), Look { is_beyond: false, bound: 1.0 });
        assert_eq!(test.gone, 0);
    }

    #[test]
    fn the_data_is_beyond_when_its_sum_is_among_the_largest() {
        let count = vectors(0.05);
        let mut sums: Vec<f64> = (0..count).map(|i| i as f64).collect();
        sums.swap(0, count - 1);
        assert!(Spending::new(0.05).look(0.1, &sums).is_beyond);
        sums.swap(0, count / 2);
        assert!(!Spending::new(0.05).look(1.0, &sums).is_beyond);
    }
}
