//! Amounts as Kubernetes writes them.
//!
//! Source: kubernetes/apimachinery, pkg/api/resource/quantity.go. All are whole numbers inside, billionths of a core and
//! bytes: equality is exact. The API keeps no CPU finer than a thousandth.

use crate::yaml::place::Writing;
use domain::plan::State;
use domain::units::{GIB, MIB};

const KIB: u64 = 1 << 10;

/// A figure of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    Cpu,
    Memory,
}

/// Billionths in a core, and in a thousandth.
const NANO: f64 = 1e9;
const MILLI: u64 = 1_000_000;

impl Figure {
    pub(crate) const BOTH: [Self; 2] = [Self::Cpu, Self::Memory];

    /// Its key under `limits` and `requests`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    /// As a plan names it.
    pub(crate) fn named(self) -> crate::target::Figure {
        match self {
            Self::Cpu => crate::target::Figure::Cpu,
            Self::Memory => crate::target::Figure::Memory,
        }
    }

    /// What a state asks for; none where it leaves the figure as it is.
    pub(crate) fn asked(self, state: State) -> Option<u64> {
        match self {
            Self::Cpu => state.cpu_cores.map(|cores| self.rounded((cores * NANO).round())),
            Self::Memory => state.memory_bytes,
        }
    }

    /// No finer than it may be, and no less than was meant.
    pub(crate) fn rounded(self, amount: f64) -> u64 {
        match self {
            Self::Cpu => ((amount / MILLI as f64).ceil() as u64).max(1) * MILLI,
            Self::Memory => ((amount / MIB as f64).ceil() as u64).max(1) * MIB,
        }
    }

    /// Puts an amount into a state.
    pub(crate) fn put(self, state: &mut State, amount: u64) {
        match self {
            Self::Cpu => state.cpu_cores = Some(amount as f64 / NANO),
            Self::Memory => state.memory_bytes = Some(amount),
        }
    }

    /// Has a state say nothing of it.
    pub(crate) fn leave(self, state: &mut State) {
        match self {
            Self::Cpu => state.cpu_cores = None,
            Self::Memory => state.memory_bytes = None,
        }
    }

    /// Reads a scalar as Kubernetes does; none where it would refuse it.
    pub(crate) fn read(self, text: &str) -> Option<u64> {
        let unit = match self {
            Self::Cpu => NANO,
            Self::Memory => 1.0,
        };
        let amount = quantity(text)? * unit;
        (amount < i64::MAX as f64).then(|| amount.round() as u64)
    }

    /// Writes an amount without loss, in the manner of the scalar it replaces.
    pub(crate) fn write(self, amount: u64, old: &str) -> String {
        match self {
            Self::Cpu => {
                let whole = amount.is_multiple_of(1000 * MILLI);
                match (whole, old.ends_with('m') || !old.contains('.')) {
                    (true, _) if !old.ends_with('m') => (amount / (1000 * MILLI)).to_string(),
                    (_, true) => format!("{}m", amount / MILLI),
                    (_, false) => (amount as f64 / NANO).to_string(),
                }
            }
            Self::Memory => {
                let suffix = old.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                let decimal: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
                let binary: [(u64, &str); 3] = [(GIB, "Gi"), (MIB, "Mi"), (KIB, "Ki")];
                if suffix.is_empty() && !old.is_empty() {
                    return amount.to_string();
                }
                let families =
                    if decimal.iter().any(|(_, unit)| *unit == suffix) { [decimal, binary] } else { [binary, decimal] };
                let exact = families.iter().flatten().find(|(unit, _)| amount > 0 && amount.is_multiple_of(*unit));
                exact.map_or_else(|| amount.to_string(), |(unit, suffix)| format!("{}{suffix}", amount / unit))
            }
        }
    }
}

/// An amount on its way into a file.
pub(crate) struct Amount {
    pub(crate) figure: Figure,
    pub(crate) amount: u64,
}

impl Writing for Amount {
    fn over(&self, old: &str) -> String {
        self.figure.write(self.amount, old)
    }

    fn fresh(&self, json: bool) -> String {
        let text = self.figure.write(self.amount, "");
        if json { format!("\"{text}\"") } else { text }
    }
}

/// A decimal number with a suffix or an exponent, in its unit.
fn quantity(text: &str) -> Option<f64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    if number.is_empty() || number == "." || number.matches('.').count() > 1 {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let exponent = |suffix: &str| {
        let digits = suffix.strip_prefix(['e', 'E'])?;
        digits.trim_start_matches(['+', '-']).chars().all(|c| c.is_ascii_digit()).then_some(())?;
        digits.parse::<i32>().ok().map(|power| 10_f64.powi(power))
    };
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024_f64,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => exponent(suffix)?,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_kubernetes_reads_them() {
        for (text, wanted) in [
            ("500m", 500_000_000),
            ("0.5", 500_000_000),
            ("2", 2_000_000_000),
            (".5", 500_000_000),
            ("100u", 100_000),
            ("1e3m", 0),
        ] {
            assert_eq!(Figure::Cpu.read(text), (wanted > 0).then_some(wanted), "{text}");
        }
        for (text, wanted) in [
            ("512Mi", 512 * MIB),
            ("1.5Gi", 3 * GIB / 2),
            ("512M", 512_000_000),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("64Ki", 65_536),
        ] {
            assert_eq!(Figure::Memory.read(text), Some(wanted), "{text}");
        }
        for text in ["", "Mi", "512MiB", "512mb", "-1", "1_000", "1,5Gi", "1.2.3", "e3", "{{ .x }}", "5 Mi"] {
            assert_eq!(Figure::Memory.read(text), None, "{text}");
        }
    }

    #[test]
    fn an_amount_is_written_in_the_manner_of_the_old_one_and_without_loss() {
        for (figure, old, amount, wanted) in [
            (Figure::Cpu, "500m", 2_000_000_000, "2000m"),
            (Figure::Cpu, "0.5", 1_250_000_000, "1.25"),
            (Figure::Cpu, "1", 250_000_000, "250m"),
            (Figure::Cpu, "1", 3_000_000_000, "3"),
            (Figure::Cpu, "", 250_000_000, "250m"),
            (Figure::Memory, "512Mi", GIB, "1Gi"),
            (Figure::Memory, "1Gi", 1536 * MIB, "1536Mi"),
            (Figure::Memory, "512M", 256_000_000, "256M"),
            (Figure::Memory, "512M", 256 * MIB, "256Mi"),
            (Figure::Memory, "536870912", GIB, "1073741824"),
            (Figure::Memory, "", 7, "7"),
        ] {
            let text = figure.write(amount, old);
            assert_eq!(text, wanted, "{old}");
            assert_eq!(figure.read(&text), Some(amount), "{old}");
        }
        assert_eq!(Figure::Cpu.asked(State { cpu_cores: Some(0.1234), memory_bytes: None }), Some(124 * MILLI));
    }
}
