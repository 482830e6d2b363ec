//! What a series is about: a field of a container's use, or a number like any other.
//!
//! Names: cAdvisor (`metrics/prometheus.go`) and kube-state-metrics (`docs/metrics/workload/pod-metrics.md`), which are
//! what Robusta KRR and the Vertical Pod Autoscaler's history provider read.

use super::query::Query;
use crate::formats::samples::{self, Labels, Measure, Who, parts};
use crate::formats::{Object, workload};
use serde_json::{Value, json};
use std::sync::Arc;

/// A series, ready for its samples.
pub(super) struct Series {
    /// The metric's name, or the query that gave it.
    pub(super) metric: String,
    /// Its labels without the name.
    pub(super) labels: Object,
    pub(super) env: Option<String>,
    /// The container or pod, if it is about one.
    pub(super) who: Option<Arc<Who>>,
    /// What of it, as which part, and by which name its counter is remembered.
    pub(super) measure: Option<(Measure, u64, Arc<samples::Series>)>,
}

impl Series {
    /// From its labels and the query that gave it, if that is known.
    pub(super) fn new(mut labels: Object, query: Option<&Query>) -> Result<Self, &'static str> {
        let name = match labels.remove("__name__") {
            Some(Value::String(name)) if !name.is_empty() => Some(name),
            Some(_) => return Err("the name of a series is no text"),
            None => None,
        };
        if labels.values().any(|value| !value.is_string()) {
            return Err("a label is no text");
        }
        let measure = match &name {
            Some(name) => measure(name, &labels),
            None => query.and_then(|query| query.measure(&labels)),
        };
        let metric = name
            .or_else(|| query.map(|query| query.name.clone()))
            .ok_or("a series without a name, and no \"query\" beside \"data\" to tell what it is")?;
        let (env, who) = container(&metric, &labels, query.and_then(|query| query.namespace.as_deref()));
        // The pause container uses nothing; it stands for its pod where the network is counted.
        let pause = label(&labels, &["exported_container", "container"]) == Some("POD");
        let measure = measure.filter(|measure| !pause || *measure == Measure::NET_RX || *measure == Measure::NET_TX);
        let measure = who.as_ref().zip(measure).map(|(who, measure)| {
            let parts = parts(PARTS.iter().filter_map(|name| Some((*name, labels.get(*name)?.as_str()?))));
            (measure, parts, who.series(&metric, Value::Object(labels.clone()).to_string()))
        });
        Ok(Self { metric, labels, env, who, measure })
    }
}

/// Labels by which cAdvisor and others tell the parts of a container's use apart.
const PARTS: &[&str] = &["cpu", "device", "disk", "interface", "major", "minor", "mode", "operation", "state"];

/// The first of these labels that is not empty.
fn label<'l>(labels: &'l Object, names: &[&str]) -> Option<&'l str> {
    names.iter().find_map(|name| labels.get(*name)?.as_str().filter(|text| !text.is_empty()))
}

/// The container or pod that labels name, and its environment. `exported_…` comes first: kube-state-metrics' own pod
/// stands under the plain names where Prometheus does not honour the labels of what it scrapes.
fn container(metric: &str, labels: &Object, namespace: Option<&str>) -> (Option<String>, Option<Arc<Who>>) {
    let get = |names: &[&str]| label(labels, names);
    let namespace = get(&["exported_namespace", "namespace"]).or(namespace);
    let pod = get(&["exported_pod", "pod", "pod_name"]);
    let mut about = Object::new();
    for (field, names) in [("cluster", &["cluster"][..]), ("pod", &["exported_pod", "pod", "pod_name"])] {
        about.extend(get(names).map(|text| (field.to_owned(), json!(text))));
    }
    // kube-state-metrics tells of every pod: where it runs itself says nothing of them.
    let instance = get(&["instance"]).filter(|_| !metric.starts_with("kube_"));
    about.extend(instance.map(|text| ("instance".to_owned(), json!(text))));
    let id = get(&["id"]);
    let apart = |places: &[&str]| -> Labels {
        let of = |key: &str| Some((key.to_owned(), get(&[key])?.to_owned()));
        let clusters = labels.keys().filter(|key| key.contains("cluster")).map(String::as_str);
        let mut apart: Labels = places.iter().copied().chain(clusters).filter_map(of).collect();
        apart.extend(instance.map(|text| ("instance".to_owned(), text.to_owned())));
        apart
    };
    if let Some(pod) = pod {
        let owner = get(&["workload", "deployment", "statefulset", "daemonset", "cronjob"])
            .or_else(|| get(&["owner_name", "created_by_name", "replicaset", "job_name"]).map(workload::of_replica_set))
            .unwrap_or_else(|| workload::of_pod(pod));
        let names = ["exported_container", "container", "container_name"];
        let container = get(&names).filter(|container| *container != "POD");
        let instance = [get(&["cluster"]).unwrap_or_default(), pod].join("/");
        let mut apart = apart(&["uid", "node", "region"]);
        if apart.is_empty() {
            // A container that is started again has another id and is the same one to those who set limits.
            apart.extend(id.map(|id| ("id".to_owned(), id.to_owned())));
        }
        let who = Who::new(namespace, workload::resource(namespace, owner, container), &instance, apart, about);
        return (namespace.map(str::to_owned), Some(who));
    }
    let project = get(&["container_label_com_docker_compose_project"]);
    let service = get(&["container_label_com_docker_compose_service"]);
    // cAdvisor without Kubernetes: `name` is the container's; the groups above it have none.
    let name = get(&["name"]).filter(|_| id.is_some());
    let env = namespace.or(project);
    let who = service.or(name).map(|service| {
        about.extend(name.map(|name| ("container".to_owned(), json!(name))));
        about.extend(id.map(|id| ("container_id".to_owned(), json!(id.rsplit('/').next().unwrap_or(id)))));
        let apart = apart(&["id", "host", "hostname", "node", "nodename", "region"]);
        Who::new(env, workload::resource(env, service, None), name.unwrap_or_default(), apart, about)
    });
    (env.map(str::to_owned), who)
}

/// What a metric says about a container.
pub(super) fn measure(metric: &str, labels: &Object) -> Option<Measure> {
    let resource = || label(labels, &["resource"]);
    Some(match metric {
        // One series for each processor, where cAdvisor is asked for that.
        "container_cpu_usage_seconds_total" => Measure::CPU_TIME.summed(),
        "container_cpu_cfs_periods_total" => Measure::PERIODS,
        "container_cpu_cfs_throttled_periods_total" => Measure::THROTTLED_PERIODS,
        "container_memory_working_set_bytes" => Measure::WORKING_SET,
        "container_memory_usage_bytes" => Measure::MEMORY_USED,
        "container_memory_max_usage_bytes" => Measure::MEMORY_MAX,
        "container_spec_memory_limit_bytes" => Measure::MEMORY_LIMIT,
        "container_oom_events_total" => Measure::OOM_KILLS,
        "container_fs_reads_bytes_total" => Measure::IO_READ,
        "container_fs_writes_bytes_total" => Measure::IO_WRITE,
        "container_network_receive_bytes_total" => Measure::NET_RX,
        "container_network_transmit_bytes_total" => Measure::NET_TX,
        "container_pressure_cpu_waiting_seconds_total" => Measure::pressure("psi_cpu_some"),
        "container_pressure_cpu_stalled_seconds_total" => Measure::pressure("psi_cpu_full"),
        "container_pressure_memory_waiting_seconds_total" => Measure::pressure("psi_memory_some"),
        "container_pressure_memory_stalled_seconds_total" => Measure::pressure("psi_memory_full"),
        "container_pressure_io_waiting_seconds_total" => Measure::pressure("psi_io_some"),
        "container_pressure_io_stalled_seconds_total" => Measure::pressure("psi_io_full"),
        "kube_pod_container_resource_limits" => match resource()? {
            "cpu" => Measure::CPU_LIMIT,
            "memory" => Measure::MEMORY_LIMIT,
            _ => return None,
        },
        "kube_pod_container_resource_requests" => match resource()? {
            "cpu" => Measure::CPU_REQUEST,
            "memory" => Measure::MEMORY_REQUEST,
            _ => return None,
        },
        // kube-state-metrics before 2.0
        "kube_pod_container_resource_limits_cpu_cores" => Measure::CPU_LIMIT,
        "kube_pod_container_resource_limits_memory_bytes" => Measure::MEMORY_LIMIT,
        "kube_pod_container_resource_requests_cpu_cores" => Measure::CPU_REQUEST,
        "kube_pod_container_resource_requests_memory_bytes" => Measure::MEMORY_REQUEST,
        "kube_pod_container_status_restarts_total" => Measure::RESTARTS,
        "kube_pod_container_status_last_terminated_reason" if label(labels, &["reason"]) == Some("OOMKilled") => {
            Measure::LAST_EXIT_OOM
        }
        _ => return None,
    })
}
