//! What the report looks like in a real Chromium. The pictures stay in `PIPELINE_TEST_PICTURES`, where that is set.

use super::browser::{Browser, Seen};
use super::{place, report};
use crate::plan;
use serde_json::json;

fn keep(name: &str, picture: &str) {
    let Some(folder) = std::env::var_os("PIPELINE_TEST_PICTURES") else { return };
    let path = std::path::Path::new(&folder).join(format!("{name}.png.base64"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(path, picture).unwrap();
}

/// How far two pages differ in where their ink lies.
fn distance(a: &Seen, b: &Seen) -> f64 {
    a.grid.iter().zip(&b.grid).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.grid.len() as f64
}

#[test]
fn the_page_looks_as_it_should_on_every_screen_and_on_paper() {
    let Some(mut browser) = Browser::open() else { return };
    let place = place();
    report(&place, &["-o", "report.html"]);
    report(&place, &["--pr", "acme/data#116", "-o", "pr.html"]);
    let address = format!("file://{}", place.path("report.html").display());
    let text = |browser: &mut Browser| browser.value("document.body.innerText").as_str().unwrap().to_owned();

    let mut seen = Vec::new();
    for (name, width, scheme, media, script) in [
        ("light", 1280, "light", "screen", true),
        ("dark", 1280, "dark", "screen", true),
        ("phone", 390, "light", "screen", true),
        ("phone-dark", 390, "dark", "screen", true),
        ("print", 800, "light", "print", true),
        ("no-script", 1280, "light", "screen", false),
    ] {
        browser.screen(width, scheme, media);
        browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": !script }));
        browser.load(&address);
        assert!(text(&mut browser).contains("resources should change"), "{name}");
        let wide = browser.value("[document.documentElement.scrollWidth, innerWidth]");
        assert!(wide[0].as_f64() <= wide[1].as_f64(), "{name} scrolls sideways: {wide}");
        assert_eq!(browser.value("document.querySelectorAll('th button').length > 5"), script, "{name}: sorting");
        let picture = browser.picture();
        keep(name, &picture);
        // Letters and lines stand out from their ground.
        let contrast = browser.value(include_str!("contrast.js"));
        assert!(contrast.as_f64().unwrap() >= 4.5, "{name}: the weakest text has {contrast}:1");
        let looks = browser.look(&picture);
        assert!((0.005..0.5).contains(&looks.ink), "{name} is blank or full: {looks:?}");
        assert!(looks.colours >= 12, "{name} has no charts: {looks:?}");
        let bright = looks.lightness > 0.5;
        assert_eq!(bright, scheme == "light" || media == "print", "{name}: {looks:?}");
        seen.push(looks);
    }
    assert!(
        distance(&seen[0], &seen[1]) < 0.12,
        "dark is the light page in other colours: {}",
        distance(&seen[0], &seen[1])
    );
    assert!(
        distance(&seen[0], &seen[5]) < 0.12,
        "without script it is the same page: {}",
        distance(&seen[0], &seen[5])
    );

    // Nothing but the file itself was asked for.
    let asked = browser.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
    let asked: Vec<&str> = asked.filter_map(|event| event["params"]["request"]["url"].as_str()).collect();
    assert!(!asked.is_empty() && asked.iter().all(|url| *url == address || *url == "about:blank"), "{asked:?}");
    let errors: Vec<_> = browser.events.iter().filter(|event| event["method"] == "Log.entryAdded").collect();
    assert!(errors.is_empty(), "{errors:?}");

    sorts_by_keyboard(&mut browser, &address);
    is_read_out(&mut browser);
    reads_under_the_policy_of_jenkins(&mut browser, &place.read("report.html"));

    browser.screen(390, "light", "screen");
    browser.load(&format!("file://{}", place.path("pr.html").display()));
    let picture = browser.picture();
    keep("pull-request", &picture);
    assert!(browser.look(&picture).ink > 0.005);
    assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true);
    place.json(&["--now", plan::NOW, "log", "verify"]);
}

/// A header is a button: focus and Enter sort by it.
fn sorts_by_keyboard(browser: &mut Browser, address: &str) {
    browser.screen(1280, "light", "screen");
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": false }));
    browser.load(address);
    browser.value("document.querySelector('table.sortable thead button').focus()");
    for kind in ["keyDown", "keyUp"] {
        let key = json!({ "type": kind, "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13 });
        browser.call("Input.dispatchKeyEvent", key);
    }
    let sorted = browser.value(
        "(() => { const t = document.querySelector('table.sortable');
            const names = [...t.tBodies[0].rows].map(r => r.cells[0].textContent);
            return t.querySelector('th').getAttribute('aria-sort') === 'descending'
                && names.join() === [...names].sort((a, b) => b.localeCompare(a)).join(); })()",
    );
    assert_eq!(sorted, true, "sorted by its first column");
}

/// What a screen reader finds: headings in order, and a name for every picture and every table.
fn is_read_out(browser: &mut Browser) {
    browser.call("Accessibility.enable", json!({}));
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let nodes = tree["nodes"].as_array().unwrap();
    let of = |role: &str| nodes.iter().filter(|node| node["role"]["value"] == role).collect::<Vec<_>>();
    let pictures = [of("img"), of("image"), of("graphics-document")].concat();
    assert!(pictures.len() >= 6, "{} pictures", pictures.len());
    for node in pictures.into_iter().chain(of("table")) {
        assert!(node["name"]["value"].as_str().is_some_and(|name| name.len() > 5), "without a name: {node}");
    }
    let skips = browser.value(
        "[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1]).every((l, i, all) => i === 0 ? l === 1 : l <= all[i - 1] + 1)",
    );
    assert_eq!(skips, true, "no level of headings is left out");
}

/// Jenkins serves what a build leaves behind so: no script, no style of its own.
fn reads_under_the_policy_of_jenkins(browser: &mut Browser, page: &str) {
    use std::fmt::Write;
    let body = page.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    // Base64 is made by the browser itself.
    let base64 = browser.value(&format!(
        "(() => {{ const h = '{body}'; let s = ''; for (let i = 0; i < h.length; i += 2) s += String.fromCharCode(parseInt(h.substr(i, 2), 16)); return btoa(s); }})()"
    ));
    browser.call("Fetch.enable", json!({ "patterns": [{ "urlPattern": "https://jenkins.example/*" }] }));
    browser.events.clear();
    browser.call("Runtime.evaluate", json!({ "expression": "location.href = 'https://jenkins.example/report.html'" }));
    let paused = browser.wait("Fetch.requestPaused");
    let policy = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';";
    browser.call(
        "Fetch.fulfillRequest",
        json!({
            "requestId": paused["params"]["requestId"],
            "responseCode": 200,
            "responseHeaders": [
                { "name": "Content-Type", "value": "text/html; charset=utf-8" },
                { "name": "Content-Security-Policy", "value": policy },
            ],
            "body": base64,
        }),
    );
    browser.wait("Page.loadEventFired");
    let picture = browser.picture();
    keep("jenkins", &picture);
    assert_eq!(
        browser.value("getComputedStyle(document.querySelector('.skip')).position"),
        "static",
        "no style came through"
    );
    assert_eq!(browser.value("document.querySelectorAll('th button').length"), 0, "no script came through");
    let colours = browser.value("[...new Set([...document.querySelectorAll('svg [stroke],svg [fill]')].map(e => getComputedStyle(e).stroke + getComputedStyle(e).fill))].length");
    assert!(colours.as_u64().unwrap() >= 5, "the charts have their colours: {colours}");
    assert!(browser.look(&picture).colours >= 8);
}
