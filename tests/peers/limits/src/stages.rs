//! The stages of an ingest, each alone.

use crate::{Line, timed};
use domain::json::layout::Layouts;
use domain::json::{Kind, Tape};
use domain::privacy::Privacy;
use intake::{Columns, Key, Known, NativeReader, Rows, Verdict, encode};
use std::collections::BTreeMap;

/// What an ingest would have written.
pub(super) struct Written {
    pub(super) files: Vec<Vec<u8>>,
    pub(super) events: usize,
}

pub(super) fn run(text: &str, lines: &mut Vec<Line>) -> Written {
    timed("ours: the fields of each line", lines, || {
        let mut layouts = Layouts::default();
        let mut tape = Tape::default();
        for line in text.lines() {
            if layouts.follow(&mut tape, line).is_none()
                && let Ok(json) = tape.scan(line)
                && json.node(0).kind == Kind::Object
            {
                layouts.learn(json, "payload", |_| ());
            }
        }
    });
    let keys = timed("ours: fields, masking, normal form, identity", lines, || {
        let mut keys = Vec::new();
        decode(text, |_, key| keys.push(key));
        keys
    });
    timed("ours: which identities are new", lines, || met(&keys));
    let days = timed("ours: the same once more, and records by day", lines, || {
        let mut days: BTreeMap<i32, Rows> = BTreeMap::new();
        decode(text, |reader, key| reader.push(key, days.entry(key.ts.day()).or_default()));
        days
    });
    let orders: Vec<Vec<u32>> = timed("ours: sorting", lines, || days.values().map(|rows| rows.order()).collect());
    timed("ours: records to columns", lines, || {
        for (rows, order) in days.values().zip(&orders) {
            let filled = rows.filled();
            let mut columns = Columns::new(rows, &filled);
            for some in order.chunks(rows.portion()) {
                std::hint::black_box(columns.arrays(some).expect("rows make columns"));
            }
        }
    });
    let files = timed("ours: records to columns to compressed Parquet", lines, || {
        let file = |(rows, order): (&Rows, &Vec<u32>)| encode(rows, order).expect("rows make a file");
        days.values().zip(&orders).map(file).collect()
    });
    Written { files, events: keys.len() }
}

/// Reads every line as the program does; what is not for the fast way is left out.
fn decode(text: &str, mut take: impl FnMut(&NativeReader, Key)) {
    let mut reader = NativeReader::new(&Privacy::new(b"a key for measuring"));
    let mut tape = Tape::default();
    for line in text.lines() {
        let followed = reader.follow(&mut tape, line);
        if let Some(key) = followed.or_else(|| tape.scan(line).ok().and_then(|json| reader.read(json))) {
            take(&reader, key);
        }
    }
}

fn met(keys: &[Key]) -> usize {
    let load = |_: i32, _: &mut dyn FnMut(u128)| Ok(());
    let known = Known::new(usize::MAX, &load);
    let day = |key: &Key| (key.ts.day(), known.day(key.ts.day()).expect("nothing is in the lake"));
    let Some(mut last) = keys.first().map(day) else { return 0 };
    let is_new = |key: &&Key| {
        if key.ts.day() != last.0 {
            last = day(key);
        }
        last.1.meet(key.id, &known) == Verdict::New
    };
    keys.iter().filter(is_new).count()
}
