//! The lake owner's key: made well, kept well, and not to be guessed from what a lake holds.

use crate::program::{Place, end};
use domain::identity::hash128;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

const EVENT: &str = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","developer":"annabel","payload":{"note":"n"}}"#;
/// A line that is no JSON, with a name and a number that somebody could try.
const BROKEN: &str = r#"{"developer": "annabel", "pin": "4711", broken"#;

/// What lakes of format 1 kept of the key of the tests.
const QUICK_FINGERPRINT: &str = "bdd71fc73966f0c7";

#[test]
fn a_key_that_can_be_guessed_is_refused() {
    let place = Place::new();
    let dump = place.write("a.ndjson", EVENT);
    for key in ["k", "ci", "fifteen letters", "aaaaaaaaaaaaaaaaaaaaaaaa"] {
        let mut command = place.command(&["ingest", &dump]);
        command.env("PIPELINE_PSEUDONYM_KEY", key);
        let ended = end(command);
        assert_eq!(ended.code, 4, "{key}: {}", ended.err);
        assert!(ended.err.contains("hint:") && !ended.err.contains(&format!(" {key} ")), "{}", ended.err);
        assert!(!place.path("lake/lake.json").exists());
    }
}

#[test]
fn a_key_file_is_made_for_its_owner_alone_and_refused_when_others_reach_it() {
    let place = Place::new();
    let dump = place.write("a.ndjson", EVENT);
    let ingest = || {
        let mut command = place.command(&["ingest", &dump]);
        command.env_remove("PIPELINE_PSEUDONYM_KEY").env("XDG_CONFIG_HOME", place.path("config"));
        end(command)
    };
    assert_eq!(ingest().code, 0);
    let file = place.path("config/pipeline/pseudonym.key");
    let mode = |mode: u32| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(place.path("config/pipeline")).unwrap().count(), 1, "no draft is left");
    for (bits, code) in [(0o644, 4), (0o602, 4), (0o620, 4), (0o640, 0), (0o400, 0), (0o600, 0)] {
        mode(bits);
        let ended = ingest();
        assert_eq!(ended.code, code, "{bits:o}: {}", ended.err);
        assert!(code == 0 || ended.err.contains("chmod 600"), "{}", ended.err);
    }
}

#[test]
fn a_lake_does_not_give_its_key_away() {
    let marker = |place: &Place| -> Value { serde_json::from_str(&place.read("lake/lake.json")).unwrap() };
    let [one, other] = [Place::new(), Place::new()];
    for place in [&one, &other] {
        place.ingest(&[&place.write("a.ndjson", EVENT)]);
    }
    let [first, second] = [marker(&one), marker(&other)];
    assert_eq!(first["format_version"], 2);
    assert_ne!(first["pseudonym_key_salt"], second["pseudonym_key_salt"], "each lake has its own");
    assert_ne!(first["pseudonym_key_fingerprint"], second["pseudonym_key_fingerprint"]);

    // A lake of format 1 is used on, and gives its quick fingerprint up with the first ingest.
    let old = format!(r#"{{"format_version":1,"pseudonym_key_fingerprint":"{QUICK_FINGERPRINT}"}}"#);
    one.write("lake/lake.json", &old);
    let mut command = one.command(&["ingest", "a.ndjson"]);
    command.env("PIPELINE_PSEUDONYM_KEY", "another key of the tests");
    assert_eq!(end(command).code, 4);
    assert_eq!(one.read("lake/lake.json"), old);
    assert_eq!(one.ingest(&["a.ndjson"]), [1, 0, 1, 0]);
    let changed = marker(&one);
    assert_eq!(
        (changed["format_version"].as_u64(), changed["pseudonym_key_fingerprint"].as_str().unwrap().len()),
        (Some(2), 32)
    );
    assert_eq!(one.ingest(&["a.ndjson"]), [1, 0, 1, 0]);
}

/// Who has the lake and not the key tries names and numbers: nothing tells a right guess from a wrong one.
#[test]
fn a_reject_cannot_be_guessed_from_its_hash() {
    let place = Place::new();
    let dump = place.write("a.ndjson", BROKEN);
    assert_eq!(place.ingest(&[&dump]), [1, 0, 0, 1]);
    let kept = place.sql("select text, hash, reject_id from staging.rejects").remove(0);
    assert!(!kept["text"].as_str().unwrap().contains("annabel"), "{kept}");
    let guessed = hash128(BROKEN.as_bytes());
    let reason = place.sql("select reason from staging.rejects")[0]["reason"].as_str().unwrap().to_owned();
    let id = hash128(format!("{guessed}\n{reason}").as_bytes());
    assert_eq!(kept["hash"].as_str().unwrap().len(), 32);
    assert_ne!(kept["hash"], guessed.as_str());
    assert_ne!(kept["reject_id"], id.as_str());
    // The same reject is still the same row.
    assert_eq!(place.ingest(&[&dump]), [1, 0, 0, 1]);
    assert_eq!(place.sql("select hash from staging.rejects").len(), 1);
}
