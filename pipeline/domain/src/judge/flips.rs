//! Random sign vectors, and the sums of a score under each of them.
//!
//! When control and candidate are alike in law, swapping the members of a pair changes nothing: the data's own signs are one
//! of many equally likely sign vectors (Fisher 1935, "The Design of Experiments", §21). With `n` vectors, the data's own
//! among them, a rank among the `n` sums is an exact test also when the others are drawn at random (Hemerik & Goeman 2018,
//! TEST 27, 811-825).
//!
//! A pair has the same sign in a vector at every look, whatever its score has become: that is what makes the looks a group
//! sequence. Signs are bits of a counter hashed with the seed, made when they are needed, so that they take no memory. Sums
//! of eight pairs at a time are looked up among their 256 (the "four Russians": Arlazarov et al. 1970).

/// Sums of `scores`, which carry the data's own signs, under `count` sign vectors; the first is the data's own.
pub fn sums(scores: &[i64], seed: u64, count: usize) -> Vec<i64> {
    let mut sums = vec![0i64; count];
    let mut table = [0i64; 256];
    for (group, chunk) in scores.chunks(8).enumerate() {
        if chunk.iter().all(|score| *score == 0) {
            continue;
        }
        table[0] = chunk.iter().sum();
        for signs in 1..256usize {
            let turned = chunk.get(signs.trailing_zeros() as usize).copied().unwrap_or_default();
            table[signs] = table[signs & (signs - 1)] - 2 * turned;
        }
        let key = mix(seed ^ mix(group as u64));
        for (block, sums) in sums.chunks_mut(8).enumerate() {
            let mut bits = mix(key.wrapping_add((block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            if block == 0 {
                bits &= !0xff;
            }
            for sum in sums {
                *sum += table[(bits & 0xff) as usize];
                bits >>= 8;
            }
        }
    }
    sums
}

/// The finalizer of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA): neighbours become unrelated.
pub fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_vector_is_the_data_and_the_others_are_coins() {
        let scores: Vec<i64> = (1..=30).collect();
        let sums = sums(&scores, 7, 4000);
        assert_eq!(sums[0], scores.iter().sum::<i64>());
        let mean = sums[1..].iter().sum::<i64>() as f64 / 3999.0;
        let variance = sums[1..].iter().map(|sum| (*sum as f64).powi(2)).sum::<f64>() / 3999.0;
        let expected: f64 = scores.iter().map(|score| (*score * *score) as f64).sum();
        assert!(mean.abs() < 5.0 * (expected / 3999.0).sqrt(), "{mean}");
        assert!((variance / expected - 1.0).abs() < 0.1, "{variance} {expected}");
    }

    #[test]
    fn a_pair_keeps_its_sign_when_others_come() {
        let one: Vec<i64> = sums(&[5], 1, 500);
        let mut later = vec![0; 100];
        later[0] = 5;
        assert_eq!(one, sums(&later, 1, 500));
        assert!(one.contains(&-5) && one.contains(&5));
        assert_ne!(one, sums(&[5], 2, 500));
    }
}
