use super::super::FORMAT;
use super::*;
use crate::formats::events_of;
use domain::Event;

const T0: u64 = 1_790_813_290_000_000_000;

fn at(seconds: u64) -> Value {
    json!((T0 + seconds * 1_000_000_000).to_string())
}

fn strings(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, text)| json!({"key": key, "value": {"stringValue": text}})).collect()
}

fn request(resource: &[(&str, &str)], metrics: Value) -> Value {
    json!({"resourceMetrics": [{"resource": {"attributes": strings(resource)},
        "scopeMetrics": [{"scope": {"name": "receiver"}, "metrics": metrics}]}]})
}

fn taken(requests: impl IntoIterator<Item = Value>) -> Vec<Result<Event, Reason>> {
    events_of(&FORMAT, requests)
}

fn events(requests: impl IntoIterator<Item = Value>) -> Vec<Event> {
    taken(requests).into_iter().map(Result::unwrap).collect()
}

const POD: &[(&str, &str)] = &[
    ("k8s.namespace.name", "dev-ann"),
    ("k8s.pod.name", "api-5d4d5c9b8f-2lkqz"),
    ("k8s.container.name", "app"),
    ("k8s.node.name", "n1"),
];

fn gauge(name: &str, unit: &str, points: Value) -> Value {
    json!({"name": name, "unit": unit, "gauge": {"dataPoints": points}})
}

fn sum(name: &str, unit: &str, points: Value) -> Value {
    json!({"name": name, "unit": unit,
        "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}})
}

#[test]
fn points_in_any_order_say_the_same() {
    let of = |order: [u64; 3]| {
        let points: Value = order.iter().map(|n| json!({"timeUnixNano": at(n * 10), "asDouble": *n as f64})).collect();
        events([request(&[("container.name", "web")], json!([sum("container.cpu.time", "s", points)]))])
    };
    assert_eq!(of([1, 2, 3]).len(), 2);
    assert_eq!(format!("{:?}", of([3, 1, 2])), format!("{:?}", of([1, 2, 3])));
}

#[test]
fn points_of_many_lines_in_any_order_say_the_same_and_none_is_lost() {
    let line = |n: u64, delta: bool| {
        let mut metric = sum(
            "container.cpu.time",
            "s",
            json!([{"timeUnixNano": at(n * 10), "startTimeUnixNano": at(if delta { n * 10 - 10 } else { 0 }), "asDouble": n as f64}]),
        );
        metric["sum"]["aggregationTemporality"] = json!(if delta { 1 } else { 2 });
        request(&[("container.name", "web")], json!([metric]))
    };
    for delta in [false, true] {
        let of = |order: &[u64]| format!("{:?}", events(order.iter().map(|n| line(*n, delta))));
        let right = of(&[1, 2, 3, 4]);
        assert_eq!(events((1..=4).map(|n| line(n, delta))).len(), if delta { 4 } else { 3 });
        for order in [&[4, 3, 2, 1][..], &[3, 4, 1, 2], &[2, 1, 4, 3], &[1, 2, 4, 4, 3, 3]] {
            assert_eq!(of(order), right, "{order:?}");
        }
    }
    let lone = events([line(1, false)]);
    assert_eq!((lone.len(), lone[0].kind.as_str()), (1, "kpi"));
    assert_eq!(lone[0].payload["metric"], "container.cpu.time");
}

#[test]
fn a_whole_beside_its_parts_counts_alone() {
    let point = |seconds: u64, state: &str, value: f64| json!({"timeUnixNano": at(seconds), "asDouble": value, "attributes": strings(&[("state", state)])});
    let points = json!([
        point(0, "user", 1.0),
        point(0, "system", 1.0),
        point(0, "total", 2.0),
        point(10, "user", 4.0),
        point(10, "system", 2.0),
        point(10, "total", 6.5),
    ]);
    let gauges = json!([point(10, "user", 0.2), point(10, "system", 0.1)]);
    let all = events([
        request(&[("container.name", "web")], json!([sum("container.cpu.time", "s", points)])),
        request(&[("container.name", "db")], json!([gauge("container.cpu.usage", "{cpu}", gauges)])),
    ]);
    let cores = |name: &str| {
        all.iter().find(|event| event.resource.as_deref() == Some(name)).unwrap().payload["cpu_cores"].as_f64()
    };
    assert_eq!(cores("web"), Some(0.45));
    assert!((cores("db").unwrap() - 0.3).abs() < 1e-9);
}

#[test]
fn an_unspecified_temporality_is_a_reject() {
    for unspecified in [json!(0), json!("AGGREGATION_TEMPORALITY_UNSPECIFIED")] {
        let mut metric = sum("container.cpu.time", "s", json!([{"timeUnixNano": at(0), "asDouble": 1.0}]));
        metric["sum"]["aggregationTemporality"] = unspecified;
        let taken = taken([request(&[("container.name", "web")], json!([metric]))]);
        assert!(matches!(taken[..], [Err(Reason::Format(_))]), "{taken:?}");
    }
}

#[test]
fn whatever_a_source_says_of_itself_tells_containers_apart() {
    for key in ["aws.ecs.task.arn", "azure.vm.name", "faas.instance", "host.ip", "cloud.resource_id"] {
        let of = |who: &str, from: f64| {
            let points =
                json!([{"timeUnixNano": at(0), "asDouble": from}, {"timeUnixNano": at(10), "asDouble": from + 1.0}]);
            request(&[("container.name", "web"), (key, who)], json!([sum("container.cpu.time", "s", points)]))
        };
        let events = events([of("a", 5.0), of("b", 50_000.0)]);
        let cores: Vec<f64> = events.iter().filter_map(|event| event.payload["cpu_cores"].as_f64()).collect();
        assert_eq!(cores, [0.1, 0.1], "{key}");
    }
}

#[test]
fn the_kubelets_points_of_one_moment_become_one_usage() {
    let kubelet = |seconds: u64, cpu: f64, memory: Value| {
        request(
            POD,
            json!([
                gauge("container.cpu.usage", "{cpu}", json!([{"timeUnixNano": at(seconds), "asDouble": 9.0}])),
                sum("container.cpu.time", "s", json!([{"timeUnixNano": at(seconds), "asDouble": cpu}])),
                gauge("container.memory.working_set", "By", json!([{"timeUnixNano": at(seconds), "asInt": memory}])),
                gauge("container.memory.usage", "By", json!([{"timeUnixNano": at(seconds), "asInt": "700"}])),
            ]),
        )
    };
    let limits = request(
        POD,
        json!([
            gauge("k8s.container.cpu_limit", "{cpu}", json!([{"timeUnixNano": at(3), "asDouble": 1.5}])),
            gauge("k8s.container.memory_limit", "By", json!([{"timeUnixNano": at(3), "asInt": "1000"}])),
        ]),
    );
    let events = events([kubelet(0, 100.0, json!("500")), limits, kubelet(20, 110.0, json!(600))]);
    let [first, limit, second] = &events[..] else { panic!("{events:?}") };
    assert_eq!(first.resource.as_deref(), Some("dev-ann/api/app"));
    assert_eq!(first.env.as_deref(), Some("dev-ann"));
    assert_eq!(first.payload["cpu_cores"], 9.0);
    assert_eq!(first.payload["interval_s"], 20.0);
    assert_eq!(limit.payload["memory_limit_bytes"], 1000);
    assert_eq!(second.payload["cpu_cores"], 0.5);
    assert_eq!(second.payload["memory_bytes"], 600);
    assert_eq!(second.payload["memory_usage_bytes"], 700);
    assert_eq!(second.payload["cpu_limit_cores"], 1.5);
    assert_eq!(second.payload["pod"], "api-5d4d5c9b8f-2lkqz");
    assert_eq!(second.ts.0, (T0 / 1_000) as i64 + 20 * SECOND);
}

#[test]
fn docker_counters_add_up_over_devices_and_survive_a_restart() {
    let docker = |seconds: u64, cpu: &str, eth0: u64, read: u64| {
        let point = |value: Value, keys: &[(&str, &str)]| {
            let keys = strings(keys);
            json!({"timeUnixNano": at(seconds), "asInt": value, "attributes": keys})
        };
        let disk = |operation: &str| point(json!(read), &[("operation", operation)]);
        let port = |name: &str| point(json!(eth0), &[("interface", name)]);
        let periods = |n: u64| json!([{"timeUnixNano": at(seconds), "asInt": n}]);
        request(
            &[
                ("container.name", "/shop-web-1"),
                ("container.id", "c0ffee"),
                ("com.docker.compose.project", "shop"),
                ("com.docker.compose.service", "web"),
            ],
            json!([
                sum("container.cpu.usage.total", "ns", json!([point(json!(cpu), &[])])),
                sum("container.network.io.usage.rx_bytes", "By",
                    json!([port("eth0"), port("eth1")])),
                sum("container.blockio.io_service_bytes_recursive", "By",
                    json!([disk("Read"), disk("total")])),
                sum("container.cpu.throttling_data.periods", "{periods}", periods(seconds * 10)),
                sum("container.cpu.throttling_data.throttled_periods", "{periods}", periods(seconds)),
                {"name": "container.memory.usage.total", "unit": "By", "sum": {"aggregationTemporality": 2,
                    "dataPoints": [{"timeUnixNano": at(seconds), "asInt": "42"}]}},
            ]),
        )
    };
    let all =
        events([docker(0, "1000000000", 100, 7), docker(10, "6000000000", 150, 17), docker(20, "2000000000", 20, 27)]);
    let usage: Vec<&Event> = all.iter().filter(|event| event.kind == "usage").collect();
    assert_eq!(usage.len(), 3);
    assert_eq!(usage[0].resource.as_deref(), Some("shop/web"));
    assert!(!usage[0].payload.contains_key("cpu_cores") && !usage[0].payload.contains_key("net_rx_bytes"));
    assert_eq!(usage[1].payload["cpu_cores"], 0.5);
    assert_eq!(usage[1].payload["net_rx_bytes"], 100);
    assert_eq!(usage[1].payload["io_read_bytes"], 10);
    assert_eq!(usage[1].payload["throttled_ratio"], 0.1);
    assert_eq!(usage[2].payload["cpu_cores"], 0.2);
    assert_eq!(usage[2].payload["net_rx_bytes"], 40);
    assert_eq!(usage[2].payload["memory_bytes"], 42);
    // The direction nobody asked for is kept as it is.
    assert_eq!(all.iter().filter(|event| event.kind == "kpi").count(), 3);
}

#[test]
fn deltas_tell_their_own_interval() {
    let mode = |mode: &str| strings(&[("cpu.mode", mode)]);
    let metric = json!({"name": "container.cpu.time", "unit": "s", "sum": {
        "aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "isMonotonic": true, "dataPoints": [
        {"startTimeUnixNano": at(0), "timeUnixNano": at(30), "asDouble": 6.0, "attributes": mode("user")},
        {"startTimeUnixNano": at(0), "timeUnixNano": at(30), "asDouble": 9.0, "attributes": mode("system")},
        {"timeUnixNano": at(60), "asDouble": 6.0}]}});
    let taken = taken([request(POD, json!([metric]))]);
    assert_eq!(taken[0], Err(Reason::Format("a delta has no startTimeUnixNano before its end")));
    let usage = taken[1].as_ref().unwrap();
    assert_eq!(usage.payload["cpu_cores"], 0.5);
    assert_eq!(usage.payload["interval_s"], 30.0);
}

/// The processor's time of a container: when it was read, seconds so far, and when it began.
fn time_of(resource: &[(&str, &str)], temporality: u8, points: &[(u64, f64, u64)]) -> Value {
    let points = points.iter().map(|(seconds, value, since)| {
        json!({"startTimeUnixNano": at(*since), "timeUnixNano": at(*seconds), "asDouble": value})
    });
    let points: Vec<Value> = points.collect();
    let sum = json!({"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points});
    request(resource, json!([{"name": "container.cpu.time", "unit": "s", "sum": sum}]))
}

fn cores(events: &[Event]) -> Vec<f64> {
    let of = |event: &Event| event.payload.get("cpu_cores")?.as_f64();
    events.iter().filter_map(of).map(|cores| (cores * 1e6).round() / 1e6).collect()
}

#[test]
fn what_tells_containers_of_one_name_apart_is_all_that_the_source_says() {
    for apart in [
        "container.id",
        "host.name",
        "host.id",
        "service.instance.id",
        "k8s.cluster.name",
        "k8s.cluster.uid",
        "k8s.node.name",
        "cloud.account.id",
    ] {
        let named = |value: &'static str| [("container.name", "runner"), (apart, value)];
        let all = events([
            time_of(&named("a"), 2, &[(10, 100.0, 0)]),
            time_of(&named("b"), 2, &[(12, 5000.0, 0)]),
            time_of(&named("a"), 2, &[(20, 105.0, 0)]),
            time_of(&named("b"), 2, &[(20, 5000.8, 0)]),
        ]);
        let mut cores = cores(&all);
        cores.sort_unstable_by(f64::total_cmp);
        assert_eq!(cores, [0.1, 0.5], "{apart}");
        assert!(all.iter().all(|event| event.resource.as_deref() == Some("runner")));
    }
}

#[test]
fn pods_of_one_name_in_two_clusters_are_two_and_the_kubelet_and_the_cluster_tell_of_one() {
    let pod = |more: &[(&'static str, &'static str)]| -> Vec<(&'static str, &'static str)> {
        POD.iter().copied().filter(|(key, _)| *key != "k8s.node.name").chain(more.iter().copied()).collect()
    };
    let (first, second) = (pod(&[("k8s.pod.uid", "u1")]), pod(&[("k8s.pod.uid", "u2")]));
    let limit = |uid, node, bytes: u64| {
        let resource = pod(&[("k8s.pod.uid", uid), ("k8s.node.name", node), ("container.id", "c")]);
        let points = json!([{"timeUnixNano": at(10), "asInt": bytes}]);
        request(&resource, json!([gauge("k8s.container.memory_limit", "By", points)]))
    };
    let memory = |resource: &[(&str, &str)], bytes: u64| {
        let points = json!([{"timeUnixNano": at(20), "asInt": bytes}]);
        request(resource, json!([gauge("container.memory.working_set", "By", points)]))
    };
    let all = events([
        time_of(&first, 2, &[(10, 100.0, 0), (20, 105.0, 0)]),
        time_of(&second, 2, &[(10, 9000.0, 0), (20, 9001.0, 0)]),
        limit("u1", "n1", 1000),
        limit("u2", "n2", 2000),
        memory(&first, 400),
        memory(&second, 1400),
    ]);
    let told = |event: &&Event| event.payload.contains_key("cpu_cores");
    let told: Vec<_> = all.iter().filter(told).map(|event| &event.payload).collect();
    assert_eq!(told.len(), 2, "{all:?}");
    for (cores, memory, limit) in [(0.5, 400, 1000), (0.1, 1400, 2000)] {
        let payload = told.iter().find(|payload| payload["cpu_cores"] == cores).unwrap();
        assert_eq!((&payload["memory_bytes"], &payload["memory_limit_bytes"]), (&json!(memory), &json!(limit)));
    }
}

#[test]
fn a_delta_that_is_sent_again_counts_once() {
    let web = [("container.name", "web")];
    let (first, second) = ((30, 6.0, 0), (60, 9.0, 30));
    for sent in [vec![first, first], vec![first, second, first, second], vec![first, second, second]] {
        let all = events(sent.iter().map(|point| time_of(&web, 1, &[*point])));
        let want: &[f64] = if sent.contains(&second) { &[0.2, 0.3] } else { &[0.2] };
        assert_eq!(cores(&all), want, "{sent:?}");
    }
}

#[test]
fn a_counter_that_says_that_it_began_anew_did_so() {
    let web = [("container.name", "web")];
    let read = |points: &[(u64, f64, u64)]| cores(&events([time_of(&web, 2, points)]));
    assert_eq!(read(&[(10, 5.0, 0), (20, 6.0, 0), (30, 9.0, 21)]), [0.1, 1.0]);
    assert_eq!(read(&[(10, 5.0, 0), (20, 3.0, 15)]), [0.6], "below the old value too");
    assert_eq!(read(&[(10, 5.0, 0), (20, 6.0, 0), (30, 7.0, 1)]), [0.1, 0.1], "a start that only moved");
    // Its beginning is not known: from here on it counts.
    assert_eq!(read(&[(10, 5.0, 0), (20, 600.0, 20), (30, 602.0, 20)]), [0.2]);
    // A receiver that started anew, and the counter did not.
    assert_eq!(read(&[(10, 5000.0, 0), (20, 5001.0, 0), (40, 5003.0, 30), (50, 5004.0, 30)]), [0.1, 0.1]);
}

#[test]
fn a_restart_after_running_out_of_memory_is_an_oom_kill() {
    let cluster = |seconds: u64, restarts: u64| {
        let mut resource = POD.to_vec();
        if restarts > 0 {
            resource.push((LAST_REASON, "OOMKilled"));
        }
        request(
            &resource,
            json!([gauge(
                "k8s.container.restarts",
                "{restart}",
                json!([{"timeUnixNano": at(seconds), "asInt": restarts}])
            )]),
        )
    };
    let events = events([cluster(0, 0), cluster(10, 0), cluster(20, 2), cluster(30, 2)]);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].payload["oom_kills"], 2);
}

#[test]
fn every_other_number_is_a_kpi_and_histograms_are_two() {
    let service = &[("service.namespace", "shop"), ("service.name", "cart")];
    let events = events([request(
        service,
        json!([
            gauge("queue.depth", "{item}", json!([
            {"timeUnixNano": at(0), "asInt": "-3", "attributes": strings(&[("q", "a")])},
                {"timeUnixNano": at(1), "flags": 1}, {"timeUnixNano": at(1), "asDouble": "NaN"}])),
            gauge("container.cpu.usage", "{cpu}", json!([{"timeUnixNano": at(0), "asDouble": 0.25}])),
            {"name": "latency", "unit": "ms", "histogram": {"aggregationTemporality": 1, "dataPoints": [
                {"startTimeUnixNano": at(0), "timeUnixNano": at(60), "count": "4", "sum": 10.5,
                 "bucketCounts": ["1", "3"], "explicitBounds": [5.0], "max": 7.0}]}},
        ]),
    )]);
    let of = |metric: &str| events.iter().find(|event| event.payload["metric"] == metric).unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(of("queue.depth").payload["value"], -3.0);
    assert_eq!(of("queue.depth").payload["attributes"]["q"], "a");
    assert_eq!(of("queue.depth").resource.as_deref(), Some("shop/cart"));
    assert_eq!(of("container.cpu.usage").payload["value"], 0.25);
    assert_eq!(of("latency.count").payload["bucketCounts"][1], "3");
    assert_eq!(of("latency.sum").payload["value"], 10.5);
    assert_eq!(of("latency.sum").payload["interval_s"], 60.0);
}

#[test]
fn what_has_no_usable_value_is_refused_with_its_reason() {
    let refused = |metric: Value| taken([request(POD, json!([metric]))]).remove(0).unwrap_err();
    let point = |point: Value| refused(gauge("container.memory.usage", "By", json!([point])));
    assert_eq!(point(json!({"asInt": 1})), Reason::Timestamp);
    assert_eq!(point(json!({"timeUnixNano": "18446744073709551615", "asInt": 1})), Reason::Timestamp);
    let number = Reason::Format("a data point has no finite number");
    assert_eq!(point(json!({"timeUnixNano": at(0)})), number);
    assert_eq!(point(json!({"timeUnixNano": at(0), "asInt": {"x": 1}})), number);
    assert_eq!(point(json!({"timeUnixNano": at(0), "asDouble": "Infinity"})), number);
    let negative = Reason::Format("a container's use is negative");
    assert_eq!(point(json!({"timeUnixNano": at(0), "asInt": -1})), negative);
    assert_eq!(refused(json!({"gauge": {"dataPoints": []}})), Reason::Format("a metric has no name"));
    let kind = Reason::Format("a metric has no data points of a known kind");
    assert_eq!(refused(json!({"name": "m", "gauge": []})), kind);
    let histogram = refused(json!({"name": "m", "summary": {"dataPoints": [{"timeUnixNano": at(0)}]}}));
    assert_eq!(histogram, Reason::Format("a histogram or summary has no count"));
}

#[test]
fn whole_numbers_beyond_what_floats_hold_keep_their_digits() {
    let digits = "9007199254740993";
    let point = |value: Value| {
        json!({"timeUnixNano": at(0), "asInt": value, "attributes": [
            {"key": "as_text", "value": {"intValue": digits}},
            {"key": "as_number", "value": {"intValue": 9_007_199_254_740_993_i64}}]})
    };
    let negative = json!("-9223372036854775807");
    for (value, written) in [
        (json!(digits), digits),
        (json!(9_007_199_254_740_993_i64), digits),
        (negative.clone(), "-9223372036854775807"),
        (json!("18446744073709551615"), "18446744073709551615"),
    ] {
        let told = events([request(&[("service.name", "shop")], json!([gauge("orders", "1", json!([point(value)]))]))]);
        let payload = &told[0].payload;
        assert_eq!(payload["value"].to_string(), written);
        assert_eq!(
            payload["attributes"],
            json!({"as_text": 9_007_199_254_740_993_i64, "as_number": 9_007_199_254_740_993_i64})
        );
    }
    let histogram = json!({"name": "took", "histogram": {"aggregationTemporality": 2, "dataPoints": [
        {"timeUnixNano": at(0), "count": digits, "sum": 1.5}]}});
    let told = events([request(&[("service.name", "shop")], json!([histogram]))]);
    assert_eq!((told[0].payload["value"].to_string(), &told[1].payload["value"]), (digits.to_owned(), &json!(1.5)));

    // A counter so high grows by what lies between its readings, and not by what lies between the floats beside them.
    let read = |seconds: u64, bytes: u64| json!({"timeUnixNano": at(seconds), "asInt": bytes.to_string()});
    let points = json!([read(0, 1 << 53), read(60, (1 << 53) + 1), read(120, (1 << 53) + 4)]);
    let metric = sum("container.network.io.usage.rx_bytes", "By", points);
    let grown = |event: &Event| event.payload["net_rx_bytes"].as_i64();
    let told = events([request(&[("container.name", "web")], json!([metric]))]);
    assert_eq!(told.iter().map(grown).collect::<Vec<_>>(), [Some(1), Some(3)]);
}
