//! Dumps of any size, the same for the same seed.

/// A small generator of numbers (splitmix64), so that a failure can be repeated.
pub struct Numbers(pub u64);

impl Numbers {
    /// From 0 to `below` - 1.
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// One event of the kind that needs least.
pub fn note(day: u64, text: &str) -> String {
    format!(
        r#"{{"ts":"2026-10-{:02}T00:00:00Z","type":"annotation","repo":"a/b","pr":1,"payload":{{"note":"{text}"}}}}"#,
        1 + day % 31
    )
}

/// Events of many kinds over thirty days in no order; one line of a hundred cannot be taken.
pub fn busy(events: u64, seed: u64) -> String {
    let mut numbers = Numbers(seed);
    let mut text = String::new();
    for i in 0..events {
        if i % 100 == 99 {
            text.push_str(&format!("{{\"type\":\"test\",\"payload\":{{\"no\":\"time {i}\"}}}}\n"));
        }
        let (day, second) = (1 + numbers.next(30), numbers.next(86_400));
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (repo, pr, person) = (numbers.next(20), numbers.next(300), numbers.next(50));
        let number = numbers.next(1_000_000);
        let (kind, payload) = match numbers.next(4) {
            0 => (
                "edit",
                format!(r#"{{"file":"src/f{number}.rs","lines_added":{pr},"diff_snippet":"+ let x = {number};"}}"#),
            ),
            1 => ("test", format!(r#"{{"command":"pytest -q","exit_code":0,"duration_ms":{number},"passed":{pr}}}"#)),
            2 => ("usage", format!(r#"{{"interval_s":10,"cpu_cores":0.{number:06},"memory_bytes":{number}000}}"#)),
            _ => ("commit", format!(r#"{{"sha":"{number:040x}","message":"fix {i}","insertions":{pr}}}"#)),
        };
        text.push_str(&format!(
            r#"{{"ts":"2026-10-{day:02}T{hour:02}:{minute:02}:{second:02}Z","type":"{kind}","repo":"acme/r{repo}","pr":{pr},"developer":"u-{person}","env":"r{repo}-dev","resource":"r{repo}-dev/web","session":"s{i}","payload":{payload}}}"#
        ));
        text.push('\n');
    }
    text
}
