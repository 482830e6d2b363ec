//! The figures of a service: where Compose keeps them, how they are read and written.
//!
//! All are whole numbers inside, billionths of a core and bytes, as Docker keeps them: equality is exact.

use crate::yaml::place::Writing;
use domain::plan::State;
use domain::units::{GIB, MIB};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    Cpu,
    Memory,
    /// Memory and swap together. No figure of a plan: it follows the memory limit, so that no swap is turned on by a
    /// limit that is lowered.
    Swap,
}

/// Billionths in a core.
const NANO: f64 = 1e9;

impl Figure {
    /// What a plan sets.
    pub(super) const BOTH: [Self; 2] = [Self::Cpu, Self::Memory];

    /// What an edit may touch.
    pub(super) const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Swap];

    /// Where the limit may be: as the Compose specification keeps it, and as files of format 2 do; Compose reads both.
    pub(super) fn paths(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Cpu => &[&["deploy", "resources", "limits", "cpus"], &["cpus"]],
            Self::Memory => &[&["deploy", "resources", "limits", "memory"], &["mem_limit"]],
            Self::Swap => &[&["memswap_limit"]],
        }
    }

    /// What is reserved, which may not be above the limit.
    pub(super) fn reservations(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Cpu => &[&["deploy", "resources", "reservations", "cpus"]],
            Self::Memory => &[&["deploy", "resources", "reservations", "memory"], &["mem_reservation"]],
            Self::Swap => &[],
        }
    }

    /// What a state asks for; none where it leaves the figure as it is.
    pub(super) fn asked(self, state: State) -> Option<u64> {
        match self {
            Self::Cpu => state.cpu_cores.map(|cores| (cores * NANO).round() as u64),
            Self::Memory => state.memory_bytes,
            Self::Swap => None,
        }
    }

    /// Puts an amount into a state.
    pub(super) fn put(self, state: &mut State, amount: u64) {
        match self {
            Self::Cpu => state.cpu_cores = Some(amount as f64 / NANO),
            Self::Memory => state.memory_bytes = Some(amount),
            Self::Swap => {}
        }
    }

    /// Less than this Docker refuses: a hundredth of a core, 6 MiB.
    pub(super) fn least(self) -> u64 {
        match self {
            Self::Cpu => 10_000_000,
            Self::Memory | Self::Swap => 6 * MIB,
        }
    }

    /// For people.
    pub(super) fn words(self, amount: u64) -> String {
        match self {
            Self::Cpu => format!("{} cores", amount as f64 / NANO),
            Self::Memory | Self::Swap => self.write(amount, "G", false),
        }
    }

    /// Reads a scalar as Compose does; none where it would refuse or read it in a way we are not sure of.
    pub(super) fn read(self, text: &str) -> Option<u64> {
        match self {
            Self::Cpu => decimal(text).map(|cores| (cores * NANO).round() as u64),
            Self::Memory | Self::Swap => bytes(text),
        }
    }

    /// Writes an amount without loss in the manner of the scalar it replaces: `512m` becomes `1g`, `1.0` becomes `2.0`.
    pub(super) fn write(self, amount: u64, old: &str, legacy: bool) -> String {
        if self == Self::Cpu {
            let text = (amount as f64 / NANO).to_string();
            return if old.contains('.') && !text.contains('.') { format!("{text}.0") } else { text };
        }
        let suffix = old.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let suffix = if old.is_empty() { if legacy { "m" } else { "M" } } else { suffix };
        let tail = suffix.trim_start().get(1..).unwrap_or_default();
        let blank = if suffix.starts_with(' ') { " " } else { "" };
        let small = suffix.trim_start().starts_with(char::is_lowercase);
        let unit = |letter: char| if small { letter.to_ascii_lowercase() } else { letter };
        let lone_byte = suffix.trim_start().eq_ignore_ascii_case("b");
        match amount {
            _ if suffix.is_empty() || lone_byte => format!("{amount}{suffix}"),
            _ if amount.is_multiple_of(GIB) => format!("{}{blank}{}{tail}", amount / GIB, unit('G')),
            _ if amount.is_multiple_of(MIB) => format!("{}{blank}{}{tail}", amount / MIB, unit('M')),
            _ => amount.to_string(),
        }
    }
}

/// An amount on its way into a file.
pub(super) struct Amount {
    pub(super) figure: Figure,
    pub(super) amount: u64,
    /// Whether the key is one of format 2.
    pub(super) legacy: bool,
}

impl Writing for Amount {
    fn over(&self, old: &str) -> String {
        self.figure.write(self.amount, old, self.legacy)
    }

    /// Without quotes digits are a number, and where the specification has memory under `deploy` it takes text only.
    fn plain(&self, written: String) -> String {
        let number = written.chars().all(|c| c.is_ascii_digit());
        if number && self.figure == Figure::Memory && !self.legacy { written + "b" } else { written }
    }

    fn fresh(&self, json: bool) -> String {
        let text = self.figure.write(self.amount, "", self.legacy);
        match self.figure {
            _ if json => format!("\"{text}\""),
            // Written as text: format 3 of the Compose file refused a number here.
            Figure::Cpu if !self.legacy => format!("'{text}'"),
            _ => self.plain(text),
        }
    }
}

/// Digits with at most one point. Other spellings YAML 1.1 has for numbers (`010`, `1_000`, `1e3`) are not guessed at.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let octal = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
    if !plain || octal { None } else { text.parse().ok() }
}

/// As `RAMInBytes` of docker/go-units: every unit is binary, `MB` as much as `MiB`; `Mi` is no unit.
fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let amount = decimal(&text[..split])?;
    let suffix = text[split..].strip_prefix(' ').unwrap_or(&text[split..]).to_ascii_lowercase();
    let letter = match suffix.get(..1) {
        Some(letter) if ["", "b", "ib"].contains(&&suffix[1..]) => letter,
        None if text.len() == split => "b",
        _ => return None,
    };
    let power = ["b", "k", "m", "g", "t", "p"].iter().position(|unit| *unit == letter)?;
    if power == 0 && suffix.len() > 1 {
        return None;
    }
    let bytes = amount * 1024_f64.powi(i32::try_from(power).ok()?);
    (bytes < i64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_as_docker_reads_it() {
        for (text, wanted) in [
            ("512M", 512 * MIB),
            ("512mb", 512 * MIB),
            ("512MiB", 512 * MIB),
            ("1.5g", 3 * GIB / 2),
            ("64 k", 65536),
            ("100b", 100),
            ("1073741824", GIB),
            ("0", 0),
        ] {
            assert_eq!(Figure::Memory.read(text), Some(wanted), "{text}");
        }
        for text in ["", "M", "512Mi", "-1", "1_000", "0512", "5bb", "1,5g", "1.2.3m", "512  M", "12 ", "${M}", "1é"] {
            assert_eq!(Figure::Memory.read(text), None, "{text}");
        }
    }

    #[test]
    fn cores_read_as_plain_decimals_only() {
        assert_eq!(Figure::Cpu.read("0.50"), Some(500_000_000));
        assert_eq!(Figure::Cpu.read("2"), Some(2_000_000_000));
        for text in ["", ".", "500m", "1e3", "010", "+1", "-1", "${C:-1}", ".inf", "1:30"] {
            assert_eq!(Figure::Cpu.read(text), None, "{text}");
        }
    }

    #[test]
    fn an_amount_is_written_in_the_manner_of_the_old_one_and_without_loss() {
        for (old, amount, wanted) in [
            ("512M", GIB, "1G"),
            ("512m", 1536 * MIB, "1536m"),
            ("1gb", 512 * MIB, "512mb"),
            ("1 GiB", 512 * MIB, "512 MiB"),
            ("1073741824", 512 * MIB, "536870912"),
            ("512M", 1_000_000, "1000000"),
            ("7b", GIB, "1073741824b"),
            ("", GIB, "1G"),
        ] {
            let text = Figure::Memory.write(amount, old, false);
            assert_eq!(text, wanted);
            assert_eq!(Figure::Memory.read(&text), Some(amount));
        }
        assert_eq!(Figure::Memory.write(GIB, "", true), "1g");
        assert_eq!(Figure::Cpu.write(2_000_000_000, "0.50", false), "2.0");
        assert_eq!(Figure::Cpu.write(350_000_000, "1", false), "0.35");
    }
}
