//! Values of one field that several series tell at one time: parts add up, and a whole beside its parts counts alone.
//!
//! A counter of processor time comes as `state="user"` and `state="system"`, perhaps with `state="total"` beside them; for
//! each processor, and for all. Which labels make a series a part is a set, a bit each: a series whose set lies inside
//! another's is the sum over the labels it lacks, so the other says nothing more.

/// What a label's value is where it stands for all the others.
const WHOLE: &[&str] =
    &["*", "_all", "_total", "aggregate", "all", "cpu-total", "cpu_total", "overall", "sum", "total"];

/// The labels that make a series a part of something, as bits: two of the sixty-four rarely share one, and then they are
/// taken for one label.
pub(in super::super) fn parts<'l>(labels: impl IntoIterator<Item = (&'l str, &'l str)>) -> u64 {
    let is_part = |value: &str| !value.is_empty() && !WHOLE.contains(&&*value.to_ascii_lowercase());
    labels.into_iter().filter(|(_, value)| is_part(value)).fold(0, |bits, (label, _)| {
        let hash = label.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        bits | 1 << (hash % 64)
    })
}

/// A field, as which parts of it, their value, and whether parts add up: otherwise the highest counts.
pub(super) struct Part {
    pub(super) field: &'static str,
    pub(super) parts: u64,
    pub(super) adds: bool,
    pub(super) value: f64,
}

/// Puts a value to those of its moment.
pub(super) fn put(values: &mut Vec<Part>, new: Part) {
    match values.iter_mut().find(|known| known.field == new.field && known.parts == new.parts) {
        // What is no part is the same thing told twice, such as by two jobs.
        Some(known) if new.adds && new.parts != 0 => known.value += new.value,
        Some(known) => known.value = known.value.max(new.value),
        None => values.push(new),
    }
}

/// Each field once.
pub(super) fn whole(values: &[Part]) -> Vec<(&'static str, f64)> {
    let mut all: Vec<(&'static str, f64)> = Vec::new();
    for one in values {
        let is_inside = |other: &Part| {
            other.field == one.field && other.parts & one.parts == other.parts && other.parts != one.parts
        };
        if values.iter().any(is_inside) {
            continue;
        }
        match all.iter_mut().find(|(field, _)| *field == one.field) {
            Some((_, value)) if one.adds => *value += one.value,
            Some((_, value)) => *value = value.max(one.value),
            None => all.push((one.field, one.value)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(adds: bool, series: &[(&[(&str, &str)], f64)]) -> f64 {
        let mut values = Vec::new();
        for (labels, value) in series {
            put(&mut values, Part { field: "x", parts: parts(labels.iter().copied()), adds, value: *value });
        }
        let whole = whole(&values);
        assert_eq!(whole.len(), 1);
        whole[0].1
    }

    #[test]
    fn a_whole_beside_its_parts_counts_alone() {
        let (user, system) = (&[("state", "user")][..], &[("state", "system")][..]);
        assert_eq!(told(true, &[(user, 3.0), (system, 1.0)]), 4.0);
        for whole in [&[("state", "total")][..], &[("state", "All")], &[("state", "")], &[]] {
            assert_eq!(told(true, &[(user, 3.0), (whole, 4.5), (system, 1.0)]), 4.5, "{whole:?}");
            assert_eq!(told(true, &[(whole, 4.5), (user, 3.0), (system, 1.0)]), 4.5, "{whole:?}");
        }
        // Two who count the same thing.
        assert_eq!(told(true, &[(&[], 4.0), (&[], 4.5)]), 4.5);
        assert_eq!(told(false, &[(user, 3.0), (system, 1.0)]), 3.0);
    }

    #[test]
    fn a_whole_of_one_label_is_still_a_part_of_another() {
        let of = |cpu, state| [("cpu", cpu), ("state", state)];
        let (a, b, c, d) = (of("0", "user"), of("0", "total"), of("1", "user"), of("1", "total"));
        assert_eq!(told(true, &[(&a, 2.0), (&b, 3.0), (&c, 4.0), (&d, 5.0)]), 8.0);
        let all = of("all", "total");
        assert_eq!(told(true, &[(&a, 2.0), (&b, 3.0), (&all, 8.5), (&c, 4.0), (&d, 5.0)]), 8.5);
    }
}
