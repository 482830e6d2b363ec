//! Calendars and holidays: from `.ics` files to the schedule and the forecast.

use crate::program::Place;

const NOW: &str = "2026-11-26T00:00:00Z";

fn team(more: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//acme//calendar//EN\r\nX-WR-TIMEZONE:UTC\r\n\
         BEGIN:VEVENT\r\nUID:weekly@acme\r\nDTSTAMP:20261001T000000Z\r\nLAST-MODIFIED:20261001T000000Z\r\nSUMMARY:Database \r\n \
         maintenance\r\nLOCATION:dev/db\r\nDTSTART;TZID=Europe/Berlin:20260907T220000\r\nDURATION:PT2H\r\n\
         RRULE:FREQ=WEEKLY;BYDAY=MO\r\nEXDATE;TZID=Europe/Berlin:20261207T220000\r\nEND:VEVENT\r\n{more}END:VCALENDAR\r\n"
    )
}

#[test]
fn a_calendar_is_the_schedule_and_read_again_it_is_duplicates() {
    let place = Place::new();
    let release = "BEGIN:VEVENT\r\nUID:r@acme\r\nDTSTAMP:20261002T000000Z\r\nSUMMARY:Release dev/web 2.0\r\n\
         DTSTART:20261127T090000Z\r\nDTEND:20261127T100000Z\r\nEND:VEVENT\r\nnonsense\r\n";
    let file = place.write("team.ics", team(release));
    let first = place.json(&["--now", NOW, "ingest", &file]);
    assert_eq!((first["rejected"].as_u64(), first["duplicates"].as_u64()), (Some(1), Some(0)), "{first}");
    let accepted = first["accepted"].as_u64().unwrap();
    assert!((20..40).contains(&accepted), "{first}");
    let again = place.json(&["--now", NOW, "ingest", &file]);
    assert_eq!((again["duplicates"].as_u64(), again["accepted"].as_u64()), (Some(accepted), Some(0)), "{again}");
    place.json(&["--now", NOW, "materialize"]);
    let coming = |place: &Place| {
        let query = "select schedule_event_id as id, resource, event_type as kind, cast(start_time as varchar) as at from features.schedule
            where start_time > timestamp '2026-11-26T00:00:00' and start_time < timestamp '2026-12-20T00:00:00' order by start_time";
        let rows = place.run(&["--now", NOW, "sql", query, "--format", "csv"]);
        assert_eq!(rows.code, 0, "{}", rows.err);
        rows.out
    };
    let told = coming(&place);
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert!(lines[0].starts_with("r@acme,dev/web,deployment,2026-11-27T09:00"), "{told}");
    assert!(lines[1].starts_with("weekly@acme/20261130T210000Z,dev/db,maintenance,2026-11-30T21:00"), "{told}");
    assert!(lines[2].contains("2026-12-14T21:00") && lines.len() == 3, "the seventh is left out: {told}");
    // The series moves to Tuesdays and the release is cancelled: what was announced before no longer counts.
    let later = team(
        &release
            .replace("SUMMARY", "LAST-MODIFIED:20261105T000000Z\r\nSTATUS:CANCELLED\r\nSUMMARY")
            .replace("nonsense\r\n", ""),
    )
    .replace("LAST-MODIFIED:20261001T000000Z", "LAST-MODIFIED:20261105T000000Z")
    .replace("20260907T220000", "20260908T220000")
    .replace("BYDAY=MO", "BYDAY=TU");
    place.json(&["--now", NOW, "ingest", &place.write("later.ics", later)]);
    let told = coming(&place);
    assert!(!told.contains("r@acme") && !told.contains("2026-11-30") && told.contains("2026-12-01T21:00"), "{told}");
}

#[test]
fn the_forecast_knows_calendars_and_holidays() {
    let place = Place::new();
    // Five weeks of work days up to a Thursday, in which nobody works.
    let mut lines = Vec::new();
    let start = 1_761_177_600; // 2025-10-23, a Thursday
    for hour in 0..24 * 35_i64 {
        let (day, of_day) = (hour / 24 % 7, hour % 24);
        let works = !matches!(day, 2 | 3) && (8..18).contains(&of_day);
        let cpu = if works { 4.0 } else { 0.4 } * (1.0 + 0.02 * ((hour * 7 % 11) as f64 - 5.0) / 5.0);
        let at = start + (hour + 1) * 3600;
        let (date, seconds) = (date(at.div_euclid(86_400)), at.rem_euclid(86_400));
        let time = format!("{date}T{:02}:{:02}:00Z", seconds / 3600, seconds % 3600 / 60);
        lines.push(format!(
            r#"{{"ts":"{time}","type":"usage","env":"dev","resource":"dev/web","payload":{{"interval_s":3600,"cpu_cores":{cpu},"memory_bytes":1000000000}}}}"#
        ));
    }
    const NOW: &str = "2025-11-27T00:00:00Z";
    place.ingest(&[&place.write("usage.ndjson", lines.join("\n"))]);
    place.json(&["--now", NOW, "materialize"]);
    let noon = |place: &Place| {
        let row = place.sql("select predicted_state['cpu_cores'] as cpu from predictions.shadow_inventory where at = timestamp '2025-11-27T12:00:00'");
        row[0]["cpu"].as_f64().unwrap()
    };
    place.json(&["--now", NOW, "shadow"]);
    assert!(noon(&place) > 3.0, "{}", noon(&place));
    let table = place.write("holidays.toml", "[[holiday]]\ndate = 2025-11-27\nname = \"Thanksgiving\"\n");
    place.json(&["--now", NOW, "shadow", "--holidays", &table]);
    assert!(noon(&place) < 1.0, "{}", noon(&place));
    let calendar = place.write(
        "holidays.ics",
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:t\nDTSTAMP:20250101T000000Z\nDTSTART;VALUE=DATE:20251127\nSUMMARY:Thanksgiving\nEND:VEVENT\nEND:VCALENDAR\n",
    );
    place.json(&["--now", NOW, "shadow", "--holidays", &calendar]);
    assert!(noon(&place) < 1.0, "{}", noon(&place));
    let deployment = calendar_of("20251127T120000Z");
    place.json(&["--now", NOW, "shadow", "--schedule", &place.write("deploy.ics", deployment)]);
    let event = place.sql("select schedule_event_id as id, predicted_state['cpu_cores'] as cpu from predictions.shadow_inventory where at = timestamp '2025-11-27T12:00:00'");
    assert_eq!(event[0]["id"], "d");
    assert!(event[0]["cpu"].as_f64().unwrap() > 6.0, "twice the load: {event:?}");
    let wrong = place.run(&["shadow", "--holidays", &place.write("wrong.toml", "[[holiday]]\ndate = \"Easter\"\n")]);
    assert!(wrong.code == 1 && wrong.err.contains("Easter") && wrong.err.contains("hint:"), "{}", wrong.err);
}

fn calendar_of(at: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:d\nDTSTAMP:20251101T000000Z\nDTSTART:{at}\nDURATION:PT1H\nSUMMARY:deploy dev/web\n\
         X-PIPELINE-SCALE:2\nEND:VEVENT\nEND:VCALENDAR\n"
    )
}

/// A day since 1970 as a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
pub fn date(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    format!("{:04}-{month:02}-{day:02}", yoe + era * 400 + i64::from(month <= 2))
}

/// What CI systems, logs and people say of an application are candidates for causes, and deployments are in the schedule.
#[test]
fn deployments_flags_and_annotations_are_candidates_for_causes() {
    let place = Place::new();
    let sample = |hour: u32, cpu: f64, throttled: f64| {
        let (day, hour) = (20 + hour / 24, hour % 24);
        format!(
            r#"{{"ts":"2026-10-{day}T{hour:02}:30:00Z","type":"usage","repo":"acme/api","env":"dev","resource":"dev/api","payload":{{"interval_s":3600,"cpu_cores":{cpu},"cpu_limit_cores":1,"throttled_ratio":{throttled},"memory_bytes":1000}}}}"#
        )
    };
    let mut lines: Vec<String> = (0..48).map(|hour| sample(hour, 0.3, 0.0)).collect();
    lines.extend((48..72).map(|hour| sample(hour, 0.98, 0.5)));
    lines.push(
        r#"{"ts":"2026-10-21T20:00:00Z","type":"annotation","resource":"dev/api","payload":{"note":"cache moved"}}"#
            .into(),
    );
    place.ingest(&[&place.write("usage.ndjson", lines.join("\n"))]);
    let deployment = r#"[{"id":5,"sha":"c0ffee","ref":"main","task":"deploy","environment":"dev","creator":{"login":"ann"},"created_at":"2026-10-21T21:00:00Z","updated_at":"2026-10-21T21:04:00Z","statuses_url":"https://api.github.com/repos/acme/api/deployments/5/statuses"}]"#;
    place.ingest(&[&place.write("deployments.json", deployment)]);
    let flag = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}},{"key":"service.namespace","value":{"stringValue":"dev"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1792620000000000000","severityText":"INFO","body":{"stringValue":"feature flag new-search switched on"}}]}]}]}"#;
    place.ingest(&[&place.write("logs.json", flag)]);
    place.json(&["materialize"]);
    let told = place.json(&["--now", "2026-10-25T12:00:00Z", "explain", "dev/api"]);
    let kinds: Vec<&str> = told["before"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    for kind in ["annotation", "deployment", "flag"] {
        assert!(kinds.contains(&kind), "{kind}: {told}");
    }
    let rows = place.sql("select event_type, resource from features.schedule");
    assert_eq!(
        (rows.len(), rows[0]["event_type"].as_str(), rows[0]["resource"].as_str()),
        (1, Some("deployment"), Some("dev"))
    );
}
