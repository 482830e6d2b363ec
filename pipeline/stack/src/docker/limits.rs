//! The limits of a container: as the Engine keeps them, as the kernel holds it to them, and as a plan says them.
//! Computed here, sent by [`super::engine`].
//!
//! The Engine has two forms of a CPU limit, of which a container keeps the one it has: `NanoCpus` (`docker run --cpus`), and
//! quota and period. Measured on Engine 20.10, and so in `daemon/container.go` of later ones: an update takes 0 for "leave it",
//! refuses to go from one form to the other, and has no way back to unset. A quota of -1 and memory of the largest number of
//! pages hold a container to nothing, as unset limits do; only the Engine's own record shows that they were set once.

use bollard::models::{ContainerUpdateBody, HostConfig};
use domain::plan::State;
use domain::units::format_bytes;
use serde::{Deserialize, Serialize};

/// Microseconds of a period where none is set.
const PERIOD: i64 = 100_000;
/// The largest number of pages in bytes: what the kernel shows for no limit, and takes for none.
const UNLIMITED: i64 = i64::MAX / 4096 * 4096;
/// From here on it is no limit: pages may be larger than 4 KiB.
const NEARLY_UNLIMITED: i64 = 1 << 62;

/// As the Engine keeps them: 0 or below is unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) nano_cpus: i64,
    pub(super) cpu_quota: i64,
    pub(super) cpu_period: i64,
    pub(super) memory: i64,
    /// Memory and swap together; -1 is as much swap as there is.
    pub(super) memory_swap: i64,
}

/// What a container is held to. None: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Quota and period, microseconds.
    pub(super) cpu: Option<(i64, i64)>,
    pub(super) memory: Option<i64>,
    /// Memory and swap together.
    pub(super) swap: Option<i64>,
}

impl Limits {
    pub(super) fn of(host: Option<&HostConfig>) -> Self {
        let figure = |of: fn(&HostConfig) -> Option<i64>| host.and_then(of).unwrap_or(0);
        Self {
            nano_cpus: figure(|host| host.nano_cpus),
            cpu_quota: figure(|host| host.cpu_quota),
            cpu_period: figure(|host| host.cpu_period),
            memory: figure(|host| host.memory),
            memory_swap: figure(|host| host.memory_swap),
        }
    }

    pub(super) fn held(self) -> Held {
        let limit = |bytes: i64| Some(bytes).filter(|bytes| (1..NEARLY_UNLIMITED).contains(bytes));
        let period = if self.cpu_period > 0 { self.cpu_period } else { PERIOD };
        let cpu = if self.nano_cpus > 0 {
            Some(((i128::from(self.nano_cpus) * i128::from(PERIOD) / 1_000_000_000) as i64, PERIOD))
        } else {
            (self.cpu_quota > 0).then_some((self.cpu_quota, period))
        };
        Held { cpu, memory: limit(self.memory), swap: limit(self.memory_swap) }
    }

    pub(super) fn state(self) -> State {
        let held = self.held();
        let nano = (self.nano_cpus > 0).then(|| self.nano_cpus as f64 / 1e9);
        State {
            cpu_cores: nano.or_else(|| held.cpu.map(cores)),
            memory_bytes: held.memory.and_then(|bytes| u64::try_from(bytes).ok()),
        }
    }

    /// The limits that a plan asks for, in the form that these have. The swap stays what it was; what had no memory limit gets
    /// as much swap as memory, as `docker run` gives.
    pub(super) fn with(self, before: State, after: State, counts_swap: bool) -> Self {
        let mut new = self;
        let nano = |cores: f64| (cores * 1e9).round() as i64;
        if let Some(cores) = after.cpu_cores.filter(|cores| before.cpu_cores.map(nano) != Some(nano(*cores))) {
            if self.nano_cpus > 0 {
                new.nano_cpus = nano(cores);
            } else {
                new.cpu_period = if self.cpu_period > 0 { self.cpu_period } else { PERIOD };
                new.cpu_quota = (cores * new.cpu_period as f64).round() as i64;
            }
        }
        if let Some(bytes) = after.memory_bytes.filter(|bytes| before.memory_bytes != Some(*bytes)) {
            let held = self.held();
            new.memory = i64::try_from(bytes).unwrap_or(UNLIMITED);
            new.memory_swap = match (held.memory, held.swap) {
                (Some(memory), Some(swap)) => new.memory.saturating_add(swap.saturating_sub(memory)),
                (None, _) if counts_swap => new.memory.saturating_mul(2),
                _ => -1,
            };
        }
        new
    }

    /// What to send so that a container which has `from`, or is on the way between, has these.
    pub(super) fn update_from(self, from: Self, counts_swap: bool) -> ContainerUpdateBody {
        let mut body = ContainerUpdateBody::default();
        let (was, is) = (from.held(), self.held());
        if was.cpu != is.cpu {
            if self.nano_cpus > 0 {
                body.nano_cpus = Some(self.nano_cpus);
            } else if is.cpu.is_some() {
                body.cpu_quota = Some(self.cpu_quota);
                body.cpu_period = Some(self.cpu_period).filter(|period| *period > 0);
            } else {
                body.cpu_quota = Some(-1);
            }
        }
        if (was.memory, was.swap) != (is.memory, is.swap) {
            // Both in one request: the kernel keeps memory below memory and swap, and the Engine sees to the order.
            body.memory = Some(is.memory.unwrap_or(UNLIMITED));
            body.memory_swap = Some(match (is.memory, is.swap) {
                (_, Some(swap)) => swap,
                (None, None) if counts_swap => UNLIMITED,
                _ => -1,
            });
        }
        body
    }
}

impl Held {
    /// Whether the kernel's figures are these: it rounds memory down to pages, and systemd a quota up to a hundredth of a
    /// core.
    pub(super) fn is_kept_by(self, kernel: Self, counts_swap: bool) -> bool {
        let pages = |wanted: Option<i64>, there: Option<i64>| match (wanted, there) {
            (Some(wanted), Some(there)) => (0..=0xffff).contains(&(wanted - there)),
            (wanted, there) => wanted == there,
        };
        let cpu = match (self.cpu, kernel.cpu) {
            (Some(wanted), Some(there)) => (-1e-9..0.0101).contains(&(cores(there) - cores(wanted))),
            (wanted, there) => wanted == there,
        };
        cpu && pages(self.memory, kernel.memory) && (!counts_swap || pages(self.swap, kernel.swap))
    }

    /// Whether every figure is that of one or the other.
    pub(super) fn is_between(self, one: Self, other: Self) -> bool {
        (self.cpu == one.cpu || self.cpu == other.cpu)
            && (self.memory == one.memory || self.memory == other.memory)
            && (self.swap == one.swap || self.swap == other.swap)
    }

    pub(super) fn in_words(self) -> String {
        let cpu = self.cpu.map_or_else(|| "no CPU limit".to_owned(), |cpu| format!("{} cores", cores(cpu)));
        let bytes = |bytes: i64| format_bytes(bytes as f64);
        let memory = self.memory.map_or_else(|| "no memory limit".to_owned(), bytes);
        let swap = self.swap.map_or_else(String::new, |swap| format!(", {} with swap", bytes(swap)));
        format!("{cpu}, {memory}{swap}")
    }
}

fn cores((quota, period): (i64, i64)) -> f64 {
    quota as f64 / period.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::units::{GIB, MIB};

    fn state(cpu: Option<f64>, memory: Option<u64>) -> State {
        State { cpu_cores: cpu, memory_bytes: memory }
    }

    #[test]
    fn a_limit_keeps_its_form_and_the_swap_what_it_was() {
        let nano = Limits { nano_cpus: 500_000_000, memory: 64 << 20, memory_swap: 96 << 20, ..Limits::default() };
        assert_eq!(nano.state(), state(Some(0.5), Some(64 * MIB)));
        let after = nano.with(nano.state(), state(Some(0.25), Some(128 * MIB)), true);
        assert_eq!((after.nano_cpus, after.memory, after.memory_swap), (250_000_000, 128 << 20, 160 << 20));
        let body = after.update_from(nano, true);
        assert_eq!((body.nano_cpus, body.cpu_quota, body.memory_swap), (Some(250_000_000), None, Some(160 << 20)));
        let back = nano.update_from(after, true);
        assert_eq!(
            (back.nano_cpus, back.memory, back.memory_swap),
            (Some(500_000_000), Some(64 << 20), Some(96 << 20))
        );

        let quota =
            Limits { cpu_quota: 25_000, cpu_period: 50_000, memory: 1 << 30, memory_swap: -1, ..Limits::default() };
        let after = quota.with(quota.state(), state(Some(0.8), Some(2 * GIB)), true);
        assert_eq!((after.cpu_quota, after.cpu_period, after.memory_swap), (40_000, 50_000, -1));
    }

    #[test]
    fn what_was_unset_is_held_to_nothing_again() {
        let unset = Limits::default();
        let after = unset.with(unset.state(), state(Some(0.5), Some(64 * MIB)), true);
        assert_eq!((after.cpu_quota, after.cpu_period, after.nano_cpus), (50_000, PERIOD, 0));
        assert_eq!((after.memory, after.memory_swap), (64 << 20, 128 << 20));
        let back = unset.update_from(after, true);
        assert_eq!((back.cpu_quota, back.memory, back.memory_swap), (Some(-1), Some(UNLIMITED), Some(UNLIMITED)));
        let then =
            Limits { cpu_quota: -1, cpu_period: PERIOD, memory: UNLIMITED, memory_swap: UNLIMITED, nano_cpus: 0 };
        assert_eq!(then.held(), unset.held());
        assert_eq!(unset.with(unset.state(), state(None, Some(64 * MIB)), false).memory_swap, -1);
    }

    #[test]
    fn a_figure_that_a_plan_leaves_is_not_sent() {
        let limits = Limits { nano_cpus: 100_000_000, memory: 64 << 20, memory_swap: 128 << 20, ..Limits::default() };
        let only_cpu = limits.with(limits.state(), state(Some(0.2), limits.state().memory_bytes), true);
        let body = only_cpu.update_from(limits, true);
        assert_eq!((body.nano_cpus, body.memory, body.memory_swap), (Some(200_000_000), None, None));
        assert_eq!(limits.update_from(limits, true), ContainerUpdateBody::default());
    }

    #[test]
    fn the_kernel_rounds_and_nothing_else_is_let_pass() {
        let wanted = Held { cpu: Some((25_000, 50_000)), memory: Some(10_000_000), swap: None };
        let kernel = Held { cpu: Some((50_000, 100_000)), memory: Some(9_998_336), swap: None };
        assert!(wanted.is_kept_by(kernel, true));
        assert!(!wanted.is_kept_by(Held { memory: None, ..kernel }, true));
        assert!(!wanted.is_kept_by(Held { swap: Some(1), ..kernel }, true));
        assert!(wanted.is_kept_by(Held { swap: Some(1), ..kernel }, false));
        assert!(!wanted.is_kept_by(Held { cpu: Some((52_000, 100_000)), ..kernel }, true));
    }
}
