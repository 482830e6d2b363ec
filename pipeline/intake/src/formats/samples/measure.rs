//! What a series measures: a field of `usage`, and how its points speak about it.

// Fields of a point that are no fields of an event: two of them make one.
pub(super) const CPU_TIME: &str = "cpu_time";
pub(super) const WORKING_SET: &str = "working_set";
pub(super) const MEMORY_USED: &str = "memory_usage_bytes";
pub(super) const PERIODS: &str = "periods";
pub(super) const THROTTLED: &str = "throttled_periods";
pub(super) const LAST_EXIT_OOM: &str = "last_exit_oom";
pub(super) const RESTARTS: &str = "restarts";

/// How a series speaks about a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// As it is now.
    Gauge,
    /// What holds until it is said anew: a limit, a request.
    State,
    /// A counter: the field is how much it grew.
    Increase,
    /// A counter of seconds: the field is how much it grew a second.
    PerSecond,
    /// The highest value of all time: the field is that value when it has just risen.
    HighWater,
}

/// What a series measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Measure {
    pub(super) field: &'static str,
    pub(super) kind: Kind,
    /// From the unit of the series to that of the field.
    pub(super) scale: f64,
    /// Whether the series of one moment add up, such as those of several disks; otherwise the highest counts.
    pub(super) adds: bool,
}

const fn measure(field: &'static str, kind: Kind) -> Measure {
    Measure { field, kind, scale: 1.0, adds: false }
}

impl Measure {
    pub(in super::super) const CPU_TIME: Self = measure(CPU_TIME, Kind::PerSecond);
    pub(in super::super) const CPU: Self = measure("cpu_cores", Kind::Gauge);
    pub(in super::super) const CPU_LIMIT: Self = measure("cpu_limit_cores", Kind::State);
    pub(in super::super) const CPU_REQUEST: Self = measure("cpu_request_cores", Kind::State);
    pub(in super::super) const PERIODS: Self = measure(PERIODS, Kind::Increase);
    pub(in super::super) const THROTTLED_PERIODS: Self = measure(THROTTLED, Kind::Increase);
    pub(in super::super) const THROTTLED_RATIO: Self = measure("throttled_ratio", Kind::Gauge);
    pub(in super::super) const WORKING_SET: Self = measure(WORKING_SET, Kind::Gauge);
    pub(in super::super) const MEMORY_USED: Self = measure(MEMORY_USED, Kind::Gauge);
    pub(in super::super) const MEMORY_MAX: Self = measure("memory_peak_bytes", Kind::HighWater);
    pub(in super::super) const MEMORY_LIMIT: Self = measure("memory_limit_bytes", Kind::State);
    pub(in super::super) const MEMORY_REQUEST: Self = measure("memory_request_bytes", Kind::State);
    pub(in super::super) const OOM_KILLS: Self = measure("oom_kills", Kind::Increase);
    pub(in super::super) const RESTARTS: Self = measure(RESTARTS, Kind::Increase);
    pub(in super::super) const LAST_EXIT_OOM: Self = measure(LAST_EXIT_OOM, Kind::Gauge);
    pub(in super::super) const IO_READ: Self = measure("io_read_bytes", Kind::Increase).summed();
    pub(in super::super) const IO_WRITE: Self = measure("io_write_bytes", Kind::Increase).summed();
    pub(in super::super) const NET_RX: Self = measure("net_rx_bytes", Kind::Increase).summed();
    pub(in super::super) const NET_TX: Self = measure("net_tx_bytes", Kind::Increase).summed();

    /// A counter of the seconds that tasks were stalled, as a share of the time.
    pub(in super::super) const fn pressure(field: &'static str) -> Self {
        measure(field, Kind::PerSecond)
    }

    /// What the growth a second of such a counter measures, where a field says it.
    pub(in super::super) fn per_second(self) -> Option<Self> {
        let field = if self.field == CPU_TIME { "cpu_cores" } else { self.field };
        (self.kind == Kind::PerSecond).then_some(Self { field, kind: Kind::Gauge, ..self })
    }

    pub(in super::super) const fn summed(self) -> Self {
        Self { adds: true, ..self }
    }

    pub(in super::super) const fn scaled(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// Whether only the growth of a counter tells it.
    pub(in super::super) fn needs_counter(self) -> bool {
        matches!(self.kind, Kind::Increase | Kind::PerSecond)
    }
}

/// Whether a field holds until it is said anew.
pub(super) fn is_state(field: &str) -> bool {
    field.contains("_limit_") || field.contains("_request_")
}
