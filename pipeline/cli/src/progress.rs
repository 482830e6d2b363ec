//! Progress on stderr: a spinner on a terminal, plain lines in a log, silence when asked.

use crate::args::ProgressMode;
use crate::context::shown;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How a log line is never more frequent than.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Shows what is going on.
#[derive(Clone)]
pub struct Progress {
    mode: Mode,
    verbose: bool,
}

#[derive(Clone, Copy)]
enum Mode {
    Bars,
    Lines,
    Silent,
}

/// One thing going on.
pub struct Task {
    what: String,
    bar: Option<ProgressBar>,
    lines: bool,
    verbose: bool,
    began: Instant,
    said: Instant,
}

impl Progress {
    /// By the flags and by where stderr goes.
    pub fn new(mode: ProgressMode, quiet: bool, verbose: bool) -> Self {
        let mode = match mode {
            ProgressMode::Never => Mode::Silent,
            ProgressMode::Auto if quiet => Mode::Silent,
            ProgressMode::Auto if std::io::stderr().is_terminal() => Mode::Bars,
            ProgressMode::Auto => Mode::Lines,
        };
        Self { mode, verbose }
    }

    /// Begins something.
    pub fn task(&self, what: &str) -> Task {
        let bar = matches!(self.mode, Mode::Bars).then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style).with_message(shown(what));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let now = Instant::now();
        Task {
            what: what.to_owned(),
            bar,
            lines: matches!(self.mode, Mode::Lines),
            verbose: self.verbose,
            began: now,
            said: now,
        }
    }

    /// A line of its own, such as the name of a step.
    pub fn note(&self, text: &str) {
        if !matches!(self.mode, Mode::Silent) {
            say(text);
        }
    }
}

impl Task {
    /// How far it is.
    pub fn at(&mut self, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(shown(&format!("{} · {detail}", self.what)));
        } else if self.lines && self.said.elapsed() >= LOG_EVERY {
            self.said = Instant::now();
            say(&format!("{} · {detail}", self.what));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.verbose || (self.lines && self.began.elapsed() >= LOG_EVERY) {
            say(&format!("{} · {:.1} s", self.what, self.began.elapsed().as_secs_f64()));
        }
    }
}

fn say(text: &str) {
    // A log that cannot be written is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{}", shown(text));
}
