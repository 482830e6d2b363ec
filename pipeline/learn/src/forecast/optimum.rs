//! The least value of a function of a few figures, without derivatives: Nelder & Mead 1965, with the usual coefficients.

/// Where the search stops: spread of the values over the simplex, as a share of the best one.
const TOLERANCE: f64 = 1e-6;

/// The best point found from `start` within the box, and its value. `steps` bounds the number of evaluations roughly.
pub(super) fn minimise<const N: usize>(
    start: [f64; N],
    low: [f64; N],
    high: [f64; N],
    steps: usize,
    of: impl Fn(&[f64; N]) -> f64,
) -> ([f64; N], f64) {
    let inside = |mut x: [f64; N]| {
        (0..N).for_each(|i| x[i] = x[i].clamp(low[i], high[i]));
        x
    };
    let value = |x: &[f64; N]| {
        let y = of(x);
        if y.is_finite() { y } else { f64::MAX }
    };
    let start = inside(start);
    let mut simplex: Vec<([f64; N], f64)> = vec![(start, value(&start))];
    for i in 0..N {
        let mut corner = start;
        let step = 0.25 * (high[i] - low[i]);
        corner[i] = if corner[i] + step <= high[i] { corner[i] + step } else { corner[i] - step };
        simplex.push((corner, value(&corner)));
    }
    for _ in 0..steps {
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (best, worst) = (simplex[0].1, simplex[N].1);
        if worst - best <= TOLERANCE * best.abs().max(f64::MIN_POSITIVE) {
            break;
        }
        let mut centre = [0.0; N];
        simplex[..N].iter().for_each(|(x, _)| (0..N).for_each(|i| centre[i] += x[i] / N as f64));
        let along = |t: f64| {
            let mut x = [0.0; N];
            (0..N).for_each(|i| x[i] = centre[i] + t * (simplex[N].0[i] - centre[i]));
            let x = inside(x);
            (x, value(&x))
        };
        let reflected = along(-1.0);
        let next = if reflected.1 < best {
            let further = along(-2.0);
            if further.1 < reflected.1 { further } else { reflected }
        } else if reflected.1 < simplex[N - 1].1 {
            reflected
        } else {
            let nearer = if reflected.1 < worst { along(-0.5) } else { along(0.5) };
            if nearer.1 >= worst.min(reflected.1) {
                let anchor = simplex[0].0;
                for (x, y) in &mut simplex[1..] {
                    (0..N).for_each(|i| x[i] = anchor[i] + 0.5 * (x[i] - anchor[i]));
                    *y = value(x);
                }
                continue;
            }
            nearer
        };
        simplex[N] = next;
    }
    simplex.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((start, f64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_bottom_of_a_curved_valley() {
        // Rosenbrock's function has its least value, 0, at (1, 1).
        let of = |x: &[f64; 2]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let (x, y) = minimise([-1.0, 1.0], [-2.0; 2], [2.0; 2], 500, of);
        assert!((x[0] - 1.0).abs() < 0.01 && (x[1] - 1.0).abs() < 0.02 && y < 1e-4, "{x:?} {y}");
    }

    #[test]
    fn stays_within_the_box() {
        let (x, _) = minimise([0.5, 0.5], [0.0; 2], [1.0; 2], 200, |x| -x[0] - x[1]);
        assert!(x.iter().all(|x| (0.99..=1.0).contains(x)), "{x:?}");
    }
}
