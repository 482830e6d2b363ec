//! What people read, word for word: the help of every command, a plan, what training prints, how a job ends.
//!
//! `INSTA_UPDATE=always` writes `snapshots/` anew; read the difference before committing it.

use crate::plan;
use crate::program::{Place, checkout};

/// Compares with `snapshots/<name>.snap`.
fn matches(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(checkout().join("tests/end_to_end/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// What succeeds and prints a text.
fn printed(place: &Place, arguments: &[&str]) -> String {
    let ended = place.run(arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.out, ended.err);
    ended.out
}

/// The names below `Commands:` in a help text.
fn commands(help: &str) -> Vec<String> {
    let below = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = below.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The help of a command and of all below it.
fn help(place: &Place, command: &[&str]) -> String {
    let text = printed(place, &[command, &["--help"]].concat());
    let mut all = format!("$ pipeline {}\n{text}", [command, &["--help"]].concat().join(" "));
    for name in commands(&text) {
        all += &format!("\n{}", help(place, &[command, &[name.as_str()]].concat()));
    }
    all
}

/// Without the folder of the test, which has another name every time.
fn without_folder(place: &Place, text: &str) -> String {
    let folder = place.path("").display().to_string();
    text.replace(folder.trim_end_matches('/'), "FOLDER")
}

/// Every run of digits, with the point in it, as one `#`: how many columns and words there are stays, the figures do not.
fn without_figures(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut number = false;
        let mut plain = String::new();
        for c in line.chars() {
            if c.is_ascii_digit() || (number && c == '.') {
                if !number {
                    plain.push('#');
                }
                number = true;
            } else {
                number = false;
                plain.push(c);
            }
        }
        // Columns are as wide as their figures.
        out += plain.split_whitespace().collect::<Vec<_>>().join(" ").trim_end();
        out.push('\n');
    }
    out
}

/// The identities in a text that hang on keys and bytes: `plan-1a2b…` becomes `plan-#`.
fn without_identities(text: &str) -> String {
    let is_identity = |word: &&str| word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut out = text.to_owned();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(is_identity) {
        out = out.replace(word, "#");
    }
    out
}

#[test]
fn the_help_of_every_command_is_what_it_was() {
    let place = Place::new();
    let top = printed(&place, &["--help"]);
    matches("help", &top);
    let names = commands(&top);
    assert!(names.len() >= 20, "{names:?}");
    for name in names {
        matches(&format!("help-{name}"), &help(&place, &[name.as_str()]));
    }
}

#[test]
fn a_plan_and_the_end_of_a_job_read_as_they_did() {
    let place = plan::place();
    let text = printed(&place, &["--now", plan::NOW, "plan", "-o", "plan.json", "--target", "compose.yaml"]);
    matches("plan", &without_identities(&without_folder(&place, &text)));
    let text = printed(&place, &["--now", plan::NOW, "report", "--format", "markdown"]);
    matches("report", &without_figures(&without_identities(&without_folder(&place, &text))));
    let step = |name: &str, run: &str| format!("[[step]]\nname = \"{name}\"\nrun = {run}\n");
    place.write("plan.toml", step("plan", r#"["plan", "-o", "other.json", "--target", "compose.yaml"]"#));
    let verbose = printed(&place, &["-v", "--now", plan::NOW, "run", "plan.toml"]);
    assert!(verbose.contains("What each policy would have done on the same days"), "{verbose}");
    let job = [
        step("plan", r#"["plan", "-o", "plan.json", "--target", "compose.yaml"]"#),
        step("approve", r#"["approve", "plan.json"]"#),
        step("apply", r#"["apply", "plan.json"]"#),
        step("rollback", r#"["rollback", "plan.json"]"#),
        step("ledger", r#"["log", "verify"]"#),
    ];
    place.write("job.toml", job.concat());
    let text = printed(&place, &["--now", plan::NOW, "run", "job.toml", "--allow-changes"]);
    assert!(text.lines().count() <= 25, "a step is a line, and the end about ten: {text}");
    for word in ["starved", "idle", "cost", "changed", "byte for byte", "tables", "record"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    matches("job", &without_figures(&without_identities(&without_folder(&place, &text))));
}

#[test]
fn training_prints_what_it_did() {
    let place = Place::new();
    place.ingest(&[&checkout().join("data-samples/team").display().to_string()]);
    place.json(&["materialize"]);
    let text = printed(&place, &["--now", plan::NOW, "train", "build-time", "contention", "--since", "30d"]);
    matches("train", &without_figures(&text));
}
