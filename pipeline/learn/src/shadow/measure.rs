//! What is forecast of a resource, and how it is called.

use domain::units::format_bytes;
use serde::Serialize;

/// A figure of a resource by the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Mean processor use, cores.
    CpuCores,
    /// Largest memory use, bytes.
    MemoryBytes,
    /// Read and written, bytes a second.
    IoBytesPerS,
    /// Received and sent, bytes a second.
    NetBytesPerS,
    /// Runs that began.
    RunsPerHour,
}

/// Something of each measure, in the order of [`Measure::ALL`].
pub(super) type ByMeasure<T> = [T; Measure::ALL.len()];

impl Measure {
    /// Every measure, in the order of the columns.
    pub const ALL: [Self; 5] =
        [Self::CpuCores, Self::MemoryBytes, Self::IoBytesPerS, Self::NetBytesPerS, Self::RunsPerHour];
    /// What limits are set on.
    pub const LIMITED: [Self; 2] = [Self::CpuCores, Self::MemoryBytes];
    /// Measures whose series are pooled: alike enough to say of each other which candidates serve and how far errors go.
    pub(super) const POOLS: [&'static [Self]; 3] =
        [&Self::LIMITED, &[Self::IoBytesPerS, Self::NetBytesPerS], &[Self::RunsPerHour]];

    /// The name of its columns, with its unit; `_lower` and `_upper` behind are its bounds.
    pub fn column(self) -> &'static str {
        match self {
            Self::CpuCores => "cpu_cores",
            Self::MemoryBytes => "memory_bytes",
            Self::IoBytesPerS => "io_bytes_per_s",
            Self::NetBytesPerS => "net_bytes_per_s",
            Self::RunsPerHour => "runs_per_hour",
        }
    }

    /// The same for people, in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::CpuCores => "CPU",
            Self::MemoryBytes => "memory",
            Self::IoBytesPerS => "disk",
            Self::NetBytesPerS => "network",
            Self::RunsPerHour => "runs",
        }
    }

    /// An amount of it for people.
    pub fn amount(self, value: f64) -> String {
        match self {
            Self::CpuCores => format!("{value:.2} cores"),
            Self::MemoryBytes => format_bytes(value),
            Self::IoBytesPerS | Self::NetBytesPerS => format!("{}/s", format_bytes(value)),
            Self::RunsPerHour => format!("{value:.1} an hour"),
        }
    }

    /// Its place in [`ByMeasure`].
    pub(super) fn at(self) -> usize {
        self as usize
    }
}
