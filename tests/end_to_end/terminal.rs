//! A terminal of a chosen size with the program on it, and what stands on its screen.

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A program on a terminal.
pub struct Terminal {
    keys: File,
    screen: Arc<Mutex<(vt100::Parser, Vec<u8>)>>,
    child: Child,
}

/// A blank screen.
pub fn screen_of(rows: u16, columns: u16) -> vt100::Parser {
    vt100::Parser::new(NonZero::new(rows).unwrap(), NonZero::new(columns).unwrap(), 0)
}

impl Terminal {
    /// Starts a command on a terminal. `setsid` (util-linux) makes it the command's own, so that Ctrl-C is a signal there.
    pub fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(File::from(pty.slave.try_clone().unwrap()));
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg("--wait").arg(command.get_program()).args(command.get_args());
        on_terminal.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        for (key, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
            on_terminal.env_remove(key);
        }
        on_terminal.env("TERM", "xterm-256color").current_dir(command.get_current_dir().unwrap());
        let child = on_terminal.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        drop(on_terminal);
        drop(pty.slave);
        let keys = File::from(pty.master);
        let screen = Arc::new(Mutex::new((screen_of(rows, columns), Vec::new())));
        let (mut output, seen) = (keys.try_clone().unwrap(), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                let mut seen = seen.lock().unwrap();
                seen.0.process(&bytes[..read]);
                seen.1.extend_from_slice(&bytes[..read]);
            }
        });
        Self { keys, screen, child }
    }

    /// Presses keys: `\r` is Enter, `\x03` Ctrl-C, `\x04` Ctrl-D.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// What stands on the screen.
    pub fn shown(&self) -> String {
        self.screen.lock().unwrap().0.screen().contents()
    }

    /// All bytes that the terminal got.
    pub fn bytes(&self) -> Vec<u8> {
        self.screen.lock().unwrap().1.clone()
    }

    /// Waits until the screen is as wanted; gives it.
    pub fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let shown = self.shown();
            if is_there(&shown) {
                return shown;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "waited for {what} and saw:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a text stands on the screen.
    pub fn see(&self, text: &str) -> String {
        self.wait(text, |shown| shown.contains(text))
    }

    /// Waits for an empty prompt at the end.
    pub fn ready(&self) -> String {
        self.wait("a prompt", |shown| {
            shown.trim_end().lines().next_back().is_some_and(|line| line.starts_with("sql") && line.ends_with('>'))
        })
    }

    /// Types a line when the prompt is there, waits for the next prompt.
    pub fn line(&mut self, text: &str) -> String {
        self.ready();
        // A clean screen, so that the next prompt is the one after the answer.
        self.press("\x0c");
        self.wait("an empty screen", |shown| shown.trim_end().lines().count() == 1);
        self.press(text);
        self.press("\r");
        self.wait("the answer", |shown| {
            let lines: Vec<&str> = shown.trim_end().lines().collect();
            lines.len() > 1 && lines.last().is_some_and(|line| line.starts_with("sql") && line.ends_with('>'))
        })
    }

    /// Waits for the program's end.
    pub fn end(mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not end:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // When a test fails midway; one that ended is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
