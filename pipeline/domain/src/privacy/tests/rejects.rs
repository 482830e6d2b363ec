//! Rejected lines, whole or cut off: masked by the rules of events, and else kept as they are.

use super::*;

#[test]
fn a_rejected_line_keeps_its_shape_but_no_person() {
    let clean = privacy().scrub_reject(r#"{"ts": 3, "developer": "ann", "type": "edit""#);
    assert!(clean.contains("\"developer\": \"u-") && !clean.contains("ann"), "{clean}");
    assert!(privacy().scrub_reject(&"é".repeat(70_000)).len() <= REJECT_TEXT_LIMIT);
}

#[test]
fn a_rejected_line_without_people_and_secrets_is_kept_as_it_is() {
    let plain = r#" {"b": 1.0, "a":[1e40, {"n": 12345678901234567890123, "n2": "é\n"}],"kind" : "x"} "#;
    for line in [plain, r#"{"z":1,"a":{"z":1}}"#, "[]", "no JSON", "3"] {
        assert_eq!(privacy().scrub_reject(line), line);
    }
    for hiding in [
        r#"{"developer": "ann", "developer": null}"#,
        r#"{"a": [{"note": "ann@example.com", "note": "x"}]}"#,
        r#"{"note": "\u0061nn@example.com"}"#,
        r#"{"\u0064eveloper": "ann", "developer": null}"#,
    ] {
        let clean = privacy().scrub_reject(hiding);
        assert!(!clean.contains("ann") && !clean.contains("nn@"), "{hiding}\n{clean}");
    }
}

#[test]
fn broken_lines_keep_no_person_in_any_quotes() {
    for line in [
        "{'developer': 'ann', 'type': 'edit'",
        r#"{"developer": "\u0061nn", "#,
        r#"{"\u0064eveloper": "ann", "#,
        r#"{\"author\": \"ann\", "#,
        r#"{developer: ann, type: edit}"#,
        r#"{"reviewers": ["bob", "ann"], "#,
        r#"{"user": {"login": "ann", "id": 3}, "#,
        r#"{"mergedBy": "ann"#,
        r#"{"access-token": "ann", "#,
        r#"{"developer": "ann\" x ann", "#,
        r#"{"email": "ann\u0040example.com", "#,
        "developer=ann type=edit",
    ] {
        let clean = privacy().scrub_reject(line);
        assert!(!clean.contains("ann") && !clean.contains("nn@"), "{line}\n{clean}");
    }
}

#[test]
fn a_reject_is_masked_by_the_same_rules_as_an_event() {
    let hash = privacy().person("brunhilde");
    for line in [
        r#"{"ts":"2026-11-10T09:00:00Z","type":"annotation","developer":"brunhilde","payload":{"note":"brunhilde was here","v":NaN}}"#,
        r#"{"developer":"brunhilde","payload":{"note":"brunhilde was here","v":-Infinity}}"#,
        r#"{"developer":"brunhilde","note":"brunhilde was here","x":"#,
        r#"{"developer":"brunhilde","note":"brunhilde was he"#,
        r#"{"developer":"brunhilde","note":"brunhilde was here"}"#,
        r#"[{"developer":"brunhilde"},{"note":"brunhilde was here"}]"#,
        "developer=brunhilde note='brunhilde was here'",
        r#"INFO {"developer": "brunhilde", "note": "brunhilde was here", "v": NaN}"#,
    ] {
        let clean = privacy().scrub_reject(line);
        assert!(!clean.contains("brunhilde") && clean.contains(&hash), "{line}\n{clean}");
        assert!(clean.contains("was he"), "{line}\n{clean}");
    }
    let pair = r#"{"env":[{"name":"DB_PASSWORD","value":"plainword"}],"v":NaN}"#;
    assert!(!privacy().scrub_reject(pair).contains("plainword"));
    for line in [r#"{"note":"a \"quoted\" word","v":NaN}"#, "INFO ready", r#"{"v":NaN"#] {
        assert_eq!(privacy().scrub_reject(line), line);
    }
}
