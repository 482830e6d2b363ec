//! What other programs get: figures for Prometheus, completions, manual pages, and what the doctor says.

use crate::plan;
use crate::program::{Place, checkout, end, say};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A lake with a plan, and its figures in `metrics/pipeline.prom`.
fn exported() -> (Place, serde_json::Value) {
    let place = plan::place();
    plan::plan(&place);
    std::fs::create_dir_all(place.path("metrics")).unwrap();
    let told = place.json(&["--now", plan::NOW, "export", "openmetrics", "-o", "metrics/pipeline.prom"]);
    (place, told)
}

/// The names of metrics in a text, without labels.
fn names(text: &str) -> BTreeSet<String> {
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

#[test]
fn figures_are_written_at_once_without_timestamps_and_say_how_old_they_are() {
    let (place, told) = exported();
    let text = place.read("metrics/pipeline.prom");
    assert!(text.contains("pipeline_export_timestamp_seconds 1795305600\n"), "{text}");
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(told["samples"].as_u64().unwrap() as usize, samples.len());
    for line in &samples {
        let value = line.rsplit(' ').next().unwrap();
        let before = line.strip_suffix(value).unwrap().trim_end();
        assert!(
            value.parse::<f64>().is_ok() && (before.ends_with('}') || !before.contains(' ')),
            "a timestamp: {line}"
        );
    }
    for name in [
        "pipeline_resource_cpu_limit_cores",
        "pipeline_plan_items",
        "pipeline_plan_info",
        "pipeline_newest_usage_timestamp_seconds",
    ] {
        assert!(names(&text).contains(name), "{name}: {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(std::fs::read_dir(place.path("metrics")).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_real_node_exporter_reads_them() {
    let exporter = "prometheus-node-exporter";
    if Command::new(exporter).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        say(
            "NOT TESTED: that a node-exporter reads the figures. `apt-get install prometheus-node-exporter`, as .ci/run does.",
        );
        return;
    }
    let (place, _) = exported();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut running = Command::new(exporter)
        .args(["--collector.disable-defaults", "--collector.textfile"])
        .arg(format!("--collector.textfile.directory={}", place.path("metrics").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let scrape = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        Ok(text)
    };
    let scraped = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        scrape().ok()
    });
    running.kill().unwrap();
    running.wait().unwrap();
    let scraped = scraped.expect("the exporter answers");
    assert!(scraped.contains("node_textfile_scrape_error 0"), "it could not read the file: {scraped}");
    let read = names(scraped.split("\r\n\r\n").nth(1).unwrap());
    let ours = names(&place.read("metrics/pipeline.prom"));
    assert!(ours.len() >= 10 && ours.is_subset(&read), "{:?}", ours.difference(&read).collect::<Vec<_>>());
    assert!(scraped.contains("pipeline_resource_cpu_limit_cores{resource=\"acme-dev/web\"} 4"), "{scraped}");
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let (place, _) = exported();
    let ours = names(&place.read("metrics/pipeline.prom"));
    let text = std::fs::read_to_string(checkout().join("pipeline/docs/grafana/pipeline.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 8);
    let source = std::fs::read_to_string(checkout().join("pipeline/cli/src/commands/report/metrics.rs")).unwrap();
    for panel in panels {
        let expression = panel["targets"][0]["expr"].as_str().unwrap();
        let asked = expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("pipeline_"));
        let asked: Vec<&str> = asked.collect();
        assert!(!asked.is_empty(), "{expression}");
        for name in asked {
            // What this lake has nothing of, such as models, is in the program.
            assert!(ours.contains(name) || source.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let place = Place::new();
    let help = place.run(&["--help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 25, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).out;
        commands.iter().for_each(|name| assert!(script.contains(name), "{shell}: {name}"));
    }
    let checked = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().map(|mut bash| {
        bash.stdin.take().unwrap().write_all(place.run(&["completions", "bash"]).out.as_bytes()).unwrap();
        bash.wait().unwrap().success()
    });
    assert!(checked.unwrap(), "bash cannot read its completions");
    place.json(&["man", "-o", "man1"]);
    for name in commands {
        let page = place.read(&format!("man1/pipeline-{name}.1"));
        assert!(page.contains(".TH ") && page.contains("NAME"), "{name}");
    }
    assert!(place.run(&["man"]).out.contains(".TH pipeline 1"));
}

#[test]
fn the_doctor_says_what_works_and_what_to_do() {
    let place = Place::new();
    let ended = place.run(&["doctor"]);
    assert_eq!(ended.code, 3, "there is no lake: {}", ended.out);
    assert!(
        ended.out.contains("FINDING  lake") && ended.out.contains("→ the first `pipeline ingest` makes it"),
        "{}",
        ended.out
    );
    assert!(!place.path("lake").exists(), "it changes nothing");
    place.write("one.ndjson", r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#);
    place.ingest(&["one.ndjson"]);
    assert!(place.run(&["doctor"]).out.contains("`pipeline materialize`"));
    place.json(&["materialize"]);
    let before = place.lake_files();
    let told = place.json(&["doctor"]);
    assert_eq!((told["findings"].as_u64(), before), (Some(0), place.lake_files()), "{told}");
    for what in ["versions", "clock", "cgroups", "docker", "key", "lake", "its key", "room"] {
        assert!(told["lines"].as_array().unwrap().iter().any(|line| line["what"] == what), "{what}");
    }
    let mut other = place.command(&["doctor"]);
    other.env("PIPELINE_PSEUDONYM_KEY", "another key, not the lake's");
    let ended = end(other);
    assert_eq!(ended.code, 3, "{}", ended.out);
    assert!(ended.out.contains("FINDING  its key"), "{}", ended.out);
    let mut open = place.command(&["doctor"]);
    let config = place.path("config");
    place.write("config/pipeline/pseudonym.key", "a key that everybody may read");
    std::fs::set_permissions(
        config.join("pipeline/pseudonym.key"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    open.env_remove("PIPELINE_PSEUDONYM_KEY").env("XDG_CONFIG_HOME", &config);
    let ended = end(open);
    assert!(ended.code == 3 && ended.out.contains("FINDING  key "), "{}", ended.out);
}

#[test]
fn a_first_job_runs_as_it_is_and_leaves_what_is_there_alone() {
    let place = Place::new();
    place.write("compose.yaml", "services:\n  web:\n    image: web\n    mem_limit: 1g\n");
    place.write("overrides.toml", "# mine\n");
    let told = place.json(&["init"]);
    assert_eq!(told["written"], serde_json::json!(["jobs/nightly.toml", "rules.toml", "dumps/started.ndjson"]));
    assert_eq!(place.read("overrides.toml"), "# mine\n");
    assert!(place.read("jobs/nightly.toml").contains("compose:compose.yaml"));
    let ended = place.run(&["run", "jobs/nightly.toml"]);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(place.read("report.html").contains("There is nothing to plan from yet"));
    assert_eq!(place.json(&["init"])["written"], serde_json::json!([]), "a second time writes nothing");
}
