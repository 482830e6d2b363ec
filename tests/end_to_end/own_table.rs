//! `train contention --features`: a table of one's own, and tables that cannot be learnt from.

use crate::program::Place;

/// Two hundred runs of five samples: `load` tells, `noise` does not, `where` is a category, `gaps` is often missing.
const TABLE: &str = "
    select
        v / 5 as run,
        case when v / 5 * 7919 % 100 > 60 then 1 else 0 end as label,
        v / 5 * 7919 % 100 + v % 5 as load_cpu,
        v * 31 % 17 as noise,
        case when v % 3 = 0 then null else v % 7 end as gaps,
        case when v / 5 * 7919 % 100 > 60 then 'busy' else concat('idle', v % 2) end as place,
        case when v < 700 then 'train' when v < 990 then 'test' else 'later' end as split,
        case when v < 700 then 'train' else 'later' end as no_test,
        v / 5 * 7919 % 3 as three,
        1 as always,
        make_array(v) as list
    from (select unnest(range(0, 1000)) as v)";

fn place() -> Place {
    let place = Place::new();
    let event = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"x"}}"#;
    place.ingest(&[&place.write("one.ndjson", event)]);
    let ended = place.run(&["sql", TABLE, "--format", "parquet", "-o", "t.parquet"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    place
}

const ALL: [&str; 11] = [
    "train",
    "contention",
    "--features",
    "t.parquet",
    "--label",
    "label",
    "--split",
    "split",
    "--ignore",
    "no_test,three,always,list",
    "--group=run",
];

#[test]
fn a_table_is_learnt_from_and_judged_without_a_lake() {
    let place = place();
    std::fs::remove_dir_all(place.path("lake")).unwrap();
    let judged = place.json(&[&ALL[..], &["--predictions", "p.parquet"]].concat());
    assert_eq!((judged["n_train"].as_u64(), judged["n_test"].as_u64()), (Some(700), Some(290)));
    let figure = |name: &str| judged[name].as_f64().unwrap();
    assert!(figure("roc_auc") > 0.95 && figure("pr_auc") > 0.9, "{judged}");
    assert!(figure("brier") < 0.08 && figure("ece10") < 0.15 && figure("base_rate") > 0.2, "{judged}");
    assert!(!judged["probability"]["reliability"].as_array().unwrap().is_empty());
    assert!(judged["probability"]["rules"].as_str().unwrap().starts_with("if "));
    assert!(place.path("p.parquet").exists() && !place.path("lake").exists());
    // Same file, same seed: same figures.
    assert_eq!(judged, place.json(&ALL));
}

#[test]
fn what_cannot_be_learnt_from_is_named() {
    let place = place();
    let refused = |change: &dyn Fn(&mut Vec<&str>), code: i32, says: &str| {
        let mut arguments = ALL.to_vec();
        change(&mut arguments);
        let ended = place.run(&arguments);
        assert_eq!(ended.code, code, "{says}: {}", ended.err);
        assert!(ended.err.contains(says), "{says}: {}", ended.err);
    };
    refused(&|a| a[5] = "nowhere", 2, "--label nowhere");
    refused(&|a| a[7] = "nowhere", 2, "--split nowhere");
    refused(&|a| a[10] = "--group=nowhere", 2, "--group nowhere");
    refused(&|a| a[9] = "nowhere", 2, "--ignore nowhere");
    refused(&|a| a[5] = "three", 2, "a label is 0 or 1");
    refused(&|a| a[9] = "no_test,three,always", 2, "--ignore list");
    refused(&|a| a[7] = "no_test", 5, "0 test rows");
    refused(&|a| a[5] = "always", 5, "both outcomes are needed");
    refused(&|a| a[3] = "nowhere.parquet", 1, "nowhere.parquet");
    refused(&|a| a[1] = "build-time", 2, "contention model alone");
    place.write("broken.parquet", &std::fs::read(place.path("t.parquet")).unwrap()[..900]);
    refused(&|a| a[3] = "broken.parquet", 1, "broken.parquet");
    place.write("no.parquet", "run,label\n1,1\n");
    refused(&|a| a[3] = "no.parquet", 1, "no.parquet");
}
