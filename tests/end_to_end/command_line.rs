//! A mistyped command line is told like every other error: what, and what to do; one object with `--json`; exit code 2.

use crate::program::Place;

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
