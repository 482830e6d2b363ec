//! Signed ranks: robust against heavy tails, exact at any size.
//!
//! Wilcoxon 1945 (Biometrics Bulletin 1, 80-83); differences of zero are ranked and then left out (Pratt 1959, JASA 54,
//! 655-667), equal amounts share their mean rank. Ranks are doubled, so that they are whole numbers and sums of them are exact.

/// The doubled rank of each amount among all, with the sign of the difference; 0 for a difference of 0.
pub fn signed_ranks(differences: &[f64]) -> Vec<i64> {
    let mut order: Vec<usize> = (0..differences.len()).collect();
    let amount = |i: &usize| differences[*i].abs();
    order.sort_unstable_by(|a, b| amount(a).total_cmp(&amount(b)));
    let mut ranks = vec![0; differences.len()];
    let mut from = 0;
    while from < order.len() {
        let size = amount(&order[from]);
        let equal = order[from..].iter().take_while(|i| amount(i) == size).count();
        // The mean of from + 1 ..= from + equal, doubled.
        let doubled = (2 * from + equal + 1) as i64;
        for i in &order[from..from + equal] {
            ranks[*i] = match differences[*i] {
                worse if worse > 0.0 => doubled,
                better if better < 0.0 => -doubled,
                _ => 0,
            };
        }
        from += equal;
    }
    ranks
}

/// The standard deviation of the sum of the ranks when each sign is a coin.
pub fn spread(ranks: &[i64]) -> f64 {
    ranks.iter().map(|rank| (*rank as f64).powi(2)).sum::<f64>().sqrt()
}

/// The sum in units of its spread; 0 when there is none.
pub fn standardized(ranks: &[i64]) -> f64 {
    match spread(ranks) {
        0.0 => 0.0,
        spread => ranks.iter().sum::<i64>() as f64 / spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_amounts_share_a_rank_and_zeros_count_without_a_sign() {
        assert_eq!(signed_ranks(&[3.0, -1.0, 0.0, 1.0]), [8, -5, 0, 5]);
        assert!(signed_ranks(&[]).is_empty());
        assert_eq!(signed_ranks(&[0.0, -0.0]), [0, 0]);
    }

    #[test]
    fn the_spread_is_that_of_coins() {
        // 1..=4, doubled: sqrt(4 + 16 + 36 + 64).
        assert!((spread(&signed_ranks(&[1.0, -2.0, 3.0, 4.0])) - 120f64.sqrt()).abs() < 1e-12);
        assert_eq!(standardized(&[]), 0.0);
    }
}
