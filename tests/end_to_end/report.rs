//! The report: one page that says what matters, loads nothing, and reads everywhere.

mod browser;
mod looks;
mod sixty;

use crate::plan;
use crate::program::{Place, checkout};

/// A lake with a plan, runs, traces and models' inputs, and a report of it.
pub fn place() -> Place {
    let place = Place::new();
    let samples = checkout().join("data-samples");
    place.write("compose.yaml", std::fs::read(samples.join("compose/compose.yaml")).unwrap());
    place.ingest(&[&samples.join("team").display().to_string()]);
    place.json(&["materialize"]);
    place.json(&["--now", plan::NOW, "shadow", "--horizon", "24h"]);
    plan::plan(&place);
    place
}

fn report(place: &Place, more: &[&str]) -> serde_json::Value {
    place.json(&[&["--now", plan::NOW, "report"], more].concat())
}

/// What stands between two marks, each time.
fn between<'a>(text: &'a str, from: &str, until: &str) -> Vec<&'a str> {
    text.split(from).skip(1).map(|rest| rest.split(until).next().unwrap()).collect()
}

#[test]
fn one_page_says_what_matters_and_loads_nothing() {
    let place = place();
    let told = report(&place, &["-o", "report.html"]);
    let page = place.read("report.html");
    assert_eq!(told["bytes"].as_u64().unwrap() as usize, page.len());
    assert!(page.len() < 1_000_000, "{} bytes", page.len());

    for address in [between(&page, "href=\"", "\""), between(&page, "src=\"", "\"")].concat() {
        assert!(address.starts_with('#') && page.contains(&format!("id=\"{}\"", &address[1..])), "{address}");
    }
    assert!(!page.contains("@import") && !page.contains("url("), "the style loads something");
    assert_eq!(between(&page, "http://", "\""), vec!["www.w3.org/2000/svg"; page.matches("<svg").count()]);

    let figures = between(&page, "<figure>", "</figure>");
    assert!(figures.len() >= 6, "{} charts", figures.len());
    for figure in &figures {
        let caption = between(figure, "<figcaption>", "</figcaption>");
        assert!(caption.len() == 1 && caption[0].len() > 20, "{caption:?}");
        let details = between(figure, "<details>", "</details>");
        assert!(
            details.len() == 1 && details[0].matches("<tr>").count() >= 2,
            "a chart without its numbers: {caption:?}"
        );
        assert!(
            figure.contains("role=\"img\"") && figure.contains("fill=\"#") || figure.contains("stroke=\"#"),
            "{caption:?}"
        );
    }
    let plan: serde_json::Value = serde_json::from_str(&place.read("plan.json")).unwrap();
    let first = page.split("<nav").next().unwrap();
    for said in
        [plan["plan_id"].as_str().unwrap(), plan["digest"].as_str().unwrap(), "resources should change", "95 %:"]
    {
        assert!(first.contains(said), "the first screen lacks {said}");
    }
    assert_eq!(between(first, "<li class=", "</li>").len(), 4, "four figures");
    assert!(between(first, "<tbody>", "</tbody>")[0].matches("<tr>").count() <= 10, "the ten worst");

    // The line to say yes with is one that works as it stands.
    let commands = between(first, "<pre tabindex=\"0\"><code>", "</code></pre>");
    let approve = commands[0].lines().find(|line| line.contains(" approve ")).expect("the approve line");
    let approve = approve.replace("&#x2f;", "/");
    let words: Vec<&str> = approve.split(' ').skip(1).collect();
    let ended = place.run(&words);
    assert_eq!(ended.code, 0, "{approve}: {}", ended.err);
    let told = report(&place, &["-o", "report.html"]);
    assert!(told["verdict"].as_str().unwrap().contains("was approved"), "{told}");
}

#[test]
fn an_empty_lake_says_what_is_missing_and_how_to_get_it() {
    let place = Place::new();
    assert_eq!(place.run(&["report"]).code, 1, "no lake");
    place.write("one.ndjson", r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#);
    place.ingest(&["one.ndjson"]);
    for built in [false, true] {
        if built {
            place.json(&["materialize"]);
        }
        report(&place, &["-o", "report.html"]);
        let page = place.read("report.html");
        for said in
            ["There is nothing to plan from yet", "pipeline collect docker", "pipeline train", "No job has checked"]
        {
            assert!(page.contains(said), "{built}: {said}");
        }
    }
}

#[test]
fn hostile_names_stay_text_in_every_form() {
    let place = Place::new();
    let name = r#"e</script><script>alert(1)</script>/<img src=x onerror=alert(2)>|`&quot;{{7*7}}"#;
    let mut lines = String::new();
    for hour in 0..72 {
        let at = format!("2026-11-{:02}T{:02}:00:00Z", 18 + hour / 24, hour % 24);
        let event = serde_json::json!({"ts": at, "type": "usage", "env": name, "resource": name, "payload": {"interval_s": 600,
            "cpu_cores": 1.0, "cpu_limit_cores": 4.0, "memory_bytes": 1e8, "memory_limit_bytes": 4e9, "oom_kills": 1}});
        let run = serde_json::json!({"ts": at, "type": "test", "repo": name, "payload": {"command": name, "exit_code": 1,
            "duration_ms": 1000, "cpu_ms": 10}});
        lines += &format!("{event}\n{run}\n");
    }
    place.write("hostile.ndjson", lines);
    place.ingest(&["hostile.ndjson"]);
    place.json(&["materialize"]);
    place.json(&["--now", plan::NOW, "plan", "-o", "plan.json"]);
    place.write(
        "own.sql",
        "-- <img src=x onerror=alert(3)>: one row.\n-- chart: bar a n\nselect '<script>alert(4)</script>' as a, 1 as n",
    );
    report(&place, &["-o", "report.html", "--section", "own.sql"]);
    let page = place.read("report.html");
    assert!(page.contains("&lt;img src&#x3d;x") || page.contains("&lt;img src=x"), "the names are there");
    for markup in ["<script>alert", "<img", "49|"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert_eq!(page.matches("<script").count(), 2, "the hidden figures and our own");
    report(&place, &["-o", "report.md", "--section", "own.sql"]);
    let text = place.read("report.md");
    for markup in ["<script>", "<img", "| e</"] {
        assert!(!text.contains(markup), "{markup}");
    }
}

#[test]
fn a_sql_file_is_a_section_with_the_chart_that_its_head_names() {
    let place = plan::place();
    place.write(
        "own.sql",
        "-- Load of the team: one row per hour.\n-- Reads features.resource_hours.\n-- chart: line hour p50_cores,p95_cores\n\
         select hour, median(cpu_cores) as p50_cores, max(cpu_cores_max) as p95_cores from features.resource_hours group by hour \
         order by hour",
    );
    let told = report(&place, &["-o", "report.html", "--section", "own.sql"]);
    assert!(told["sections"].as_array().unwrap().iter().any(|title| title == "Load of the team"), "{told}");
    let page = place.read("report.html");
    let section = between(&page, "<section id=\"load-of-the-team\"", "</section>")[0];
    assert!(section.contains("<svg") && section.contains("p95 (cores)"), "{section}");
    place.write("wrong.sql", "-- chart: pie\nselect 1 as a");
    let ended = place.run(&["report", "--section", "wrong.sql"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("pie is no chart"), "{}", ended.err);
    place.write("broken.sql", "select nothing from nowhere");
    assert_eq!(place.run(&["report", "--section", "broken.sql"]).code, 1);
}

#[test]
fn a_comment_is_short_is_found_again_and_is_one_line_when_nothing_changed() {
    let place = place();
    let told = report(&place, &["-o", "report.md"]);
    let first = place.read("report.md");
    assert!(told["bytes"].as_u64().unwrap() <= 60_000);
    assert!(first.starts_with("<!-- pipeline-report {"), "{}", &first[..80]);
    assert!(first.contains("<details><summary>") && first.contains("pipeline --now"), "{first}");
    report(&place, &["-o", "report.md"]);
    let again = place.read("report.md");
    assert!(
        again.contains("Nothing changed since the report of 2026-11-22 00:00") && again.len() < first.len() / 4,
        "{again}"
    );
    assert!(again.starts_with("<!-- pipeline-report {"), "it is found again");
    // What the comment was made from, and not what it says, is compared.
    report(&place, &["-o", "report.md"]);
    assert!(place.read("report.md").contains("Nothing changed since"));

    place.json(&["--now", plan::NOW, "approve", "plan.json"]);
    place.json(&["--now", plan::NOW, "apply", "plan.json"]);
    report(&place, &["-o", "later.html", "--previous", "report.md"]);
    let page = place.read("later.html");
    let section = between(&page, "<section id=\"since-the-last-report\"", "</section>")[0];
    assert!(section.contains("Compared with the report of"), "{section}");
    assert!(page.contains("The plan is in force since"), "the verdict");
    place.write("notes.txt", "mine");
    assert_eq!(place.run(&["report", "--previous", "notes.txt"]).code, 1);
}

#[test]
fn a_pull_request_has_a_page_of_its_own() {
    let place = place();
    let told = report(&place, &["--pr", "acme/data#116", "-o", "pr.html"]);
    assert!(told["verdict"].as_str().unwrap().starts_with("acme/data#116 is "), "{told}");
    let page = place.read("pr.html");
    for said in ["Timeline", "Where its time went", "What it cost", "What was predicted", "<svg"] {
        assert!(page.contains(said), "{said}");
    }
    assert_eq!(place.run(&["report", "--pr", "acme/data#99999"]).code, 1);
}

#[test]
fn a_plan_is_a_page_without_its_lake() {
    let place = place();
    std::fs::remove_dir_all(place.path("lake")).unwrap();
    let ended = place.run(&["--now", plan::NOW, "plan", "show", "plan.json", "--format", "html"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for said in ["<!doctype html>", "resources should change", "Beside other policies", "approve plan.json", "<svg"] {
        assert!(ended.out.contains(said), "{said}");
    }
}

#[test]
fn a_report_is_written_whole_and_beside_the_lake_only() {
    let place = plan::place();
    assert_eq!(place.run(&["report", "-o", "lake/report.html"]).code, 2);
    assert_eq!(place.run(&["report", "-o", "nowhere/report.html"]).code, 2);
    let before = place.lake_files();
    report(&place, &["-o", "report.html"]);
    report(&place, &["-o", "report.json"]);
    assert_eq!(before, place.lake_files(), "a report changes nothing");
    let page: serde_json::Value = serde_json::from_str(&place.read("report.json")).unwrap();
    assert_eq!(page["numbers"].as_array().unwrap().len(), 4);
}
