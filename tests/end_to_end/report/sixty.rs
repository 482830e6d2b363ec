//! The bound of the page, measured: 60 resources, all of which the plan changes, beside a team's builds and pull requests.

use super::{between, report};
use crate::plan::NOW;
use crate::program::{Place, checkout};
use std::fmt::Write;

const SERVICES: i64 = 60;
const DAYS: i64 = 14;
/// NOW, in minutes since 1970.
const END: i64 = 29_921_760;

/// Samples of five minutes: every third service is throttled at its one core, the others use a tenth of four.
fn usage() -> String {
    let mut lines = String::new();
    for service in 0..SERVICES {
        let is_starved = service % 3 == 0;
        for i in 1..DAYS * 288 {
            let minute = END - DAYS * 1440 + i * 5;
            let is_at_work = (8..18).contains(&(minute / 60 % 24));
            let wanted =
                if i % 288 == 100 { 1.6 } else { 0.2 + if is_at_work { 0.6 } else { 0.0 } + 0.03 * (i % 7) as f64 };
            let (cores, limit) = if is_starved { ((wanted * 3.0_f64).min(1.0), 1.0) } else { (wanted, 4.0) };
            let throttled = if cores >= limit { 0.6 } else { 0.0 };
            let memory = (900 + (i * 7 + service) % 97) << 20;
            let ts = domain::Timestamp(minute * 60_000_000);
            writeln!(
                lines,
                r#"{{"ts":"{ts}","type":"usage","env":"fleet","resource":"fleet/service-{service}","payload":{{"interval_s":300,"cpu_cores":{cores:.3},"cpu_limit_cores":{limit},"memory_bytes":{memory},"memory_limit_bytes":8589934592,"throttled_ratio":{throttled}}}}}"#
            )
            .unwrap();
        }
    }
    lines
}

#[test]
fn a_page_of_sixty_resources_and_sixty_items_stays_below_a_megabyte() {
    let place = Place::new();
    let mut compose = "name: fleet\nservices:\n".to_owned();
    for service in 0..SERVICES {
        let cpus = if service % 3 == 0 { 1 } else { 4 };
        writeln!(compose, "  service-{service}:\n    image: x\n    cpus: {cpus}\n    mem_limit: 8g").unwrap();
    }
    place.write("compose.yaml", compose);
    place.ingest(&[&place.write("usage.ndjson", usage()), &checkout().join("data-samples/team").display().to_string()]);
    place.json(&["materialize"]);
    place.json(&["--now", NOW, "shadow"]);
    let plan = place.json(&["--now", NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    let changes = plan["items"].as_array().unwrap().iter().filter(|item| item["action"] == "resize").count();
    assert_eq!(changes as i64, SERVICES, "every one is an item");

    let told = report(&place, &["-o", "report.html"]);
    let page = place.read("report.html");
    assert!(page.len() < 1_000_000 && told["bytes"] == page.len(), "{} bytes", page.len());
    // Small because it says things once, not because it leaves items out.
    for service in 0..SERVICES {
        let said = page.matches(&format!("fleet&#x2f;service-{service}<")).count();
        assert!(said >= 1, "fleet/service-{service} is on the page");
    }
    assert!(between(&page, "<figure>", "</figure>").len() >= 30, "worst first, each with its chart");
}
