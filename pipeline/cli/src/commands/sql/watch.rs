//! The last bound of what a query takes. The engine counts what it sorts, groups and joins; it counts neither what a function
//! makes out of little nor what planning a huge expression takes. So somebody looks at the process itself.

use crate::failure::{Exit, Failure};
use domain::units::MIB;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Beside what a query may have: columns on their way, the engine itself.
const BESIDE_BYTES: u64 = 512 * MIB;

/// Memory is filled at some gigabytes a second.
const EVERY: Duration = Duration::from_millis(10);

/// How long a query has to let go when it is told to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Somebody who looks, until it is dropped.
pub struct Watch {
    over: Arc<Notify>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    /// Looks from now on that the process takes no more than `bytes` on top of what it has, and some for the engine. Where the
    /// system does not say what it has, nobody looks.
    pub fn begin(bytes: usize) -> Self {
        let watch = Self { over: Arc::default(), ended: Arc::default() };
        let Some(has) = resident() else { return watch };
        let most = has.saturating_add(bytes as u64).saturating_add(BESIDE_BYTES);
        let (over, ended) = (Arc::clone(&watch.over), Arc::clone(&watch.ended));
        let look = move || {
            let mut told: Option<Instant> = None;
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(EVERY);
                let is_over = resident().is_some_and(|has| has > most);
                match told {
                    None if is_over => {
                        over.notify_one();
                        told = Some(Instant::now());
                    }
                    // It makes one huge thing and hears nobody.
                    Some(at) if is_over && at.elapsed() > PATIENCE => {
                        crate::report(&refusal());
                        std::process::exit(Exit::Failed as i32);
                    }
                    Some(_) if !is_over => told = None,
                    _ => {}
                }
            }
        };
        // Without it, there is still the engine's own limit.
        let _ = std::thread::Builder::new().name("memory".into()).stack_size(1 << 20).spawn(look);
        watch
    }

    /// Comes back when it is too much.
    pub async fn overrun(&self) -> Failure {
        self.over.notified().await;
        refusal()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn refusal() -> Failure {
    Failure::new(Exit::Failed, "the query was stopped: it needs more memory than a query may have")
        .hint("give it more with --memory, or ask for less at once")
}

/// What the process has in memory now, in bytes (Linux).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
