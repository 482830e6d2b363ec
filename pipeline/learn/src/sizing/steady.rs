//! Quick to raise, slow to lower: a limit is changed only when the change is worth a restart.

/// More than this share above what is in force is raised to at once.
const RAISED_FROM: f64 = 0.05;
/// Less than what is in force by no more than this share stays.
const LOWERED_FROM: f64 = 0.10;

/// The limit in force after one that was in force and one that is wanted.
pub(crate) fn steady(in_force: Option<f64>, wanted: f64) -> f64 {
    match in_force {
        Some(old) if wanted <= old * (1.0 + RAISED_FROM) && wanted >= old * (1.0 - LOWERED_FROM) => old,
        _ => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_are_none_and_raising_is_quicker_than_lowering() {
        assert_eq!(steady(None, 1.0), 1.0);
        assert_eq!((steady(Some(1.0), 1.06), steady(Some(1.0), 0.92)), (1.06, 1.0));
        assert_eq!((steady(Some(1.0), 1.04), steady(Some(1.0), 0.89)), (1.0, 0.89));
    }
}
