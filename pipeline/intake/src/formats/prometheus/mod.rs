//! Prometheus: the answers of its query API (`query_range` and `query`); the series of such answers by themselves, as
//! `promtool query -o json` writes them; the exports of VictoriaMetrics (`/api/v1/export`); and the text exposition or
//! OpenMetrics, with times, as `promtool tsdb dump` writes it.
//!
//! What cAdvisor and kube-state-metrics say about containers becomes `usage`, all else `kpi`. A value that is NaN is no
//! value (Prometheus marks with it where a series ends) and is passed over; an infinite one is refused.

mod query;
mod series;
mod text;

use super::parts::Part;
use super::samples::{Number, Point, Samples, event};
use super::{Format, Head, Object, Out, Reader};
use domain::Reason;
use domain::time::Timestamp;
use query::Query;
use serde_json::{Value, json};
use series::Series;
use std::collections::HashMap;

pub(super) static FORMAT: Format =
    Format { name: "prometheus", recognises, reader: |_| Box::new(Prometheus::default()), independent: false };

const HISTOGRAM: Reason = Reason::Format("native histograms are not read");

/// Metrics whose unit a text dump told are remembered up to so many.
const UNITS: usize = 100_000;

fn recognises(head: &Head) -> bool {
    match head {
        Head::Json(value) => {
            let text = |value: Option<&Value>| value.is_some_and(Value::is_string);
            match value.get("status").and_then(Value::as_str) {
                Some("success") => {
                    let data = value.get("data");
                    text(data.and_then(|data| data.get("resultType")))
                        && data.is_some_and(|d| d.get("result").is_some())
                }
                Some("error") => text(value.get("errorType")) && text(value.get("error")),
                _ => is_series(value) && value.get("ts").is_none(),
            }
        }
        Head::Text(line) => text::recognises(line),
    }
}

/// Whether this is a series with its samples: `metric` beside `values`, `value` or histograms.
fn is_series(value: &Value) -> bool {
    value.get("metric").is_some_and(Value::is_object) && has_samples(value)
}

fn has_samples(value: &Value) -> bool {
    ["values", "value", "histograms", "histogram"].iter().any(|key| value.get(key).is_some_and(Value::is_array))
}

#[derive(Default)]
struct Prometheus {
    samples: Samples,
    units: HashMap<String, String>,
}

impl Reader for Prometheus {
    fn object(&mut self, value: Value, out: &mut Out) {
        if is_series(&value) {
            return self.series(value, None, out);
        }
        match refusal(&value) {
            Some(reason) => out.push(Err((value, reason))),
            None => self.answer(value, out),
        }
    }

    fn text(&mut self, line: &str, out: &mut Out) {
        let refused = match text::read(line) {
            Ok(text::Line::Comment) => return,
            Ok(text::Line::Unit(metric, unit)) => {
                if self.units.len() < UNITS {
                    self.units.insert(metric, unit);
                }
                return;
            }
            Ok(text::Line::Sample { labels, value, seconds }) => Series::new(labels, None)
                .map_err(Reason::Format)
                .and_then(|series| self.sample(&series, seconds, Number::parse(&value), out)),
            Err(reason) => Err(Reason::Format(reason)),
        };
        if let Err(reason) = refused {
            out.push(Err((Value::String(line.to_owned()), reason)));
        }
    }

    fn end(&mut self, out: &mut Out) {
        self.samples.end(out);
    }
}

impl Prometheus {
    /// One answer of the query API. A series or sample that cannot be taken is refused by itself.
    fn answer(&mut self, answer: Value, out: &mut Out) {
        let query =
            answer.get("query").or_else(|| answer["data"].get("query")).and_then(Value::as_str).map(Query::read);
        Part::read(answer, &["warnings", "infos", "stats", "trace"], out, |answer, out| {
            Part::read(answer.inner("data"), &["stats", "analysis"], out, |data, out| {
                data.records("result").into_iter().for_each(|series| self.series(series, query.as_ref(), out));
            });
        });
    }

    /// A series and its samples, in any of the ways that they are written.
    fn series(&mut self, entry: Value, query: Option<&Query>, out: &mut Out) {
        if !has_samples(&entry) {
            return out.push(Err((entry, Reason::Format("a series has no values"))));
        }
        let list = |key: &str| entry.get(key).is_some_and(Value::is_array);
        if !list("values") && !list("value") {
            return out.push(Err((entry, HISTOGRAM)));
        }
        let labels = entry.get("metric").and_then(Value::as_object).cloned();
        let series = labels.ok_or("a series has no labels").and_then(|labels| Series::new(labels, query));
        let series = match series {
            Ok(series) => series,
            Err(reason) => return out.push(Err((entry, Reason::Format(reason)))),
        };
        let metric = entry.get("metric").cloned();
        // A sample says nothing without its series.
        let amend = |refused: &mut Value| refused["metric"] = json!(metric);
        out.amended(amend, |out| {
            Part::read(entry, &["metric"], out, |entry, out| {
                let mut samples = match entry.get("timestamps") {
                    Value::Array(_) => pairs(entry.records("values"), entry.records("timestamps")),
                    _ => entry.records("values"),
                };
                if entry.get("value").is_array() {
                    samples.push(entry.inner("value"));
                }
                let histograms = entry.records("histograms").into_iter().chain([entry.inner("histogram")]);
                let refused = histograms.filter(|histogram| !histogram.is_null());
                out.extend(refused.map(|value| Err((json!({"metric": metric, "histogram": value}), HISTOGRAM))));
                for pair in samples {
                    if let Err(reason) = self.pair(&series, &pair, out) {
                        out.push(Err((json!({"metric": metric, "value": pair}), reason)));
                    }
                }
            });
        });
    }

    fn pair(&mut self, series: &Series, pair: &Value, out: &mut Out) -> Result<(), Reason> {
        match (pair.get(0).and_then(Value::as_f64), pair.get(1)) {
            // VictoriaMetrics writes NaN as null: no value.
            (Some(_), Some(Value::Null)) => Ok(()),
            (Some(seconds), Some(value)) => self.sample(series, seconds, Number::of(value), out),
            (Some(_), None) => Err(Reason::Format("a sample has no value")),
            (None, _) => Err(Reason::Timestamp),
        }
    }

    fn sample(&mut self, series: &Series, seconds: f64, value: Option<Number>, out: &mut Out) -> Result<(), Reason> {
        // Rust saturates: what is out of range, or no number at all, is not usable afterwards or 1970.
        let at = (seconds * 1e6).round() as i64;
        if !seconds.is_finite() || !Timestamp(at).is_usable() {
            return Err(Reason::Timestamp);
        }
        let value = value.ok_or(Reason::Format("the value of a sample is no number"))?;
        if value.float().is_nan() {
            return Ok(());
        }
        if value.float().is_infinite() {
            return Err(Reason::Format("the value of a sample is infinite"));
        }
        if let (Some(who), Some((measure, parts, name))) = (&series.who, &series.measure) {
            if value.float() < 0.0 {
                return Err(Reason::Format("a container's use is negative"));
            }
            let (measure, parts) = (*measure, *parts);
            let point = Point { who, series: name, measure, parts, at, value, since: None, delta: false };
            self.samples.add(&point, out);
            return Ok(());
        }
        let mut payload = Object::new();
        payload.insert("metric".into(), json!(series.metric));
        payload.insert("value".into(), value.json());
        payload.extend(self.unit(&series.metric).map(|unit| ("unit".to_owned(), json!(unit))));
        if !series.labels.is_empty() {
            payload.insert("labels".into(), Value::Object(series.labels.clone()));
        }
        let resource = series.who.as_ref().map(|who| who.resource());
        out.push(Ok(event(at, "kpi", series.env.as_deref(), resource, payload)));
        Ok(())
    }

    /// The unit that a text dump told of the metric, or of the family it belongs to.
    fn unit(&self, metric: &str) -> Option<&str> {
        let family = ["_total", "_count", "_sum", "_bucket"].iter().find_map(|ending| metric.strip_suffix(ending));
        self.units.get(metric).or_else(|| self.units.get(family?)).map(String::as_str)
    }
}

/// Why something is no answer with series.
fn refusal(answer: &Value) -> Option<Reason> {
    if !answer.is_object() {
        return Some(Reason::NotAnObject);
    }
    if answer.get("status").and_then(Value::as_str) != Some("success") {
        return Some(Reason::Format("the status of the answer is not \"success\""));
    }
    let Some(data) = answer.get("data") else { return Some(Reason::Format("the answer has no data")) };
    if !matches!(data.get("resultType").and_then(Value::as_str), Some("matrix" | "vector")) {
        return Some(Reason::Format("the resultType is neither matrix nor vector"));
    }
    (!data.get("result").is_some_and(Value::is_array)).then_some(Reason::Format("the result is no array"))
}

/// Values and their times in milliseconds, in two lists, as pairs with seconds; what has no partner has null.
fn pairs(values: Vec<Value>, times: Vec<Value>) -> Vec<Value> {
    let seconds = |time: &Value| time.as_f64().map(text::seconds);
    let pair =
        |at: usize| json!([times.get(at).and_then(seconds), values.get(at).map_or(json!("no value"), Value::clone)]);
    (0..values.len().max(times.len())).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::events_of;
    use domain::Event;

    const T0: i64 = 1_790_813_290;

    fn events(values: impl IntoIterator<Item = Value>) -> Vec<Event> {
        events_of(&FORMAT, values).into_iter().map(Result::unwrap).collect()
    }

    fn lines(text: &str) -> Vec<Result<Event, Reason>> {
        events_of(&FORMAT, text.lines().map(|line| json!(line)))
    }

    fn matrix(series: &[(Value, &[(i64, &str)])]) -> Value {
        let result: Vec<Value> = series
            .iter()
            .map(|(labels, values)| {
                let mut metric = json!({"namespace": "dev", "pod": "api-5d4d5c9b8f-2lkqz", "container": "app"});
                metric.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
                let values: Vec<Value> = values.iter().map(|(at, value)| json!([T0 + at, value])).collect();
                json!({"metric": metric, "values": values})
            })
            .collect();
        json!({"status": "success", "data": {"resultType": "matrix", "result": result}})
    }

    #[test]
    fn only_answers_of_the_query_api_are_recognised() {
        let name = |value: Value| Format::detect(&Head::Json(&value)).name;
        assert_eq!(name(matrix(&[])), "prometheus");
        assert_eq!(name(json!({"status": "error", "errorType": "bad_data", "error": "parse error"})), "prometheus");
        assert_eq!(name(json!({"status": "success", "data": ["up"]})), "native");
        assert_eq!(name(json!({"ts": "2026-10-01T00:00:00Z", "type": "kpi", "status": "success"})), "native");
        assert_eq!(name(json!({"_repo": "o/r", "_number": 3, "_kind": "opened", "status": "error"})), "github");
        assert_eq!(Format::detect(&Head::Text("# TYPE up gauge")).name, "prometheus");
        assert_eq!(Format::detect(&Head::Text("not json")).name, "native");
    }

    #[test]
    fn series_of_one_container_and_time_become_one_usage() {
        let cpu = json!({"__name__": "container_cpu_usage_seconds_total", "cpu": "total", "id": "/kubepods/x"});
        let memory = json!({"__name__": "container_memory_working_set_bytes", "id": "/kubepods/x"});
        let limit = json!({"__name__": "kube_pod_container_resource_limits", "resource": "memory", "unit": "byte"});
        let peak = json!({"__name__": "container_memory_max_usage_bytes"});
        let all = events([
            matrix(&[(cpu, &[(0, "100"), (60, "130"), (120, "6")]), (peak, &[(0, "9e2"), (60, "900"), (120, "950")])]),
            matrix(&[(memory, &[(0, "500"), (60, "510.4"), (120, "NaN")])]),
            matrix(&[(limit, &[(0, "1000"), (60, "1000"), (120, "1000"), (180, "1000")])]),
        ]);
        let [first, second, third] = &all[..] else { panic!("{all:?}") };
        for event in &all {
            assert_eq!((event.kind.as_str(), event.resource.as_deref()), ("usage", Some("dev/api/app")));
            assert_eq!(event.payload["memory_limit_bytes"], 1000);
            assert_eq!(event.payload["interval_s"], 60.0);
        }
        assert_eq!(first.payload["memory_bytes"], 500);
        assert!(!first.payload.contains_key("cpu_cores") && !first.payload.contains_key("memory_peak_bytes"));
        assert_eq!((&second.payload["cpu_cores"], &second.payload["memory_bytes"]), (&json!(0.5), &json!(510)));
        // The counter began anew; the peak of all time rose just now.
        assert_eq!((&third.payload["cpu_cores"], &third.payload["memory_peak_bytes"]), (&json!(0.1), &json!(950)));
        assert_eq!(third.payload["pod"], "api-5d4d5c9b8f-2lkqz");
    }

    #[test]
    fn pods_of_one_workload_are_told_apart_and_the_network_is_the_pods() {
        let name = "container_memory_working_set_bytes";
        let other = json!({"__name__": name, "pod": "api-5d4d5c9b8f-9xkzw"});
        let network =
            json!({"__name__": "container_network_receive_bytes_total", "container": "POD", "interface": "eth0"});
        let all = events([matrix(&[
            (json!({"__name__": name}), &[(0, "1")]),
            (other, &[(0, "2")]),
            (network, &[(0, "5"), (60, "25")]),
        ])]);
        assert_eq!(all.len(), 3);
        assert_eq!((&all[0].payload["interval_s"], &all[0].payload["interval_assumed"]), (&json!(60.0), &json!(true)));
        assert_ne!(all[0].payload["pod"], all[1].payload["pod"]);
        assert_eq!((all[2].resource.as_deref(), &all[2].payload["net_rx_bytes"]), (Some("dev/api"), &json!(20)));
    }

    #[test]
    fn containers_of_one_name_on_two_hosts_or_clusters_are_two() {
        let pod = json!({"namespace": "dev", "pod": "api-0", "container": "app"});
        let docker = json!({"name": "runner"});
        let apart = [
            (
                &docker,
                json!({"id": "/docker/a", "instance": "h1:8080"}),
                json!({"id": "/docker/b", "instance": "h2:8080"}),
            ),
            (&docker, json!({"id": "/docker/a"}), json!({"id": "/docker/b"})),
            (&docker, json!({"id": "/x", "instance": "h1"}), json!({"id": "/x", "instance": "h2"})),
            (&docker, json!({"id": "/x", "k8s_cluster": "c1"}), json!({"id": "/x", "k8s_cluster": "c2"})),
            (&pod, json!({"cluster": "c1"}), json!({"cluster": "c2"})),
            (&pod, json!({"instance": "n1"}), json!({"instance": "n2"})),
            (&pod, json!({"node": "n1"}), json!({"node": "n2"})),
            (&pod, json!({"id": "/kubepods/a"}), json!({"id": "/kubepods/b"})),
        ];
        for (base, one, other) in apart {
            let series = |name: &str, labels: &Value, values: &[(i64, &str)]| {
                let mut metric = base.clone();
                metric.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
                metric["__name__"] = json!(name);
                let values: Vec<Value> = values.iter().map(|(at, value)| json!([T0 + at, value])).collect();
                json!({"metric": metric, "values": values})
            };
            let (cpu, memory) = ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes");
            let all = events([json!({"status": "success", "data": {"resultType": "matrix", "result": [
                series(cpu, &one, &[(0, "100"), (60, "130")]), series(cpu, &other, &[(0, "7"), (60, "13")]),
                series(memory, &one, &[(60, "100")]), series(memory, &other, &[(60, "900")])]}})]);
            let mut told: Vec<(f64, i64)> = all
                .iter()
                .map(|event| {
                    (event.payload["cpu_cores"].as_f64().unwrap(), event.payload["memory_bytes"].as_i64().unwrap())
                })
                .collect();
            told.sort_unstable_by_key(|(_, bytes)| *bytes);
            assert_eq!(told, [(0.5, 100), (0.1, 900)], "{one}");
            assert_eq!(all[0].resource, all[1].resource);
        }
    }

    #[test]
    fn a_container_that_two_jobs_scrape_is_one() {
        let memory =
            |job: &str| json!({"__name__": "container_memory_working_set_bytes", "instance": "n1", "job": job});
        let all = events([matrix(&[(memory("kubelet"), &[(0, "5")]), (memory("cadvisor"), &[(0, "5")])])]);
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn all_processors_beside_each_of_them_are_counted_once() {
        let cpu = |cpu: &str| json!({"__name__": "container_cpu_usage_seconds_total", "cpu": cpu});
        for whole in ["total", "all", ""] {
            let mut series = [
                (cpu("cpu00"), &[(0, "10"), (60, "40")][..]),
                (cpu("cpu01"), &[(0, "10"), (60, "16")]),
                (cpu(whole), &[(0, "20"), (60, "56")]),
            ];
            for _ in 0..3 {
                series.rotate_left(1);
                let all = events([matrix(&series)]);
                assert_eq!(all[0].payload["cpu_cores"], 0.6, "{whole}");
            }
        }
    }

    #[test]
    fn throttled_periods_are_a_share_and_a_last_exit_an_oom_kill() {
        let name = |name: &str| json!({"__name__": name});
        let reason =
            |reason: &str| json!({"__name__": "kube_pod_container_status_last_terminated_reason", "reason": reason});
        let all = events([matrix(&[
            (name("container_cpu_cfs_periods_total"), &[(0, "0"), (60, "600"), (120, "1200")]),
            (name("container_cpu_cfs_throttled_periods_total"), &[(0, "0"), (60, "150"), (120, "150")]),
            (name("kube_pod_container_status_restarts_total"), &[(0, "3"), (60, "3"), (120, "4")]),
            (reason("OOMKilled"), &[(0, "0"), (60, "0"), (120, "1")]),
            (reason("Completed"), &[(0, "1")]),
        ])]);
        let usage: Vec<&Event> = all.iter().filter(|event| event.kind == "usage").collect();
        assert_eq!(usage[0].payload["throttled_ratio"], 0.25);
        assert_eq!(usage[1].payload["throttled_ratio"], 0.0);
        assert_eq!(usage[1].payload["oom_kills"], 1);
        assert_eq!(all.iter().filter(|event| event.kind == "kpi").count(), 1);
    }

    #[test]
    fn an_answer_without_names_needs_its_query() {
        let answer = json!({"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {"container": "app", "pod": "postgres-0"}, "value": [1_790_813_290.781, "0.25"]}]}});
        let missing = "a series without a name, and no \"query\" beside \"data\" to tell what it is";
        assert_eq!(events_of(&FORMAT, [answer.clone()]), [Err(Reason::Format(missing))]);
        let with = |query: &str| {
            let mut answer = answer.clone();
            answer["query"] = json!(query);
            events([answer]).remove(0)
        };
        let cores = with(r#"sum by (container, pod) (rate(container_cpu_usage_seconds_total{namespace="dev"}[5m]))"#);
        assert_eq!((cores.kind.as_str(), cores.resource.as_deref()), ("usage", Some("dev/postgres/app")));
        assert_eq!(cores.payload["cpu_cores"], 0.25);
        assert_eq!(cores.ts.0, 1_790_813_290_781_000);
        let other = with("quantile_over_time(0.95, rate(container_cpu_usage_seconds_total[5m])[14d:5m])");
        assert_eq!((other.kind.as_str(), &other.payload["value"]), ("kpi", &json!(0.25)));
    }

    #[test]
    fn the_text_forms_are_read_line_by_line() {
        const LABELS: &str =
            r#"container_label_com_docker_compose_project="shop",container_label_com_docker_compose_service="web""#;
        let dump = r#"# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed.
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{id="/docker/c0",name="web",LABELS} 10 1790813290000
container_memory_working_set_bytes{id="/docker/c0",name="web",LABELS} 4.2e+01 1790813320000
container_cpu_usage_seconds_total{id="/docker/c0",name="web",LABELS} 25 1790813320000
container_memory_working_set_bytes{id="/"} 7 1790813320000
# UNIT build_seconds seconds
build_seconds_sum{job="ci",user="ann"} 3 1790813320.5 # {trace_id="x"} 1
build_seconds_count{job="ci"} 3
build_seconds_max NaN 1790813320.5
build_seconds_max +Inf 1790813320.5
container_memory_usage_bytes{pod="a-0",container="b"} -1 1790813320.5
# EOF"#
            .replace("LABELS", LABELS);
        let mut taken = lines(&dump);
        let usage = taken.pop().unwrap().unwrap();
        assert_eq!(usage.resource.as_deref(), Some("shop/web"));
        assert_eq!((&usage.payload["cpu_cores"], &usage.payload["memory_bytes"]), (&json!(0.5), &json!(42)));
        assert_eq!(usage.payload["interval_s"], 30.0);
        let [root, sum, no_time, infinite, negative] = &taken[..] else { panic!("{taken:?}") };
        assert_eq!(root.as_ref().unwrap().kind, "kpi");
        let sum = sum.as_ref().unwrap();
        assert_eq!((&sum.payload["unit"], &sum.payload["value"]), (&json!("seconds"), &json!(3.0)));
        assert!(sum.payload["labels"]["user"].as_str().unwrap().starts_with("u-"));
        let reason = "a sample has no time: only dumps with times are read";
        assert_eq!(*no_time, Err(Reason::Format(reason)));
        assert_eq!(*infinite, Err(Reason::Format("the value of a sample is infinite")));
        assert_eq!(*negative, Err(Reason::Format("a container's use is negative")));
    }

    #[test]
    fn whole_numbers_beyond_what_floats_hold_keep_their_digits() {
        // VictoriaMetrics exports numbers, the others texts.
        let digits = "9007199254740993";
        let answer = json!({"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {"__name__": "orders"}, "value": [T0, digits]}]}});
        let export =
            json!({"metric": {"__name__": "orders"}, "values": [9_007_199_254_740_993_u64], "timestamps": [T0 * 1000]});
        let text = lines(&format!("# TYPE orders gauge\norders {digits} {}", T0 * 1000)).remove(0).unwrap();
        let all = events([answer, export]).into_iter().chain([text]);
        all.for_each(|event| assert_eq!(event.payload["value"].to_string(), digits));
    }

    #[test]
    fn hostile_answers_are_refused_with_a_reason_and_never_panic() {
        let refused = |value: Value| events_of(&FORMAT, [value]).remove(0).unwrap_err();
        let data =
            |kind: &str, result: Value| json!({"status": "success", "data": {"resultType": kind, "result": result}});
        let one = |metric: Value, value: Value| data("vector", json!([{"metric": metric, "value": value}]));
        assert_eq!(refused(json!([1])), Reason::NotAnObject);
        for (value, reason) in [
            (json!({}), "the status of the answer is not \"success\""),
            (json!({"status": "error", "error": "x"}), "the status of the answer is not \"success\""),
            (json!({"status": "success"}), "the answer has no data"),
            (data("scalar", json!([0, "1"])), "the resultType is neither matrix nor vector"),
            (data("matrix", json!({})), "the result is no array"),
            (data("matrix", json!([3])), "a series has no values"),
            (data("matrix", json!([{"metric": {}, "histograms": []}])), "native histograms are not read"),
            (one(json!([]), json!([1, "1"])), "a series has no labels"),
            (one(json!({"__name__": 3}), json!([1, "1"])), "the name of a series is no text"),
            (one(json!({"__name__": "m", "a": 3}), json!([1, "1"])), "a label is no text"),
            (one(json!({"__name__": "m"}), json!([1, "x"])), "the value of a sample is no number"),
            (one(json!({"__name__": "m"}), json!([1])), "a sample has no value"),
        ] {
            assert_eq!(refused(value), Reason::Format(reason));
        }
        for time in [json!("1"), json!(null), json!(-1), json!(1e300), json!(u64::MAX), json!({"0": 1})] {
            assert_eq!(refused(one(json!({"__name__": "m"}), json!([time, "1"]))), Reason::Timestamp);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_and_no_query_makes_it_stop(
            line in "[{}\\[\\]()=,\"\\\\#/ a-cü0-9.:by-]{0,60}",
            any in "\\PC{0,40}",
        ) {
            for text in [&line, &any] {
                recognises(&Head::Text(text));
                events_of(&FORMAT, [json!(text)]);
                Query::read(text).measure(&Object::new());
                crate::formats::workload::of_pod(text);
            }
        }
    }
}
