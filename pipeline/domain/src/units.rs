//! Sizes and cores, and how people write them.

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
/// One gibibyte.
pub const GIB: u64 = 1 << 30;

/// Reads `512MiB`, `4GiB`, `512m`, `1.5g`, `250000k`, or plain bytes. A bare letter is binary, as in Docker; `MB` is decimal.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let amount: f64 = text[..split].parse().ok()?;
    let factor = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" | "ki" => 1024.0,
        "m" | "mib" | "mi" => MIB as f64,
        "g" | "gib" | "gi" => GIB as f64,
        "t" | "tib" | "ti" => GIB as f64 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return None,
    };
    let bytes = amount * factor;
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A share as people write it, `2%` or `0.02`; none where it is no finite number.
pub fn parse_share(text: &str) -> Option<f64> {
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.trim().parse(),
    };
    share.ok().filter(|share| share.is_finite())
}

/// Writes bytes for people: `96 B`, `14 KiB`, `512 MiB`, `1.5 GiB`.
pub fn format_bytes(bytes: f64) -> String {
    match bytes.abs() {
        size if size >= 10.0 * GIB as f64 => format!("{:.0} GiB", bytes / GIB as f64),
        size if size >= GIB as f64 => format!("{:.1} GiB", bytes / GIB as f64),
        size if size >= MIB as f64 => format!("{:.0} MiB", bytes / MIB as f64),
        size if size >= 1024.0 => format!("{:.0} KiB", bytes / 1024.0),
        _ => format!("{bytes:.0} B"),
    }
}

/// `1 change`, `2 changes`.
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Decimals beyond those asked for that an interval may be shown with.
const MORE_DECIMALS: usize = 6;

/// Writes an interval: with so many decimals, and with more where both ends would be one number or an end would be a 0 that
/// it is not; what no decimals tell from 0 as a power of ten.
pub fn interval(low: f64, high: f64, decimals: usize) -> String {
    between(low, high, decimals, |value, decimals| format!("{value:.decimals$}"))
}

/// The same of what is more or less than 0, with its sign.
pub fn signed_interval(low: f64, high: f64, decimals: usize) -> String {
    between(low, high, decimals, |value, decimals| format!("{value:+.decimals$}"))
}

fn between(low: f64, high: f64, decimals: usize, write: impl Fn(f64, usize) -> String) -> String {
    let one = |value: f64, decimals: usize| {
        let written = write(value, decimals);
        match written.contains(|c: char| matches!(c, '1'..='9')) {
            false if value == 0.0 => "0".to_owned(),
            false if value.is_finite() => format!("{value:.1e}"),
            _ => written,
        }
    };
    let ends = |decimals: usize| (one(low, decimals), one(high, decimals));
    let apart = |decimals: &usize| ends(*decimals).0 != ends(*decimals).1;
    let plain = |decimals: &usize| apart(decimals) && !format!("{:?}", ends(*decimals)).contains('e');
    let all = decimals..=decimals + MORE_DECIMALS;
    match all.clone().find(plain).or_else(|| all.clone().find(apart)) {
        Some(decimals) => format!("{} to {}", ends(decimals).0, ends(decimals).1),
        None if low == high => format!("{} exactly", one(low, decimals)),
        None => format!("{low} to {high}"),
    }
}

/// Reads `1.5` cores or `1500m`.
pub fn parse_cores(text: &str) -> Option<f64> {
    let text = text.trim();
    let cores = match text.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().ok()? / 1000.0,
        None => text.parse::<f64>().ok()?,
    };
    (cores.is_finite() && cores > 0.0).then_some(cores)
}

/// Rounds cores up to a hundredth: what Compose and Docker take without loss.
pub fn round_cores(cores: f64) -> f64 {
    (cores * 100.0 - 1e-9).ceil() / 100.0
}

/// Rounds bytes up to a whole mebibyte.
pub fn round_bytes(bytes: f64) -> u64 {
    (bytes / MIB as f64 - 1e-9).ceil().max(0.0) as u64 * MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_docker_and_people_write_them() {
        assert_eq!(parse_bytes("512MiB"), Some(512 * MIB));
        assert_eq!(parse_bytes("512m"), Some(512 * MIB));
        assert_eq!(parse_bytes("1.5g"), Some(3 * GIB / 2));
        assert_eq!(parse_bytes("500MB"), Some(500_000_000));
        assert_eq!(parse_bytes("1024"), Some(1024));
        for bad in ["", "m", "-5m", "5 parsecs", "1..2g"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn small_sizes_are_not_written_as_nothing() {
        let written = [0.0, 96.0, -14_300.0, 1.5 * MIB as f64, 1.5 * GIB as f64].map(format_bytes);
        assert_eq!(written, ["0 B", "96 B", "-14 KiB", "2 MiB", "1.5 GiB"]);
    }

    #[test]
    fn the_ends_of_an_interval_are_two_numbers_and_neither_is_a_zero_that_it_is_not() {
        assert_eq!(interval(0.12, 0.34, 2), "0.12 to 0.34");
        assert_eq!(interval(0.1201, 0.1249, 2), "0.120 to 0.125");
        assert_eq!(interval(99.96, 99.999, 1), "99.96 to 100.00");
        assert_eq!(signed_interval(-0.00002, 0.00001, 4), "-0.00002 to +0.00001");
        assert_eq!(signed_interval(-1e-17, 0.25, 1), "-1.0e-17 to +0.2");
        assert_eq!(signed_interval(-0.0, 0.02, 1), "0 to +0.02");
        assert_eq!(signed_interval(-0.01, 0.02, 2), "-0.01 to +0.02");
        assert_eq!(signed_interval(0.0, 0.0, 4), "0 exactly");
        assert_eq!(interval(3.0, 3.0, 0), "3 exactly");
        assert_eq!(interval(1.0, 1.000_000_000_1, 1), "1 to 1.0000000001");
    }

    #[test]
    fn cores_read_in_cores_or_millicores() {
        assert_eq!(parse_cores("1500m"), Some(1.5));
        assert_eq!(parse_cores("0.25"), Some(0.25));
        assert_eq!(parse_cores("-1"), None);
        assert_eq!(parse_cores("NaN"), None);
    }

    #[test]
    fn rounding_never_takes_away() {
        assert_eq!(round_cores(0.301), 0.31);
        assert_eq!(round_cores(0.3), 0.3);
        assert_eq!(round_bytes(1.0), MIB);
        assert_eq!(round_bytes((3 * MIB) as f64), 3 * MIB);
    }
}
