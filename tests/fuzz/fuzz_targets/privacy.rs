//! No text hides a secret from `Privacy::scrub`, and what was scrubbed stays as it is.
//!
//! An input is text: one letter says what to plant, the rest of the first line what it is made of, and `¶` in what
//! follows where it stands (without one, at the end), between blanks.

#![no_main]

use domain::privacy::{Privacy, REJECT_TEXT_LIMIT};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

static PRIVACY: LazyLock<Privacy> = LazyLock::new(|| Privacy::new(b"the key of the fuzzer"));

/// Letters and digits, a letter first, that no rule takes for a placeholder.
fn secret(seed: &str, length: usize) -> String {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut seed = seed.bytes().cycle();
    let mut next = || seed.next().unwrap_or(b'a');
    let mut secret = String::from("q7");
    while secret.len() < length {
        secret.push(char::from(LETTERS[usize::from(next()) % LETTERS.len()]));
    }
    secret
}

fn planted(kind: char, seed: &str) -> (String, String) {
    let short = secret(seed, 12);
    let text = match kind {
        'p' => format!("password={short}"),
        'g' => {
            let secret = secret(seed, 36);
            return (format!("ghp_{secret}"), secret);
        }
        'a' => {
            let secret = secret(seed, 16).to_ascii_uppercase();
            return (format!("AKIA{secret}"), secret);
        }
        'j' => format!(r#"{{"api_key": "{short}"}}"#),
        'o' => format!("--token {short}"),
        'b' => format!("Authorization: Bearer {short}"),
        'u' => format!("https://bob:{short}@host.example/x"),
        'h' => format!("/home/{short}/src"),
        'e' => format!("{short}@mail.example"),
        's' => format!("Signed-off-by: Ann {short}"),
        'm' => format!("@{short}"),
        'w' => format!(r"C:\Users\{short}\src"),
        'k' => format!("Cookie: sid={short}"),
        'c' => format!("curl -u bob:{short}"),
        'n' => format!("machine h.example login bob password {short}"),
        'q' => format!("mysql -p{short}"),
        'y' => format!(r#"{{\"password\":\"{short}\"}}"#),
        _ => format!("--api-key={short}"),
    };
    (text, short)
}

fuzz_target!(|data: &[u8]| {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let (first, text) = input.split_once('\n').unwrap_or(("", input));
    let mut letters = first.chars();
    let kind = letters.next().unwrap_or('p');
    let (plant, secret) = planted(kind, letters.as_str());
    let (before, after) = text.split_once('¶').unwrap_or((text, ""));
    if before.contains(&secret) || after.contains(&secret) {
        return;
    }
    let text = format!("{before} {plant} {after}");
    let clean = PRIVACY.scrub_text(&text);
    assert!(!clean.contains(&secret), "{text:?}\n{clean:?}");
    let reject = PRIVACY.scrub_reject(&text);
    assert!(!reject.contains(&secret), "rejected {text:?}\n{reject:?}");
    // The same text inside a line of JSON, and inside one that was cut off.
    let line = format!(r#"{{"note": {}}}"#, Value::from(text));
    for line in [&line[..], &line[..line.len() - 1]] {
        let reject = PRIVACY.scrub_reject(line);
        assert!(!reject.contains(&secret), "rejected {line}\n{reject}");
    }

    let clean = PRIVACY.scrub_text(before);
    assert_eq!(PRIVACY.scrub_text(&clean), clean, "scrubbed twice is not as scrubbed once: {before:?}");
    assert!(PRIVACY.scrub_reject(input).len() <= REJECT_TEXT_LIMIT);
});
