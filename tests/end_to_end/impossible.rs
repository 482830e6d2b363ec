//! What cannot be, what comes twice, and what only seems the same: kept, told apart, and no night ends with it.

use crate::program::{Place, checkout, end};
use domain::fields::{self, Kind};
use serde_json::{Value, json};

/// Numbers at the ends of what JSON and the machine can hold, as they are written.
const ENDS: &[&str] = &[
    "0",
    "-0.0",
    "1",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "1e18",
    "1e308",
    "1e400",
    "5e-324",
    "1e-308",
];

/// Texts that mean something to somebody: shells, terminals, SQL, spreadsheets, paths, readers of numbers.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\u{0}",
    "a\nb\r\tc",
    "\u{1b}[31mred\u{1b}[0m\u{9b}2J",
    "\u{202e}gnp.exe\u{2066}",
    "'; drop table staging.events; --",
    "=cmd|' /C calc'!A0",
    "../../../etc/passwd",
    "NaN",
    "null",
    "1e308",
    "{\"a\":[1,2",
    "%s%n${HOME}`id`",
    "\u{feff}\u{1F469}\u{200d}\u{1F4BB} e\u{301}",
];

/// When they happen: at the ends of time, and among the month of the samples.
const TIMES: &[&str] = &["1970-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z", "2026-11-19T10:00:00Z"];

/// One event of a type for each field and end, and one with all fields at each end.
fn extremes(kind: &str, out: &mut Vec<String>) {
    let fields: Vec<_> = fields::of(kind).iter().copied().flatten().collect();
    let numeric = |kind: Kind| matches!(kind, Kind::Int | Kind::Count | Kind::Amount | Kind::Float);
    let usual = |kind: Kind| match kind {
        Kind::Text | Kind::Id => "\"usual\"".to_owned(),
        Kind::Bool => "true".to_owned(),
        Kind::Time => "\"2026-11-19T10:00:00Z\"".to_owned(),
        Kind::List => "[\"a\"]".to_owned(),
        Kind::Json => "{\"scale\": 1e308}".to_owned(),
        _ => "1".to_owned(),
    };
    let mut push = |at: usize, values: &dyn Fn(&fields::Field) -> Option<String>, text: &str| {
        let payload: Vec<String> =
            fields.iter().filter_map(|field| Some(format!("{}:{}", json!(field.name), values(field)?))).collect();
        let resource = ["acme-dev/web", "acme-dev/extreme", text][at % 3];
        let outer = json!({"ts": TIMES[at % TIMES.len()], "type": kind, "repo": format!("acme/{text}"), "branch": text,
            "pr": at % 7 + 1, "developer": text, "env": "acme-dev", "session": text,
            "resource": resource});
        let outer = outer.to_string();
        let payload = payload.join(",");
        out.push(format!("{},\"payload\":{{{payload}}}}}", &outer[..outer.len() - 1]));
    };
    let mut at = 0;
    for end in ENDS {
        for only in fields.iter().filter(|field| numeric(field.kind)) {
            for _ in TIMES {
                at += 1;
                push(
                    at,
                    &|field| {
                        let is_it = field.name == only.name;
                        if is_it { Some((*end).to_owned()) } else { field.required.then(|| usual(field.kind)) }
                    },
                    TEXTS[at % TEXTS.len()],
                );
            }
        }
        at += 1;
        push(at, &|field| Some(if numeric(field.kind) { (*end).to_owned() } else { usual(field.kind) }), "all");
    }
    for text in TEXTS {
        for _ in TIMES {
            at += 1;
            let texts = |field: &fields::Field| match field.kind {
                Kind::Text | Kind::Id => Some(json!(text).to_string()),
                kind => field.required.then(|| usual(kind)),
            };
            push(at, &texts, text);
        }
    }
}

#[test]
fn an_extreme_corpus_goes_through_the_whole_night() {
    let place = Place::new();
    let mut lines = Vec::new();
    fields::TYPES.iter().for_each(|kind| extremes(kind, &mut lines));
    place.write("dumps/extreme.ndjson", lines.join("\n"));
    for part in ["usage", "activity"] {
        let name = format!("{part}.ndjson.gz");
        std::fs::copy(checkout().join("data-samples/team").join(&name), place.path("dumps").join(&name)).unwrap();
    }
    // What a type rule refuses (an exit code of 1e308) is no more than its place in a list of ends.
    let job = std::fs::read_to_string(checkout().join("jobs/nightly.toml")).unwrap().replace("\"5%\"", "\"20%\"");
    let job = place.write("nightly.toml", job);
    for clock in ["2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"] {
        let ended = end(place.command(&["--json", "--now", clock, "run", &job]));
        // 3: every step was taken, and `check` says what it found.
        assert_eq!(ended.code, 3, "{}", ended.err);
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        let record: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(record["steps"].as_array().unwrap().last().unwrap()["step"], "vacuum", "{record}");
    }
    let marked = place.sql("select count(*) as n from staging.events where impossible is not null")[0]["n"].as_u64();
    assert!(marked > Some(300), "{marked:?} are marked");
    // No figure that anybody reads is beyond all bounds.
    for query in [
        "select max(cpu_cores) as n from marts.usage",
        "select max(cpu_limit_cores) as n from marts.usage",
        "select max(predicted_state['cpu_cores']) as n from predictions.shadow_inventory",
        "select max(upper['cpu_cores']) as n from predictions.shadow_inventory",
        "select max(p99_duration_ms) / 1e6 as n from predictions.runs",
    ] {
        let most = place.sql(query)[0]["n"].as_f64();
        assert!(most.is_none_or(|most| most.abs() <= 31_536.0), "{query}: {most:?}");
    }
    let plan: Value = serde_json::from_str(&place.read("plan.json")).unwrap();
    assert!(plan["items"].as_array().is_some_and(|items| !items.is_empty()), "{plan}");
    let shown = place.run(&["--now", "2026-11-22T00:00:00Z", "plan", "-o", "again.json"]);
    let endless = ["inf cores", "NaN cores", "inf GiB", "inf %", "NaN %"];
    assert!(shown.code == 0 && !endless.iter().any(|text| shown.out.contains(text)), "{}{}", shown.out, shown.err);
    let ended = place.run(&["--now", "2026-11-22T00:00:00Z", "predict", "--horizon", "24h"]);
    assert!(matches!(ended.code, 0 | 5), "the models can be read back: {}", ended.err);
}

fn usage(seconds: u32, payload: Value) -> String {
    let ts = format!("2026-11-10T09:{:02}:{:02}Z", seconds / 60, seconds % 60);
    json!({"ts": ts, "type": "usage", "env": "shop", "resource": "shop/web", "payload": payload}).to_string()
}

#[test]
fn what_cannot_be_is_kept_marked_and_left_out() {
    let place = Place::new();
    let dump = [
        usage(0, json!({"interval_s": 60, "cpu_cores": 0.5, "memory_bytes": 100, "memory_limit_bytes": 1000})),
        usage(60, json!({"interval_s": 60, "cpu_cores": 1e308, "throttled_ratio": 1e308, "memory_bytes": 100})),
        usage(120, json!({"interval_s": 60, "cpu_cores": 8.2, "cpu_limit_cores": 1.0, "memory_bytes": 100})),
        usage(180, json!({"interval_s": 60, "cpu_cores": 0.5, "memory_bytes": 100_000, "memory_limit_bytes": 1000})),
    ];
    let dump = place.write("usage.ndjson", dump.join("\n"));
    assert_eq!(place.ingest(&[&dump]), [4, 4, 0, 0]);
    place.json(&["materialize"]);
    let kept = place.sql("select impossible, cpu_cores, payload from staging.events where impossible is not null");
    assert_eq!((kept.len(), &kept[0]["impossible"]), (1, &json!("cpu_cores,throttled_ratio")));
    assert!(kept[0]["cpu_cores"].is_null() && kept[0]["payload"].as_str().unwrap().contains("1e+308"), "{kept:?}");
    let seen = place.sql("select cpu_cores, memory_bytes, impossible from marts.usage order by ts");
    let want = json!([
        {"cpu_cores": 0.5, "memory_bytes": 100, "impossible": null},
        {"cpu_cores": null, "memory_bytes": 100, "impossible": "cpu_cores,throttled_ratio"},
        {"cpu_cores": null, "memory_bytes": 100, "impossible": "cpu_cores"},
        {"cpu_cores": 0.5, "memory_bytes": null, "impossible": "memory_bytes"},
    ]);
    assert_eq!(json!(seen), want);
    let checked = place.run(&["--json", "--now", "2026-11-10T10:00:00Z", "check"]);
    let report: Value = serde_json::from_str(&checked.out).unwrap();
    let found: Vec<_> = report["findings"].as_array().unwrap().iter().map(|f| f["check"].as_str().unwrap()).collect();
    assert_eq!((checked.code, found), (3, vec!["amounts_possible", "use_within_limits", "use_within_limits"]));
}

#[test]
fn the_sample_that_two_windows_share_is_one() {
    let window = |points: &[(i64, &str)]| {
        let series = |name: &str, values: Vec<Value>| json!({"metric": {"__name__": name, "namespace": "dev", "pod": "api-0", "container": "app"}, "values": values});
        let at = |seconds: i64| 1_794_301_200 + seconds;
        let cpu = points.iter().map(|(seconds, value)| json!([at(*seconds), value])).collect();
        let memory = points.iter().map(|(seconds, _)| json!([at(*seconds), (500 + seconds).to_string()])).collect();
        json!({"status": "success", "data": {"resultType": "matrix", "result": [
            series("container_cpu_usage_seconds_total", cpu), series("container_memory_working_set_bytes", memory)]}})
        .to_string()
    };
    let (first, second) =
        (window(&[(0, "10"), (60, "40"), (120, "70")]), window(&[(120, "70"), (180, "100"), (240, "130")]));
    for at_once in [true, false] {
        let place = Place::new();
        let (a, b) = (place.write("a.json", &first), place.write("b.json", &second));
        if at_once {
            place.ingest(&[&a, &b]);
        } else {
            // The later one first: neither knows of the other.
            place.ingest(&[&b]);
            place.json(&["materialize"]);
            place.ingest(&[&a]);
        }
        place.json(&["materialize"]);
        let rows = place.sql("select cpu_cores, memory_bytes from marts.usage order by ts");
        let want = json!([
            {"cpu_cores": null, "memory_bytes": 500},
            {"cpu_cores": 0.5, "memory_bytes": 560},
            {"cpu_cores": 0.5, "memory_bytes": 620},
            {"cpu_cores": 0.5, "memory_bytes": 680},
            {"cpu_cores": 0.5, "memory_bytes": 740},
        ]);
        assert_eq!(json!(rows), want, "at once: {at_once}");
    }
}

#[test]
fn jobs_of_one_name_and_second_are_two_rows() {
    let place = Place::new();
    let job = |id: u32, ended: &str, conclusion: &str| {
        json!({"id": id, "run_id": 9, "run_attempt": 1, "head_sha": "a", "status": "completed", "name": "test-x64",
            "url": format!("https://api.github.com/repos/acme/api/actions/jobs/{id}"), "conclusion": conclusion,
            "started_at": "2026-11-10T09:00:00Z", "completed_at": format!("2026-11-10T09:{ended}:00Z")})
        .to_string()
    };
    // The last two differ in nothing but their number.
    let jobs = [job(1, "05", "success"), job(2, "04", "failure"), job(3, "05", "success")];
    let dump = place.write("jobs.ndjson", jobs.join("\n"));
    place.ingest(&[&dump]);
    place.json(&["materialize"]);
    let rows = place.sql("select run_id, failed from marts.runs order by run_id");
    let want = json!([
        {"run_id": "9/test-x64", "failed": false},
        {"run_id": "9/test-x64 #2", "failed": true},
        {"run_id": "9/test-x64 #3", "failed": false},
    ]);
    assert_eq!(json!(rows), want);
}

/// A pull request of a fork in GH Archive.
fn opened(number: u32, fork: u32) -> String {
    let head = json!({"ref": "patch-1", "sha": format!("s{number}"), "repo": {"id": fork}});
    let pull = json!({"number": number, "head": head, "base": {"ref": "main", "sha": "b", "repo": {"id": 1}}});
    json!({"id": number.to_string(), "type": "PullRequestEvent", "actor": {"login": format!("u{number}")},
        "repo": {"id": 1, "name": "acme/api"}, "created_at": "2026-11-10T08:00:00Z",
        "payload": {"action": "opened", "number": number, "pull_request": pull}})
    .to_string()
}

/// A run of a fork's branch in GitHub Actions.
fn run(id: u32, sha: &str, fork: u32) -> String {
    json!({"id": id, "name": "CI", "head_branch": "patch-1", "head_sha": sha, "run_number": 1, "workflow_id": 5,
        "status": "completed", "conclusion": "success", "pull_requests": [], "created_at": "2026-11-10T09:00:00Z",
        "updated_at": "2026-11-10T09:05:00Z", "repository": {"id": 1, "full_name": "acme/api"},
        "head_repository": {"id": fork, "full_name": "bob/api"}})
    .to_string()
}

#[test]
fn forks_that_name_their_branches_alike_keep_their_runs_apart() {
    // The commit says it; then the fork, of a commit that nobody names; a third fork's belongs to nobody.
    let runs = [run(7, "s42", 502), run(8, "s41", 502), run(9, "new", 501), run(10, "new", 503)];
    let dumps = [opened(41, 501), opened(42, 502), runs[..2].join("\n"), runs[2..].join("\n")];
    let rows = |order: &[usize], nightly: bool| {
        let place = Place::new();
        for part in order {
            let dump = place.write(&format!("{part}.ndjson"), &dumps[*part]);
            place.ingest(&[&dump]);
            if nightly {
                place.json(&["materialize"]);
            }
        }
        place.json(&["materialize"]);
        let runs = place.sql("select run_id, pr_id from marts.runs order by run_id");
        let traces = place.sql(
            "select json_get_int(payload, 'run_id') as run_id, pr_id from traces.events where type = 'ci_run' order by run_id",
        );
        (json!(runs), json!(traces))
    };
    let want = (
        json!([
            {"run_id": "10", "pr_id": null},
            {"run_id": "7", "pr_id": "acme/api#42"},
            {"run_id": "8", "pr_id": "acme/api#41"},
            {"run_id": "9", "pr_id": "acme/api#41"},
        ]),
        json!([
            {"run_id": 7, "pr_id": "acme/api#42"},
            {"run_id": 8, "pr_id": "acme/api#41"},
            {"run_id": 9, "pr_id": "acme/api#41"},
        ]),
    );
    for order in [[0, 1, 2, 3], [2, 3, 0, 1], [1, 2, 3, 0], [3, 1, 0, 2]] {
        assert_eq!(rows(&order, true), want, "night by night: {order:?}");
    }
    assert_eq!(rows(&[0, 1, 2, 3], false), want);
}
