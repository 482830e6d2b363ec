//! Amounts as people read them: the unit is told by the name of a column, and stands where the number stands.

use domain::time::{SECOND, format_span};
use domain::units::{GIB, MIB, format_bytes};
use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Only itself.
    #[default]
    Plain,
    /// Processor cores.
    Cores,
    /// Bytes.
    Bytes,
    /// GiB.
    Gib,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Hours.
    Hours,
    /// Percent, 0 to 100.
    Percent,
    /// A share, 0 to 1, written as percent.
    Share,
    /// Core-hours.
    CoreHours,
    /// GiB-hours.
    GibHours,
    /// Money, in the currency of the rates.
    Money,
    /// A time, microseconds since 1970.
    Time,
}

impl Unit {
    /// The name of a column without its unit, and the unit: units come last in every name.
    pub fn of_column(column: &str) -> (String, Self) {
        const ENDINGS: [(&str, Unit); 14] = [
            ("_core_hours", Unit::CoreHours),
            ("_gib_hours", Unit::GibHours),
            ("_seconds", Unit::Seconds),
            ("_s", Unit::Seconds),
            ("_ms", Unit::Milliseconds),
            ("_hours", Unit::Hours),
            ("_h", Unit::Hours),
            ("_pct", Unit::Percent),
            ("_bytes", Unit::Bytes),
            ("_gib", Unit::Gib),
            ("_cores", Unit::Cores),
            ("_share", Unit::Share),
            ("_ratio", Unit::Share),
            ("_rate", Unit::Share),
        ];
        let found = match column {
            "pr_id" => Some(("pull_request", Self::Plain)),
            "job_key" => Some(("job", Self::Plain)),
            "core_hours" => Some(("used", Self::CoreHours)),
            "gib_hours" => Some(("used", Self::GibHours)),
            _ if column.starts_with("gib_") => Some((column, Self::Gib)),
            "cpu_limit" | "cpu_peak" => Some((column, Self::Cores)),
            _ => ENDINGS.iter().find_map(|(ending, unit)| Some((column.strip_suffix(ending)?, *unit))),
        };
        let (name, unit) = found.unwrap_or((column, Self::Plain));
        let name = name.strip_prefix("gib_").map_or_else(|| name.to_owned(), |name| format!("memory_{name}"));
        (name.replace('_', " "), unit)
    }

    /// Behind a name: `p50 (s)`. Empty where the number tells itself.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plain | Self::Bytes | Self::Milliseconds | Self::Time => "",
            Self::Cores => "cores",
            Self::Gib => "GiB",
            Self::Seconds => "s",
            Self::Hours => "h",
            Self::Percent | Self::Share => "%",
            Self::CoreHours => "core-h",
            Self::GibHours => "GiB-h",
            Self::Money => "a month",
        }
    }

    /// A name with its unit.
    pub fn heading(self, name: &str) -> String {
        match self.label() {
            "" => name.to_owned(),
            label => format!("{name} ({label})"),
        }
    }

    /// An amount; without the unit where the heading has it.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Bytes => format_bytes(value),
            Self::Milliseconds => duration(value / 1000.0),
            Self::Share => digits(value * 100.0),
            Self::Money => grouped(&format!("{value:.2}")),
            Self::Time => domain::Timestamp(value as i64).minute(),
            _ => digits(value),
        }
    }

    /// An amount with its unit, to stand alone.
    pub fn say(self, value: f64) -> String {
        match self {
            Self::Plain | Self::Bytes | Self::Milliseconds | Self::Money | Self::Time => self.format(value),
            Self::Seconds => duration(value),
            _ => format!("{} {}", self.format(value), self.label()),
        }
    }

    /// An interval; in words where both ends are written alike.
    pub fn between(self, low: f64, high: f64) -> String {
        match (self.format(low), self.say(high)) {
            (from, to) if from != self.format(high) => format!("{from} to {to}"),
            (_, to) => format!("{to} at both ends"),
        }
    }

    /// What an axis of this unit up to `largest` is counted in: one of its steps, and how it is called.
    pub(crate) fn axis(self, largest: f64) -> (f64, &'static str) {
        match self {
            Self::Bytes if largest >= 0.9 * GIB as f64 => (GIB as f64, "GiB"),
            Self::Bytes if largest >= 0.9 * MIB as f64 => (MIB as f64, "MiB"),
            Self::Bytes => (1024.0, "KiB"),
            Self::Milliseconds | Self::Seconds => {
                let second = if self == Self::Milliseconds { 1000.0 } else { 1.0 };
                match largest / second {
                    s if s >= 3.0 * 3600.0 => (3600.0 * second, "h"),
                    s if s >= 180.0 => (60.0 * second, "min"),
                    _ => (second, "s"),
                }
            }
            Self::Share => (0.01, "%"),
            _ => (1.0, self.label()),
        }
    }
}

/// Seconds as people say them.
fn duration(seconds: f64) -> String {
    match seconds.abs() {
        s if s < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        s if s < 100.0 => format!("{} s", digits(seconds)),
        s if s < 5_400.0 => format!("{} min", digits(seconds / 60.0)),
        s if s < 172_800.0 => format!("{} h", digits(seconds / 3600.0)),
        s if s < 1e12 => format_span((seconds * SECOND as f64) as i64),
        _ => format!("{seconds:.1e} s"),
    }
}

/// Three figures that count, and no more.
fn digits(value: f64) -> String {
    let text = match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1e15 => format!("{value:.2e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    };
    let text = match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    grouped(&text)
}

/// Thousands apart, by a space that does not break.
fn grouped(text: &str) -> String {
    let (whole, rest) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, figures) = whole.strip_prefix('-').map_or(("", whole), |figures| ("−", figures));
    let mut out = sign.to_owned();
    let apart = figures.len() > 4 && figures.bytes().all(|b| b.is_ascii_digit());
    for (n, c) in figures.chars().enumerate() {
        if apart && n > 0 && (figures.len() - n) % 3 == 0 {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_whose_ends_are_written_alike_says_so() {
        assert_eq!(Unit::Share.between(0.12, 0.34), "12 to 34 %");
        assert_eq!(Unit::Share.between(0.1201, 0.1202), "12 % at both ends");
        assert_eq!(Unit::Milliseconds.between(61_000.0, 61_001.0), "61 s at both ends");
    }

    #[test]
    fn a_column_tells_its_unit() {
        assert_eq!(Unit::of_column("p50_queue_s"), ("p50 queue".into(), Unit::Seconds));
        assert_eq!(Unit::of_column("held_core_hours"), ("held".into(), Unit::CoreHours));
        assert_eq!(Unit::of_column("gib_peak"), ("memory peak".into(), Unit::Gib));
        assert_eq!(Unit::of_column("runs"), ("runs".into(), Unit::Plain));
        assert_eq!(Unit::Seconds.heading("p50 queue"), "p50 queue (s)");
    }

    #[test]
    fn numbers_have_the_figures_that_count() {
        let written = [0.0, 0.0694, 1.875, 12.34, 1234.5, 27_700.0, -1_234_567.0].map(|v| Unit::Plain.format(v));
        assert_eq!(written, ["0", "0.069", "1.88", "12.3", "1234", "27\u{202f}700", "−1\u{202f}234\u{202f}567"]);
        assert_eq!(Unit::Share.say(0.0694), "6.94 %");
        assert_eq!(Unit::Seconds.say(384.0), "6.4 min");
        assert_eq!(Unit::Milliseconds.say(5210.0), "5.21 s");
        assert_eq!(Unit::Money.format(27700.5), "27\u{202f}700.50");
    }
}
