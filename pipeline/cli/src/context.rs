//! What every command has at hand: the lake, the clock, the key, the way to speak.

use crate::args::Global;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use domain::location::without_secrets;
use domain::privacy::{Privacy, check_key};
use domain::{Timestamp, time};
use intake::Source;
use lake::{IngestSpec, Lake, hidden, visible};
use serde_json::Value;
use std::fs;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The answer of a command: its exit code, and what `--json` prints.
pub struct Answer {
    /// For scripts.
    pub exit: Exit,
    /// For programs.
    pub json: Value,
    /// The result in one short line, which a job prints instead of everything.
    pub brief: Option<String>,
}

impl Answer {
    /// An answer with its exit code.
    pub fn new(exit: Exit, json: Value) -> Self {
        Self { exit, json, brief: None }
    }

    /// Done.
    pub fn done(json: Value) -> Self {
        Self::new(Exit::Done, json)
    }

    /// The same with its line for a job.
    #[must_use]
    pub fn brief(self, line: impl Into<String>) -> Self {
        Self { brief: Some(line.into()), ..self }
    }
}

/// What a command works with.
pub struct Context {
    /// As typed.
    pub global: Global,
    /// The present, or `--now`.
    pub now: Timestamp,
    /// Whether it is a `--now`, of the command line or a job, and no time of a clock.
    pub fixed_clock: bool,
    /// How to show progress.
    pub progress: Progress,
}

impl Context {
    /// From the global flags.
    pub fn new(global: Global) -> Self {
        let now = global.now.unwrap_or_else(|| Timestamp(chrono::Utc::now().timestamp_micros()));
        let progress = Progress::new(global.progress, global.quiet, global.verbose);
        Self { fixed_clock: global.now.is_some(), global, now, progress }
    }

    /// The lake, which must be there.
    pub async fn lake(&self) -> Result<Lake, Failure> {
        Ok(Lake::open(&self.global.lake).await?)
    }

    /// The lake with its key, for commands that write: another key than the lake's is refused before anything is touched.
    pub async fn lake_with_key(&self) -> Result<(Lake, Privacy), Failure> {
        let privacy = privacy()?;
        Ok((Lake::open_with_key(&self.global.lake, &privacy).await?, privacy))
    }

    /// Takes events of our own, through the same door as every dump.
    pub async fn tell(&self, privacy: &Privacy, name: &str, lines: &[String]) -> Result<(), Failure> {
        let source = Source::Lines { name: name.to_owned(), text: lines.join("\n") };
        Lake::ingest(&self.global.lake, privacy, &[source], &IngestSpec::default(), &mut |_, _| {}).await?;
        Ok(())
    }

    /// The start of `--since`; none: all history.
    pub fn since(&self, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
        text.map(|text| self.back("--since", text)).transpose()
    }

    /// The time that a flag goes back to.
    pub fn back(&self, flag: &str, text: &str) -> Result<Timestamp, Failure> {
        time::parse_since(text, self.now).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{flag} {text} is no time in the past"))
                .hint(format!("write 30d, 8w, a date or an RFC 3339 time not after {}", self.now))
        })
    }

    /// Writes a line for people, on stdout; nothing under `--json` and `--quiet`. Whatever it holds, it is one line and
    /// moves no cursor: names and texts come from dumps, and people read them before they say yes.
    pub fn say(&self, line: impl AsRef<str>) {
        if !self.global.json && !self.global.quiet {
            emit(line.as_ref());
        }
    }

    /// The same with a text behind it that may be long: what does not fit goes on `indent` columns in.
    pub fn say_wrapped(&self, lead: impl AsRef<str>, text: &str, indent: usize) {
        if !self.global.json && !self.global.quiet {
            emit_wrapped(lead.as_ref(), text, indent);
        }
    }

    /// Columns of the terminal; 0, no limit, where there is none.
    pub fn width(&self) -> usize {
        if !std::io::stdout().is_terminal() {
            return 0;
        }
        usize::from(console::Term::stdout().size().1).max(40)
    }
}

/// Breaks a text between words so that no line is wider than 80 columns when the first begins `first` columns in, and the
/// others `indent`.
pub fn wrap(text: &str, first: usize, indent: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let at = if lines.len() == 1 { first } else { indent };
        let line = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(last) if line > 0 && at + line + 1 + word.chars().count() <= 80 => {
                last.push(' ');
                last.push_str(word);
            }
            // A long word goes below a lead that leaves it no room, where it has more.
            Some(last) if line == 0 && (at <= indent || at + word.chars().count() <= 80) => last.push_str(word),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A text as people see it: one line that commands no terminal and shows no secret of a URL.
pub fn shown(text: &str) -> String {
    visible(&without_secrets(text)).into_owned()
}

/// One line on stdout, its control characters written out. A reader that has gone away is no error: the work goes on, in
/// silence.
pub fn emit(line: &str) {
    emit_bytes(format!("{}\n", shown(line)).as_bytes());
}

/// [`emit`] with a text behind it that may be long: what does not fit goes on `indent` columns in.
pub fn emit_wrapped(lead: &str, text: &str, indent: usize) {
    // Written out first: a line end in a text is no place to break it.
    for (n, line) in wrap(&visible(text), lead.chars().count(), indent).into_iter().enumerate() {
        let lead = if n == 0 { lead.to_owned() } else { " ".repeat(indent) };
        emit(&format!("{lead}{line}"));
    }
}

/// A JSON value on stdout: what a terminal might obey is written as JSON writes it, and means the same.
pub fn emit_json(value: &Value, pretty: bool) {
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Outside of strings JSON has none of them but the line ends of its layout.
        match c {
            '\n' => out.push(c),
            c if hidden(c) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")))
            }
            c => out.push(c),
        }
    }
    out.push('\n');
    emit_bytes(out.as_bytes());
}

/// A result as it is, on stdout.
pub fn emit_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if GONE.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        GONE.store(true, Ordering::Relaxed);
        LOST.store(error.kind() != ErrorKind::BrokenPipe, Ordering::Relaxed);
    }
}

/// Whether nobody reads standard output any more: work whose only result is there may end.
pub fn reader_gone() -> bool {
    GONE.load(Ordering::Relaxed)
}

static GONE: AtomicBool = AtomicBool::new(false);
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether something that was to be read could not be written, as on a full disk.
pub fn output_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Says that a result was lost by other ways than [`emit`].
pub fn lose_output() {
    LOST.store(true, Ordering::Relaxed);
}

/// The lake owner's key: `PIPELINE_PSEUDONYM_KEY`, else `pseudonym.key` in the user's configuration folder, made on first use.
/// What is too short to be a key is refused.
pub fn privacy() -> Result<Privacy, Failure> {
    const NAME: &str = "PIPELINE_PSEUDONYM_KEY";
    let given = std::env::var(NAME).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    let (key, place) = match given {
        Some(key) => (key, NAME.to_owned()),
        None => {
            let path = secret_path("pseudonym.key", NAME)?;
            let empty = "restore the key; a new one would not fit the lakes made with it";
            let hex = |random: &[u8; 32]| random.iter().map(|byte| format!("{byte:02x}")).collect();
            (secret(&path, empty, hex)?, path.display().to_string())
        }
    };
    check_key(key.as_bytes()).map_err(|weak| {
        Failure::new(Exit::Refused, format!("{weak} ({place})")).hint(
            "whoever guesses the key knows every person: make one with `openssl rand -hex 32`. A lake that was made with \
             a weaker key is read as before, and takes no more events: ingest its dumps into a new lake",
        )
    })?;
    Ok(Privacy::new(key.as_bytes()))
}

/// [`privacy`], where a key is given or kept: none is made.
pub fn kept_privacy() -> Option<Privacy> {
    let given = std::env::var_os("PIPELINE_PSEUDONYM_KEY").is_some_and(|key| !key.is_empty());
    let kept = || secret_path("pseudonym.key", "PIPELINE_PSEUDONYM_KEY").is_ok_and(|path| path.exists());
    if given || kept() { privacy().ok() } else { None }
}

/// Where a secret of this user is kept; `variable` is what else it can be given by.
pub fn secret_path(name: &str, variable: &str) -> Result<PathBuf, Failure> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    let folder = folder.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("there is no place for {name}")).hint(format!("set {variable}, or HOME"))
    })?;
    Ok(folder.join("pipeline").join(name))
}

/// A secret that is kept in a file, made from 32 random bytes on first use. `empty`: what to do when the file is. A file
/// that others may read or write is refused.
pub fn secret(path: &Path, empty: &str, make: impl FnOnce(&[u8; 32]) -> String) -> Result<String, Failure> {
    use std::os::unix::fs::MetadataExt;
    // Others may read nothing; a group may read, as of a file that is mounted for it, and not write.
    const FORBIDDEN: u32 = 0o027;
    let mode = fs::metadata(path).map_or(0, |file| file.mode());
    if mode & FORBIDDEN != 0 {
        let what = format!("{} can be read or changed by others (mode {:03o})", path.display(), mode & 0o777);
        return Err(Failure::new(Exit::Refused, what)
            .hint(format!("if nobody has: chmod 600 {}; else make a new secret in its place", path.display())));
    }
    match fs::read_to_string(path) {
        Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().to_owned()),
        Ok(_) => return Err(Failure::new(Exit::Failed, format!("{} is empty", path.display())).hint(empty)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::file("read", path, &error)),
    }
    let secret = make_secret(path, make).map_err(|error| Failure::file("make", path, &error))?;
    Ok(secret.trim().to_owned())
}

/// Makes the secret whole or not at all, readable by its owner alone; of two that try, the first one's is used by both.
fn make_secret(path: &Path, make: impl FnOnce(&[u8; 32]) -> String) -> std::io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut random = [0u8; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let secret = make(&random);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    let made = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match made {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::read_to_string(path),
        Err(error) => Err(error),
    }
}

/// A person as the system names them, for approvals and the ledger.
pub fn person() -> String {
    ["PIPELINE_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
}
