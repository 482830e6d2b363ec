//! A mistyped command line is told like every other error: what, and what to do; one object with `--json`; exit code 2.

use crate::program::Place;
use crate::terminal::Terminal;

#[test]
fn a_mistyped_command_line_has_the_form_of_every_other_error() {
    let place = Place::new();
    for (typed, what) in [
        (&["trian"][..], "error: there is no command trian\nhint: did you mean trace or train?\n"),
        (&["run"], "error: <JOB.toml> must be given\nhint: `pipeline run --help` has examples\n"),
        (
            &["--now", "x", "check"],
            "error: --now <TIME> does not take 'x'\nhint: write it as 2026-10-01T00:00:00Z, from 1970 to 2199\n",
        ),
        (
            &["sql", "--format", "xml"],
            "error: --format <FORMAT> does not take 'xml'\nhint: one of: table, json, ndjson, csv, parquet\n",
        ),
    ] {
        let ended = place.run(typed);
        assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (2, what, ""), "{typed:?}");
        let ended = place.run(&[&["--json"], typed].concat());
        let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((ended.code, told["exit"].as_i64()), (2, Some(2)), "{told}");
        assert!(what.contains(told["error"].as_str().unwrap()), "{told}");
    }
    // What a terminal would obey is shown, not sent.
    let ended = place.run(&["\u{1b}[2J"]);
    assert!(ended.code == 2 && !ended.err.contains('\u{1b}'), "{:?}", ended.err);
    // A step of a job is told the same way, and where it stands.
    place.write("job.toml", "[[step]]\nname = \"learn\"\nrun = [\"trian\"]\n");
    let ended = place.run(&["run", "job.toml"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (2, "error: step learn: there is no command trian\nhint: did you mean trace or train?\n")
    );
    for asked in [&["--help"][..], &["plan", "--help"], &["--version"]] {
        let ended = place.run(asked);
        assert!(ended.code == 0 && ended.err.is_empty() && !ended.out.is_empty(), "{asked:?}: {}", ended.err);
    }
}

/// On a terminal no line of an error is wider than the screen, and what goes on stands below its text; a log keeps each on one.
#[test]
fn an_error_is_wrapped_on_a_terminal_and_nowhere_else() {
    let place = Place::new();
    place.write("holidays.toml", "[[holiday]]\ndate = \"Christmas\"\n");
    place.ingest(&[&crate::program::checkout().join("data-samples/team").display().to_string()]);
    let asked = ["shadow", "--holidays", "holidays.toml"];
    let piped = place.run(&asked).err;
    assert_eq!(piped.lines().count(), 2, "{piped}");
    assert!(piped.lines().any(|line| line.chars().count() > 80), "{piped}");
    let terminal = Terminal::start(&place.command(&asked), 24, 120);
    let shown = terminal.see("resource and name");
    assert!(shown.lines().all(|line| line.trim_end().chars().count() <= 80), "{shown}");
    let hint: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("hint: ")).map(str::trim_end).collect();
    assert!(hint.len() > 1 && hint[1].starts_with("      ") && !hint[1].starts_with("       "), "{shown}");
    let said = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(said(&shown), said(&piped), "the same words");
}
