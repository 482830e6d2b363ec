//! What a metric says about a container or pod, by its name in the semantic conventions or in the receivers
//! `docker_stats`, `kubelet_stats` and `k8s_cluster`.
//!
//! `*.cpu.utilization` is left a `kpi`: receivers disagree whether it is a share of a limit, a percentage or cores.

use super::metrics::Metric;
use super::text;
use crate::formats::Object;
use crate::formats::samples::Measure;

/// The field of `usage` that a metric is.
pub(super) fn measure(metric: &Metric<'_>, attributes: &Object) -> Option<Measure> {
    let counter = metric.delta || metric.monotonic;
    let direction = text(attributes, &["network.io.direction", "disk.io.direction", "direction", "operation"]);
    let way = |inward: &str, into: Measure, outward: &str, out: Measure| match direction?.to_ascii_lowercase() {
        way if way == inward => Some(into),
        way if way == outward => Some(out),
        _ => None,
    };
    let measure = match metric.name {
        "container.cpu.usage"
        | "container.cpu.time"
        | "container.cpu.usage.total"
        | "k8s.pod.cpu.usage"
        | "k8s.pod.cpu.time" => match (counter, metric.unit) {
            (true, Some("s")) => Measure::CPU_TIME.summed(),
            (true, Some("ms")) => Measure::CPU_TIME.summed().scaled(1e-3),
            (true, Some("us")) => Measure::CPU_TIME.summed().scaled(1e-6),
            (true, Some("ns")) => Measure::CPU_TIME.summed().scaled(1e-9),
            (false, Some("{cpu}" | "{cpus}" | "{cores}" | "cores" | "1") | None) => Measure::CPU.summed(),
            _ => return None,
        },
        "container.cpu.limit" | "k8s.container.cpu_limit" | "k8s.container.cpu.limit" => Measure::CPU_LIMIT,
        "k8s.container.cpu_request" | "k8s.container.cpu.request" => Measure::CPU_REQUEST,
        "container.cpu.throttling_data.periods" => Measure::PERIODS,
        "container.cpu.throttling_data.throttled_periods" => Measure::THROTTLED_PERIODS,
        "container.memory.working_set" | "k8s.pod.memory.working_set" => bytes(Measure::WORKING_SET, metric)?,
        "container.memory.usage" | "container.memory.usage.total" | "k8s.pod.memory.usage" => {
            bytes(Measure::MEMORY_USED, metric)?
        }
        "container.memory.usage.max" => bytes(Measure::MEMORY_MAX, metric)?,
        "container.memory.usage.limit" | "k8s.container.memory_limit" | "k8s.container.memory.limit" => {
            bytes(Measure::MEMORY_LIMIT, metric)?
        }
        "k8s.container.memory_request" | "k8s.container.memory.request" => bytes(Measure::MEMORY_REQUEST, metric)?,
        // A gauge by name, a counter by what it counts.
        "k8s.container.restarts" | "k8s.container.restart.count" => return Some(Measure::RESTARTS),
        "container.network.io.usage.rx_bytes" => Measure::NET_RX,
        "container.network.io.usage.tx_bytes" => Measure::NET_TX,
        "container.network.io" | "k8s.pod.network.io" => way("receive", Measure::NET_RX, "transmit", Measure::NET_TX)?,
        "container.blockio.io_service_bytes_recursive" | "container.disk.io" => {
            way("read", Measure::IO_READ, "write", Measure::IO_WRITE)?
        }
        _ => return None,
    };
    (measure.needs_counter() == counter).then_some(measure)
}

fn bytes(measure: Measure, metric: &Metric<'_>) -> Option<Measure> {
    let scale = match metric.unit {
        None | Some("By") => 1.0,
        Some("kBy") => 1e3,
        Some("KiBy") => 1024.0,
        Some("MBy") => 1e6,
        Some("MiBy") => 1_048_576.0,
        Some("GBy") => 1e9,
        Some("GiBy") => 1_073_741_824.0,
        _ => return None,
    };
    Some(measure.scaled(scale))
}
