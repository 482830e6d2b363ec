//! Fewer points with the same extremes: of each stretch the lowest and the highest value stay, in their order.

/// About so many points of `points`; gaps stay gaps. The pieces between them.
pub(super) fn pieces(points: &[(f64, Option<f64>)], about: usize) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = vec![Vec::new()];
    for (x, y) in points {
        match y.filter(|y| y.is_finite() && x.is_finite()) {
            Some(y) => pieces.last_mut().into_iter().for_each(|piece| piece.push((*x, y))),
            None => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    let all: usize = pieces.iter().map(Vec::len).sum();
    pieces
        .into_iter()
        .map(|piece| {
            let share = (about * piece.len()).div_ceil(all.max(1));
            thin(piece, share)
        })
        .collect()
}

fn thin(piece: Vec<(f64, f64)>, about: usize) -> Vec<(f64, f64)> {
    if piece.len() <= about.max(2) {
        return piece;
    }
    let size = (piece.len() * 2).div_ceil(about.max(2));
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for some in piece.chunks(size.max(1)) {
        let place = |better: fn(f64, f64) -> bool| {
            (1..some.len()).fold(0, |best, n| if better(some[n].1, some[best].1) { n } else { best })
        };
        let (low, high) = (place(|a, b| a < b), place(|a, b| a > b));
        kept.push(some[low.min(high)]);
        if low != high {
            kept.push(some[low.max(high)]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_peak_survives() {
        let mut points: Vec<(f64, Option<f64>)> = (0..5000).map(|n| (f64::from(n), Some(1.0))).collect();
        points[2777].1 = Some(9.0);
        let kept = pieces(&points, 150);
        assert!(kept[0].len() <= 160, "{}", kept[0].len());
        assert!(kept[0].contains(&(2777.0, 9.0)));
    }

    #[test]
    fn a_gap_stays_a_gap() {
        let points = [(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0))];
        assert_eq!(pieces(&points, 100), [vec![(0.0, 1.0)], vec![(2.0, 2.0)]]);
    }
}
