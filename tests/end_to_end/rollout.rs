//! A rollout of the program, tick by tick, on a map of its own: who decides, what is refused, and what a kill leaves.

use crate::program::{Ended, Place};
use crate::proposals::PUBLIC_KEY;
use serde_json::Value;
use std::fmt::Write;

const STACK: &str = r#"
[[component]]
name = "api"
kind = "application"
version = "1.4.2"
[[component]]
name = "api"
kind = "application"
version = "1.5.0"
[[group]]
name = "blue"
members = { api = "1.4.2" }
[[group]]
name = "green"
members = { api = "1.5.0" }
[route]
target = "haproxy-map:routes.map"
steps = [10, 50, 100]
unit = "x-user"
[judge]
metrics = ["latency", "errors"]
margin = "20%"
alpha = 0.05
horizon = 120
on_inconclusive = "hold"
"#;
const BEFORE: &str = "# shares\nblue 100\ngreen 0\n";

/// A time of the day of the test.
fn at(minute: u32) -> String {
    format!("2026-11-30T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

/// So many users of each group in a minute; those of green take `factor` of the time, and one in `fails` fails.
fn requests(place: &Place, minute: u32, groups: &[&str], factor: f64, fails: usize) {
    let mut lines = String::new();
    for user in 0..130_usize {
        for group in groups {
            let (took, status) = match *group {
                "green" => {
                    (factor * (90.0 + (user * 7 % 20) as f64), if user % fails == fails - 1 { 500 } else { 200 })
                }
                _ => (90.0 + (user * 11 % 20) as f64, 200),
            };
            let (second, micro) = (user / 3, user);
            writeln!(
                lines,
                r#"{{"ts":"2026-11-30T{:02}:{:02}:{second:02}.{micro:06}Z","type":"api_call","payload":{{"service":"api","endpoint":"/","status":{status},"duration_ms":{took:.0},"stack_group":"{group}","assigned":"{group}","user":"{group}-{minute}-{user}"}}}}"#,
                minute / 60,
                minute % 60
            )
            .unwrap();
        }
    }
    let file = place.write(&format!("log-{minute}-{}.ndjson", groups.join("-")), lines);
    place.ingest(&[&file]);
}

/// An approved rollout of green whose first share is set at minute 10.
fn begun() -> Place {
    let place = Place::new();
    place.write("stack.toml", STACK);
    place.write("routes.map", BEFORE);
    requests(&place, 0, &["blue"], 1.0, 1000);
    place.json(&["--now", &at(5), "stack", "route", "green", "-o", "plan.json"]);
    assert_eq!(tick(&place, 6).code, 4, "nobody approved it");
    place.json(&["--now", &at(7), "approve", "plan.json"]);
    let applied = place.run(&["--now", &at(8), "apply", "plan.json"]);
    assert_eq!(applied.code, 4, "its steps are judged one by one: {}", applied.err);
    assert_eq!(place.read("routes.map"), BEFORE);
    assert_eq!(tick(&place, 10).code, 0);
    assert_eq!(place.read("routes.map"), "# shares\nblue 90\ngreen 10\n");
    place
}

fn tick(place: &Place, minute: u32) -> Ended {
    place.run(&["--json", "--now", &at(minute), "stack", "advance", "plan.json"])
}

fn said(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{} {}", ended.out, ended.err))
}

#[test]
fn a_canary_that_does_no_harm_grows_until_it_has_all_users() {
    let place = begun();
    let waiting = tick(&place, 11);
    assert_eq!((waiting.code, said(&waiting)["result"].as_str()), (5, Some("hold")), "no data is no pass");
    requests(&place, 12, &["blue", "green"], 0.9, 1000);
    let grown = tick(&place, 14);
    assert_eq!((grown.code, said(&grown)["result"].as_str()), (0, Some("grow")), "{}", grown.out);
    assert_eq!(place.read("routes.map"), "# shares\nblue 50\ngreen 50\n");
    assert_eq!(tick(&place, 15).code, 5, "what was seen at 10 % says nothing of 50 %");
    requests(&place, 16, &["blue", "green"], 0.9, 1000);
    let promoted = tick(&place, 18);
    assert_eq!((promoted.code, said(&promoted)["result"].as_str()), (0, Some("promoted")), "{}", promoted.out);
    assert_eq!(place.read("routes.map"), "# shares\nblue 0\ngreen 100\n");
    assert_eq!(said(&tick(&place, 19))["result"], "promoted", "again is no harm");

    place.json(&["--now", &at(20), "materialize"]);
    let verdicts =
        place.sql("select share, metric, verdict, tick, alpha_spent from stack.verdicts order by ts, metric");
    let last: Vec<_> = verdicts.iter().filter(|row| row["tick"] == "grow").collect();
    assert_eq!(last.len(), 4, "{verdicts:?}");
    // Two metrics at two judged steps share the error.
    assert!(verdicts.iter().all(|row| row["alpha_spent"].as_f64().unwrap() <= 0.05 / 4.0 + 1e-9), "{verdicts:?}");
    let routes = place.sql("select share from stack.routes where \"group\" = 'green' order by ts");
    let shares: Vec<i64> = routes.iter().filter_map(|row| row["share"].as_i64()).collect();
    assert_eq!(shares, [10, 50, 100]);
    let best = place.json(&["--now", &at(20), "stack", "route", "-o", "best.json"]);
    assert_eq!(
        (best["group"].as_str(), best["plan_id"].is_null()),
        (Some("green"), true),
        "the fastest has them all: {best}"
    );
    place.json(&["log", "verify"]);
    assert_eq!(place.run(&["--now", &at(21), "rollback", "plan.json"]).code, 0, "all of it goes back, to the byte");
    assert_eq!(place.read("routes.map"), BEFORE);
}

#[test]
fn harm_in_either_metric_rolls_back_to_the_byte() {
    for (factor, fails, metric) in [(1.4, 1000, "latency"), (1.0, 4, "errors")] {
        let place = begun();
        requests(&place, 12, &["blue", "green"], factor, fails);
        let ended = tick(&place, 14);
        assert_eq!(ended.code, 3, "{} {}", ended.out, ended.err);
        let why = said(&ended)["why"].as_str().unwrap().to_owned();
        assert!(why.starts_with(metric) && why.contains("harm is shown"), "{why}");
        assert_eq!(place.read("routes.map"), BEFORE);
        assert_eq!(tick(&place, 15).code, 3, "it stays rolled back");
        assert_eq!(place.read("routes.map"), BEFORE);
        place.json(&["--now", &at(16), "materialize"]);
        let rolled_back =
            place.sql("select share_before, share from stack.routes where action = 'rollback' and \"group\" = 'green'");
        assert_eq!(rolled_back.len(), 1);
        assert_eq!((&rolled_back[0]["share_before"], &rolled_back[0]["share"]), (&10.into(), &0.into()));
    }
}

#[test]
fn what_was_approved_is_what_counts() {
    let place = begun();
    // Who made the plan is who approved it, and nobody signed.
    place.write("keys.pem", PUBLIC_KEY);
    for demand in [&["--require-other-approver"][..], &["--require-signature", "keys.pem"]] {
        let ended = place.run(&[&["--now", &at(11), "stack", "advance", "plan.json"], demand].concat());
        assert_eq!(ended.code, 4, "{demand:?} {}", ended.err);
    }
    for (old, new) in
        [("horizon = 120", "horizon = 12"), ("\"20%\"", "\"90%\""), ("0.05", "0.2"), ("[10, 50", "[10, 90")]
    {
        place.write("stack.toml", STACK.replacen(old, new, 1));
        let ended = tick(&place, 11);
        assert_eq!(ended.code, 4, "{new}: {}", ended.out);
        assert!(ended.err.contains("changed since it was approved"), "{}", ended.err);
    }
    place.write("stack.toml", STACK);
    let plan = place.read("plan.json");
    place.write("plan.json", plan.replacen("\"horizon\": 120", "\"horizon\": 12", 1));
    let edited = tick(&place, 11);
    assert_eq!(edited.code, 4, "{}", edited.err);
    place.write("plan.json", plan);
    place.write("routes.map", "blue 80\ngreen 20\n");
    let drifted = tick(&place, 12);
    assert_eq!(drifted.code, 4, "somebody else set the shares: {}", drifted.err);
    assert_eq!(place.read("routes.map"), "blue 80\ngreen 20\n");
}

#[test]
fn a_control_of_another_time_decides_nothing() {
    let place = begun();
    requests(&place, 12, &["blue"], 1.0, 1000);
    requests(&place, 32, &["green"], 1.0, 1000);
    let ended = tick(&place, 34);
    assert_eq!(ended.code, 5, "{}", ended.out);
    assert!(said(&ended)["brief"].as_str().unwrap().contains("from another time"), "{}", ended.out);
}

#[test]
fn a_tick_that_was_killed_is_finished_by_the_next() {
    let place = begun();
    requests(&place, 12, &["blue", "green"], 1.0, 1000);
    let journal = std::fs::read_dir(place.path("lake/journal")).unwrap().filter_map(Result::ok);
    let journal = journal
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('p')));
    let journal = journal.unwrap();
    let kept = std::fs::read_to_string(&journal).unwrap();
    // Killed after the journal said what is begun, and before or after the map was written.
    for map in ["# shares\nblue 90\ngreen 10\n", "# shares\nblue 50\ngreen 50\n"] {
        let mut begun: Value = serde_json::from_str(&kept).unwrap();
        begun["steps"][1]["progress"] = "doing".into();
        std::fs::write(&journal, begun.to_string()).unwrap();
        place.write("routes.map", map);
        let ended = tick(&place, 14);
        assert!(matches!(ended.code, 0 | 5), "{} {}", ended.out, ended.err);
        assert_eq!(place.read("routes.map"), "# shares\nblue 50\ngreen 50\n");
        assert_eq!(said(&ended)["step"], 2);
    }
    // Killed in the middle of a rollback: the next tick takes the rest back.
    let mut begun: Value = serde_json::from_str(&kept).unwrap();
    begun["state"] = "rolling_back".into();
    std::fs::write(&journal, begun.to_string()).unwrap();
    place.write("routes.map", "# shares\nblue 90\ngreen 10\n");
    assert_eq!(tick(&place, 15).code, 3);
    assert_eq!(place.read("routes.map"), BEFORE);
}

#[test]
fn the_declared_horizon_is_tried_on_the_users_that_are_recorded() {
    let place = Place::new();
    place.write("stack.toml", STACK);
    place.write("routes.map", BEFORE);
    requests(&place, 0, &["blue"], 1.0, 1000);
    let horizon = |arguments: &[&str]| {
        let ended = place.run(
            &[&["--json", "--now", &at(5), "stack", "horizon", "--steps", "30", "--target", "80%"], arguments].concat(),
        );
        (ended.code, said(&ended))
    };
    let (code, answer) = horizon(&[]);
    assert_eq!((code, answer["is_enough"].as_bool(), answer["users"].as_u64()), (0, Some(true), Some(130)), "{answer}");
    assert_eq!(answer, horizon(&[]).1, "the same seed, the same answer");
    let share = |answer: &Value, nth: usize| answer["horizons"][nth]["promoted"].as_f64().unwrap();
    assert!(share(&answer, 0) < 0.8, "thirty users say nothing of errors: {answer}");
    place.write("stack.toml", STACK.replace("horizon = 120", "horizon = 20"));
    let (code, answer) = horizon(&[]);
    assert_eq!((code, &answer["is_enough"], &answer["horizons"][3]["declared"]), (3, &false.into(), &true.into()));
    let plan = place.json(&["--now", &at(5), "stack", "route", "green", "-o", "short.json"]);
    let checks = plan["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "horizon").unwrap();
    assert_eq!(
        (&check["passed"], &check["blocking"]),
        (&false.into(), &false.into()),
        "a note, and no refusal: {check}"
    );
    assert!(check["detail"].as_str().unwrap().contains("pipeline stack horizon"), "{check}");
    let unknown = place.run(&["--now", &at(5), "stack", "horizon", "green"]);
    assert!(unknown.code == 5 && unknown.err.contains("green has 0 users"), "{} {}", unknown.code, unknown.err);
    let (code, drawn) = horizon(&["--cv", "300%", "--errors", "1%"]);
    assert_eq!((code, &drawn["control"]), (3, &"drawn".into()), "{drawn}");
    // When its time is over, only the declared horizon still gets some steps.
    let bounded = ["--json", "stack", "horizon", "--cv", "300%", "--steps", "1000", "--timeout", "1s"];
    let ended = place.run(&bounded);
    let short = said(&ended);
    assert_eq!((ended.code, &short["cut_short"]), (3, &true.into()), "{short}");
    let left_out: Vec<u64> = short["left_out"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert!(left_out.ends_with(&[30, 40, 60, 80]) && !left_out.contains(&20), "{short}");
    let declared = short["horizons"].as_array().unwrap().iter().find(|row| row["declared"] == true).unwrap();
    assert!((24..1000).contains(&declared["steps"].as_u64().unwrap()), "{short}");
}
