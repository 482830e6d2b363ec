//! How far each stage of an ingest is from the limit of the machine: one thread, one dump in memory, each stage alone,
//! beside the fastest known way to do no more than that.
//!
//!     cargo run --release --manifest-path tests/peers/limits/Cargo.toml -- events.ndjson [rounds]
//!
//! The stages are those of the crate `intake`. What is not in them: reading the file, threads, writing the files and the
//! commit.

mod limits;
mod stages;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What a stage does, and how long it took.
struct Line {
    what: &'static str,
    took: Duration,
}

/// Time that this thread was on a core: others on the same machine hardly matter. Since the start where there is no
/// such count.
fn on_core(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Runs something and says how long it took; the result is not thrown away by the optimiser.
fn timed<T>(what: &'static str, lines: &mut Vec<Line>, run: impl FnOnce() -> T) -> T {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let began = on_core(*START);
    let done = std::hint::black_box(run());
    lines.push(Line { what, took: on_core(*START) - began });
    done
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(dump) = arguments.next() else {
        eprintln!("give it a dump of native events");
        std::process::exit(2);
    };
    let rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut best: Vec<Line> = Vec::new();
    let (mut bytes, mut events) = (0, 0);
    for _ in 0..rounds {
        let mut lines = Vec::new();
        let text = timed("read: the bytes of the file", &mut lines, || std::fs::read_to_string(&dump));
        let text = text.unwrap_or_else(|error| {
            eprintln!("cannot read {dump}: {error}");
            std::process::exit(1);
        });
        limits::parse(&text, &mut lines);
        let files = stages::run(&text, &mut lines);
        limits::write(&files.files, &mut lines);
        (bytes, events) = (text.len(), files.events);
        match best.is_empty() {
            true => best = lines,
            false => best.iter_mut().zip(lines).for_each(|(best, line)| best.took = best.took.min(line.took)),
        }
    }
    println!("{events} events, {:.1} MB, one thread, CPU time, the best of {rounds} rounds", bytes as f64 / 1e6);
    println!("| stage | CPU ns an event | MB/s of the dump |\n| --- | --- | --- |");
    for Line { what, took } in best {
        let seconds = took.as_secs_f64();
        println!("| {what} | {:.0} | {:.0} |", seconds * 1e9 / events as f64, bytes as f64 / seconds / 1e6);
    }
}
