//! Where the events of a collector go, and how it is told to end.

use super::{Output, clock, span};
use crate::context::{Answer, Context, lose_output, privacy};
use crate::failure::{Exit, Failure};
use agent::AgentError;
use agent::collect::{Outlet, Said, seal};
use agent::spool::{Spool, SpoolTotals};
use domain::privacy::Privacy;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

/// The signals that end a collector.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::new(Exit::Failed, format!("cannot listen for signals: {e}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one; the code that a shell would exit with.
    async fn come(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }

    /// Whoever listened once gets every later signal: from here on one ends the program, as it would have without us.
    fn let_go(mut self) {
        tokio::spawn(async move { std::process::exit(self.come().await) });
    }
}

/// Waits; true when told to end meanwhile.
pub(super) async fn ended_within(wait: Duration) -> Result<bool, Failure> {
    let mut ending = Ending::new()?;
    let ended = tokio::time::timeout(wait, ending.come()).await.is_ok();
    ending.let_go();
    Ok(ended)
}

/// Where events go, with people taken out of them.
pub(super) struct Sink<'a> {
    context: &'a Context,
    privacy: Privacy,
    tags: BTreeMap<String, String>,
    spool: Option<Spool>,
    written: u64,
    /// The reader of stdout has gone: there is nobody left to collect for.
    gone: bool,
    told: Option<String>,
}

impl<'a> Sink<'a> {
    pub(super) fn open(context: &'a Context, collector: &'static str, output: &Output) -> Result<Self, Failure> {
        if context.global.json && output.spool.is_none() {
            return Err(Failure::new(Exit::Usage, "--json has nowhere to go: the events are on stdout")
                .hint("the events are JSON already; with --spool DIR, --json prints the counts"));
        }
        let spool = output.spool.as_ref().map(|folder| Spool::open(folder, output.spool_max, collector)).transpose()?;
        let tags = output.tags.iter().cloned().collect();
        Ok(Self { context, privacy: privacy()?, tags, spool, written: 0, gone: false, told: None })
    }

    /// Starts a collector and takes what it says, until it ends by itself, its time is over, or a signal comes; a second
    /// signal does not wait for it. True: it was told to end.
    pub(super) async fn take<T: Send + 'static>(
        &mut self,
        start: impl FnOnce(Outlet) -> JoinHandle<Result<T, AgentError>>,
        length: Option<i64>,
        done: impl FnOnce(T),
    ) -> Result<bool, Failure> {
        let (outlet, mut said, stop) = Outlet::new();
        let mut ending = Ending::new()?;
        let work = start(outlet);
        let over = tokio::time::sleep(length.map_or(Duration::from_secs(u64::from(u32::MAX)), span));
        tokio::pin!(over);
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        let mut stopped = false;
        let mut told = Instant::now();
        loop {
            tokio::select! {
                next = said.recv() => match next {
                    Some(Said::Event(event)) => {
                        self.event(event);
                        if self.gone {
                            stopped = true;
                            said.close();
                        }
                    }
                    Some(Said::Note(text)) => self.context.progress.note(&text),
                    None => break,
                },
                _ = ending.come() => {
                    // A terminal and `timeout` send theirs to the group and to us: two at once are one.
                    if stopped && told.elapsed() > Duration::from_secs(1) {
                        return Err(Failure::new(Exit::Failed, "ended before the collector was done"));
                    }
                    (stopped, told) = (true, Instant::now());
                    let _ = stop.send(true);
                }
                () = &mut over, if !stopped => {
                    stopped = true;
                    let _ = stop.send(true);
                }
                _ = tick.tick() => if let Some(Err(error)) = self.spool.as_mut().map(Spool::tick) {
                    self.complain(&error.into());
                }
            }
        }
        let worked = work.await;
        ending.let_go();
        match worked {
            Ok(Ok(result)) => done(result),
            Ok(Err(error)) if !self.gone => return Err(error.into()),
            Ok(Err(_)) => {}
            Err(error) => return Err(Failure::new(Exit::Failed, format!("the collector broke off: {error}"))),
        }
        Ok(stopped)
    }

    fn event(&mut self, event: Value) {
        let event = seal(event, &self.tags, &self.privacy);
        if let Some(spool) = &mut self.spool {
            match spool.take(&event, clock()) {
                Ok(()) => self.told = None,
                Err(error) => self.complain(&error.into()),
            }
            return;
        }
        let mut line = event.to_string();
        line.push('\n');
        let mut out = std::io::stdout().lock();
        match out.write_all(line.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => self.written += 1,
            Err(error) => {
                self.gone = true;
                if error.kind() != ErrorKind::BrokenPipe {
                    lose_output();
                }
            }
        }
    }

    /// Says what went wrong, the same thing once.
    fn complain(&mut self, failure: &Failure) {
        let text = std::iter::once(&failure.what).chain(&failure.causes).cloned().collect::<Vec<_>>().join(": ");
        let kind = failure.causes.last().cloned().unwrap_or_default();
        if self.told.as_ref() != Some(&kind) {
            self.context.progress.note(&format!("{text}; collecting goes on"));
            self.told = Some(kind);
        }
    }

    /// Everything written has its final place after this.
    pub(super) fn finish(self) -> Result<SpoolTotals, Failure> {
        let Some(spool) = self.spool else {
            return Ok(SpoolTotals { written: self.written, ..SpoolTotals::default() });
        };
        let totals = spool.close()?;
        match totals.lost {
            0 => Ok(totals),
            lost => Err(Failure::new(
                Exit::Failed,
                format!("{lost} of {} events could not be written", lost + totals.written),
            )
            .hint("is the disk full? What was written before and after is in the spool")),
        }
    }

    pub(super) fn close(self) -> Result<Answer, Failure> {
        let SpoolTotals { written, dropped, .. } = self.finish()?;
        Ok(Answer::done(json!({"events": written, "dropped": dropped})))
    }
}
