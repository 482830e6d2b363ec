//! What recording itself took.

use nix::sys::resource::{UsageWho, getrusage};
use std::fmt;
use std::time::Duration;

/// The recorder's own use of the machine, the relays and git included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// CPU time of the recorder.
    pub cpu: Duration,
    /// CPU time of the relays that have ended, and of git.
    pub others_cpu: Duration,
    /// Most memory of the recorder at a time.
    pub memory_peak_bytes: u64,
    /// From the recorder's start to the command's.
    pub before: Duration,
    /// From the command's end to that of the recorder's work.
    pub after: Duration,
    /// How long the command ran.
    pub command: Duration,
    /// How often its processes were looked at.
    pub looks: u64,
}

pub(crate) struct Started {
    pub(crate) before: Duration,
}

impl Started {
    pub(crate) fn end(self, after: Duration, command: Duration, looks: u64, others_cpu: Duration) -> Cost {
        let own = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = own.as_ref().map(super::cpu_of).unwrap_or_default();
        Cost { cpu, others_cpu, memory_peak_bytes: super::own_peak_bytes(), before: self.before, after, command, looks }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let share = self.cpu.as_secs_f64() / self.command.as_secs_f64().max(1e-9);
        write!(
            f,
            "record: {:.1} ms of CPU ({:.2} % of a core), {:.1} MiB at most; git and relays {:.1} ms of CPU; \
             {:.1} ms before the command, {:.1} ms after it; {} looks in {:.1} s",
            ms(self.cpu),
            share * 100.0,
            self.memory_peak_bytes as f64 / f64::from(1 << 20),
            ms(self.others_cpu),
            ms(self.before),
            ms(self.after),
            self.looks,
            self.command.as_secs_f64(),
        )
    }
}
