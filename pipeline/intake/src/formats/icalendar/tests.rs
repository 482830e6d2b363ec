//! Calendars as programs write them, and as they come from who means harm.

use super::*;
use crate::formats::events_of;
use domain::Event;
use std::time::Instant;

fn calendar(inner: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\n{inner}\nEND:VCALENDAR")
}

fn event(inner: &str) -> String {
    calendar(&format!("BEGIN:VEVENT\nUID:u1\nDTSTAMP:20261101T000000Z\nSUMMARY:Deploy shop/web\n{inner}\nEND:VEVENT"))
}

fn read(text: &str) -> (Vec<Event>, Vec<Reason>) {
    let (mut events, mut reasons) = (Vec::new(), Vec::new());
    for taken in events_of(&FORMAT, [json!(text)]) {
        match taken {
            Ok(event) => events.push(event),
            Err(reason) => reasons.push(reason),
        }
    }
    (events, reasons)
}

fn starts(text: &str) -> Vec<String> {
    let (events, reasons) = read(text);
    assert!(reasons.is_empty(), "{reasons:?}");
    events.iter().map(|event| event.payload["start_time"].as_str().unwrap().to_owned()).collect()
}

fn why(text: &str) -> String {
    let (events, reasons) = read(text);
    assert_eq!((events.len(), reasons.len()), (0, 1), "{events:?} {reasons:?}");
    reasons[0].to_string()
}

#[test]
fn an_event_is_a_schedule_event_with_its_kind_and_resource() {
    let (events, reasons) = read(&event(
        "DTSTART;TZID=Europe/Berlin:20261201T220000\nDTEND;TZID=Europe/Berlin:20261201T233000\n\
         LAST-MODIFIED:20261102T080000Z\nDESCRIPTION:first\\, then\\nsecond\nX-PIPELINE-SCALE:1.5\n\
         ORGANIZER;CN=Ann Miller:mailto:ann@acme.example\nATTENDEE;CN=\"Bo: b\":mailto:bo@acme.example",
    ));
    assert_eq!((events.len(), reasons.len()), (1, 0), "{reasons:?}");
    let one = &events[0];
    assert_eq!((one.kind.as_str(), one.resource.as_deref()), ("schedule", Some("shop/web")));
    assert_eq!(one.ts.to_string(), "2026-11-02T08:00:00Z", "when it was last changed");
    let text = |name: &str| one.payload[name].as_str().unwrap();
    assert_eq!((text("event_id"), text("event_type")), ("u1", "deployment"));
    assert_eq!((text("start_time"), text("end_time")), ("2026-12-01T21:00:00Z", "2026-12-01T22:30:00Z"));
    let details = &one.payload["details"];
    assert_eq!((&details["description"], &details["scale"]), (&json!("first, then\nsecond"), &json!(1.5)));
    let all = format!("{one:?}");
    assert!(one.developer.as_deref().is_some_and(|who| who.starts_with("u-")), "{all}");
    assert!(!all.contains("Miller") && !all.contains("ann@") && !all.contains("bo@"), "{all}");
}

#[test]
fn what_it_is_and_touches_is_told_by_the_most_explicit_property() {
    let of = |lines: &str| {
        let (events, reasons) = read(&calendar(&format!(
            "X-WR-CALNAME:Deployments\nBEGIN:VEVENT\nUID:u\nDTSTART:20261201T220000Z\nDURATION:PT1H\n{lines}\nEND:VEVENT"
        )));
        assert!(reasons.is_empty(), "{reasons:?}");
        let told = |event: &Event| {
            let kind = event.payload["event_type"].as_str().unwrap().to_owned();
            (kind, event.resource.clone().or(event.env.clone()).unwrap_or_default())
        };
        events.iter().map(told).collect::<Vec<_>>()
    };
    let one = |kind: &str, resource: &str| vec![(kind.to_owned(), resource.to_owned())];
    assert_eq!(of("SUMMARY:Kernel patch\nCATEGORIES:Ops,LOAD test"), one("load", ""));
    assert_eq!(of("SUMMARY:Patching the database\nLOCATION:shop"), one("maintenance", "shop"));
    assert_eq!(of("SUMMARY:shop/web goes out\nLOCATION:Room 4"), one("deployment", "shop/web"));
    assert_eq!(of("SUMMARY:x\nRESOURCES:shop/web\nLOCATION:other"), one("deployment", "shop/web"));
    assert_eq!(of("SUMMARY:x\nRESOURCES:shop/db,shop/web").len(), 2);
}

#[test]
fn a_series_keeps_its_wall_clock_and_is_worked_out_around_now() {
    // Weekly since 2019, at ten in the evening of Berlin: the clocks changed on 2026-10-25.
    let text = event(
        "DTSTART;TZID=Europe/Berlin:20190107T220000\nDTEND;TZID=Europe/Berlin:20190107T230000\nRRULE:FREQ=WEEKLY;BYDAY=MO",
    );
    let all = starts(&text);
    assert_eq!(
        (all.first().unwrap().as_str(), all.last().unwrap().as_str()),
        ("2026-06-01T20:00:00Z", "2027-02-15T21:00:00Z")
    );
    assert!(all.contains(&"2026-10-19T20:00:00Z".to_owned()) && all.contains(&"2026-10-26T21:00:00Z".to_owned()));
    assert_eq!(all.len(), 38);
    assert_eq!(read(&text).0, read(&text).0);
}

#[test]
fn rules_count_end_skip_and_leave_out() {
    let of = |rule: &str| starts(&event(&format!("DTSTART:20261201T100000Z\nDURATION:PT1H\n{rule}")));
    let days = |all: Vec<String>| all.iter().map(|at| at[5..10].to_owned()).collect::<Vec<_>>();
    assert_eq!(days(of("RRULE:FREQ=DAILY;COUNT=3")), ["12-01", "12-02", "12-03"]);
    assert_eq!(days(of("RRULE:FREQ=DAILY;INTERVAL=2;UNTIL=20261205T100000Z")), ["12-01", "12-03", "12-05"]);
    assert_eq!(days(of("RRULE:FREQ=DAILY;UNTIL=20261202")), ["12-01", "12-02"]);
    assert_eq!(days(of("RRULE:FREQ=WEEKLY;BYDAY=TU,TH;COUNT=4")), ["12-01", "12-03", "12-08", "12-10"]);
    assert_eq!(days(of("RRULE:FREQ=MONTHLY;BYMONTHDAY=1,-1;COUNT=3")), ["12-01", "12-31", "01-01"]);
    assert_eq!(days(of("RRULE:FREQ=MONTHLY;BYDAY=1TU;COUNT=2")), ["12-01", "01-05"]);
    assert_eq!(days(of("RDATE:20261204T100000Z,20261205T100000Z")), ["12-01", "12-04", "12-05"]);
    let (events, _) = read(&event("DTSTART:20261201T100000Z\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20261202T100000Z"));
    let status = |event: &Event| event.payload["details"]["status"].as_str().map(str::to_owned);
    assert_eq!(events.iter().map(status).collect::<Vec<_>>(), [None, Some("cancelled".to_owned()), None]);
    assert_eq!(events[1].payload["event_id"], "u1/20261202T100000Z");
}

#[test]
fn an_occurrence_that_was_moved_takes_the_place_of_its_own() {
    let (events, reasons) = read(&calendar(
        "BEGIN:VEVENT\nUID:m\nDTSTAMP:20261101T000000Z\nRECURRENCE-ID:20261202T100000Z\nDTSTART:20261202T150000Z\nDURATION:PT1H\n\
         SUMMARY:maintenance, later\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:m\nDTSTAMP:20261101T000000Z\nDTSTART:20261201T100000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3\n\
         SUMMARY:maintenance\nEND:VEVENT",
    ));
    assert!(reasons.is_empty(), "{reasons:?}");
    let mut told: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event.payload["event_id"].as_str().unwrap(), event.payload["start_time"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("m/20261201T100000Z", "2026-12-01T10:00:00Z"),
            ("m/20261202T100000Z", "2026-12-02T15:00:00Z"),
            ("m/20261203T100000Z", "2026-12-03T10:00:00Z")
        ]
    );
}

#[test]
fn whole_days_are_days_of_the_calendar_and_holidays_are_told() {
    let (events, reasons) = read(&calendar(
        "X-WR-CALNAME:Holidays in Germany\nX-WR-TIMEZONE:Europe/Berlin\nBEGIN:VEVENT\nUID:h\nDTSTAMP:20260101T000000Z\n\
         DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227\nSUMMARY:Weihnachten\nEND:VEVENT",
    ));
    assert!(reasons.is_empty(), "{reasons:?}");
    let payload = &events[0].payload;
    assert_eq!(payload["event_type"], "holiday");
    assert_eq!(
        (payload["start_time"].as_str(), payload["end_time"].as_str()),
        (Some("2026-12-24T23:00:00Z"), Some("2026-12-26T23:00:00Z"))
    );
}

#[test]
fn a_zone_that_the_calendar_defines_counts_with_its_rules() {
    let zone = "BEGIN:VTIMEZONE\nTZID:Company Time\nBEGIN:STANDARD\nDTSTART:19701025T030000\nTZOFFSETFROM:+0200\n\
         TZOFFSETTO:+0100\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:19700329T020000\n\
         TZOFFSETFROM:+0100\nTZOFFSETTO:+0200\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\nEND:DAYLIGHT\nEND:VTIMEZONE";
    let at = |zone: &str, when: &str| {
        starts(&calendar(&format!(
            "{zone}\nBEGIN:VEVENT\nUID:u\nDTSTART;TZID=\"Company Time\":{when}\nSUMMARY:deploy\nEND:VEVENT"
        )))
    };
    assert_eq!(at(zone, "20260701T120000"), ["2026-07-01T10:00:00Z"]);
    assert_eq!(at(zone, "20261201T120000"), ["2026-12-01T11:00:00Z"]);
    let path = event("DTSTART;TZID=/example.org/20260101/America/New_York:20261201T120000");
    assert_eq!(starts(&path), ["2026-12-01T17:00:00Z"]);
    assert!(why(&event("DTSTART;TZID=Nowhere:20261201T120000")).contains("time zone"));
}

#[test]
fn what_cannot_be_taken_is_refused_with_the_reason_and_the_rest_is_taken() {
    for (lines, says) in [
        ("SUMMARY:x", "no DTSTART"),
        ("DTSTART:tomorrow", "cannot be read"),
        ("DTSTART:20261201T120000Z\nDTEND:20261201T110000Z", "ends before it begins"),
        ("DTSTART:20261201T120000Z\nDURATION:an hour", "DURATION"),
        ("DTSTART:20261201T120000Z\nRRULE:FREQ=SOMETIMES", "recurrence rule"),
        ("DTSTART:20261201T120000Z\nRRULE:FREQ=SECONDLY", "more often than every hour"),
        ("DTSTART:20261201T120000Z\nRRULE:FREQ=DAILY;BYMINUTE=0,20,40", "more often than every hour"),
        ("DTSTART:20261201T120000Z\nRRULE:FREQ=DAILY;UNTIL=20260101T000000Z", "before its start"),
        ("DTSTART:20261201T120000Z\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", "never occurs"),
        ("DTSTART:20261201T120000Z\nX-PIPELINE-SCALE:nan", "from 0 to 100"),
        ("DTSTART:20261201T120000Z\nX-PIPELINE-SCALE:1e6", "from 0 to 100"),
        ("DTSTART:20261201T120000Z\nRECURRENCE-ID;RANGE=THISANDFUTURE:20261201T120000Z", "RANGE"),
    ] {
        assert!(why(&event(lines)).contains(says), "{lines}: {}", why(&event(lines)));
    }
    let (events, reasons) = read(&calendar(
        "nonsense\nBEGIN:VTODO\nUID:t\nEND:VTODO\nBEGIN:VEVENT\nUID:lunch\nDTSTART:20261201T120000Z\nSUMMARY:Lunch\nEND:VEVENT\n\
         BEGIN:VEVENT\nUID:a\nDTSTART:20261201T120000Z\nSUMMARY:deploy\nEND:VEVENT",
    ));
    assert_eq!((events.len(), reasons.len()), (1, 3), "{reasons:?}");
    // What was cut off: the whole events of it are taken.
    let whole = event("DTSTART:20261201T120000Z");
    let (events, reasons) = read(&whole.replace("END:VCALENDAR", "BEGIN:VEVENT\nUID:cut"));
    assert_eq!((events.len(), reasons.len()), (1, 2), "{reasons:?}");
}

#[test]
fn rules_for_ever_are_bounded_in_work_and_size() {
    let started = Instant::now();
    let hourly = starts(&event("DTSTART:20200101T000000Z\nRRULE:FREQ=HOURLY"));
    assert!((6_000..7_000).contains(&hourly.len()), "{}", hourly.len());
    assert!(why(&event("DTSTART:19700101T000000Z\nRRULE:FREQ=HOURLY")).contains("too often"));
    let barren = |n: usize| {
        let one = |n| {
            format!(
                "BEGIN:VEVENT\nUID:{n}\nDTSTART:20260101T000000Z\nSUMMARY:deploy\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30\nEND:VEVENT\n"
            )
        };
        calendar((0..n).map(one).collect::<String>().trim_end())
    };
    // What was refused was paid for, too.
    let old =
        |n| format!("BEGIN:VEVENT\nUID:{n}\nDTSTART:19700101T000000Z\nSUMMARY:deploy\nRRULE:FREQ=HOURLY\nEND:VEVENT\n");
    let (events, reasons) = read(&calendar((0..400).map(old).collect::<String>().trim_end()));
    assert_eq!((events.len(), reasons.len()), (0, 400));
    let (_, reasons) = read(&barren(500));
    assert!(reasons.len() >= 480, "a rule that comes to nothing uses up what may be spent: {}", reasons.len());
    let long = format!("DTSTART:20200101T000000Z\nRRULE:FREQ=HOURLY\nDESCRIPTION:{}", "x".repeat(100_000));
    assert!(why(&event(&long)).contains("too many for their length"));
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn no_rule_or_time_breaks_it(
        freq in "YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY",
        rest in "(;(INTERVAL=[0-9]{1,5}|COUNT=[0-9]{1,10}|BYDAY=-?[0-9]?(MO|SU)|BYMONTHDAY=-?[0-9]{1,2}|BYWEEKNO=[0-9]{1,2}|BYSETPOS=-?[0-9]|BYHOUR=[0-9]{1,2}|UNTIL=[0-9]{8}|WKST=SU)){0,3}",
        start in "[0-9]{8}(T[0-9]{6}Z?)?",
    ) {
        read(&event(&format!("DTSTART:{start}\nRRULE:FREQ={freq}{rest}")));
        read(&event(&format!("DTSTART:20260101T000000Z\nRRULE:FREQ={freq}{rest}")));
    }
}
