//! The shell: lines with history and completion, a statement at a time, and Ctrl-C that stops the query and not the shell.

use crate::commands::sql::ask::{Desk, Told, counted, span};
use crate::commands::sql::completion::Words;
use crate::commands::sql::{backslash, pager};
use crate::context::{Answer, emit};
use crate::failure::{Exit, Failure};
use lake::{Declared, Statement, is_blank, is_complete, statements};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::{Behavior, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context as LineContext, Editor, Helper};
use serde_json::json;
use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::Instant;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

/// Statements that are remembered.
const HISTORY: usize = 5000;

/// Reads, asks, shows, until Ctrl-D or `\q`.
pub async fn run(desk: &mut Desk<'_>) -> Result<Answer, Failure> {
    desk.next_output = desk.output.take();
    let mut editor = editor()?;
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    let mut interrupts = Interruptible::new()?;
    if !desk.context.global.quiet {
        emit(&format!("The lake {}. \\? for help, \\q to leave.", desk.context.global.lake));
    }
    refresh(&mut editor, desk).await?;
    let mut first = String::new();
    loop {
        let prompt = match &desk.view.at {
            Some(at) => format!("sql@{at}> "),
            None => "sql> ".to_owned(),
        };
        let line = match editor.readline_with_initial(&prompt, (&std::mem::take(&mut first), "")) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::new(Exit::Failed, format!("cannot read the terminal: {error}"))),
        };
        if line.trim().is_empty() {
            continue;
        }
        // A history that cannot be kept is no reason to stop.
        let _ = editor.add_history_entry(line.trim_end());
        if let Some(path) = &history {
            let _ = editor.append_history(path);
        }
        let command = line.trim();
        if command == "\\e" || command.starts_with("\\e ") {
            match backslash::edit(editor.history()) {
                Ok(text) => first = text,
                Err(failure) => drop(crate::report(&failure)),
            }
            continue;
        }
        if matches!(command.trim_end_matches(';').trim(), "exit" | "quit") {
            break;
        }
        if command.starts_with('\\') {
            let was = desk.view.at.clone();
            match backslash::run_in_shell(desk, command, &mut interrupts).await {
                Ok(flow) if flow.is_break() => break,
                Ok(_) => {}
                Err(failure) => drop(crate::report(&failure)),
            }
            if was != desk.view.at || command.starts_with("\\at") {
                refresh(&mut editor, desk).await?;
            }
            continue;
        }
        all(desk, statements(None, &line), &[], &mut interrupts).await;
    }
    Ok(Answer::done(json!({})))
}

/// Asks one after the other; what fails or is stopped ends it.
pub async fn all(desk: &mut Desk<'_>, script: Vec<Statement>, declared: &[Declared], interrupts: &mut Interruptible) {
    for statement in script {
        if let Err(failure) = one(desk, statement, declared, interrupts).await {
            crate::report(&failure);
            break;
        }
    }
}

async fn one(
    desk: &mut Desk<'_>,
    statement: Statement,
    declared: &[Declared],
    interrupts: &mut Interruptible,
) -> Result<(), Failure> {
    let asked = desk.prepare(statement, declared, true)?;
    let (is_shown, to) = (asked.is_shown(), asked.output.clone());
    let began = Instant::now();
    // A Ctrl-C of before is over.
    interrupts.signals.mark_unchanged();
    let queries = interrupts.queries.as_ref().map_or_else(Handle::current, |queries| queries.handle().clone());
    let mut running = queries.spawn(asked.run());
    let watch = desk.watch();
    let told: Told = tokio::select! {
        told = &mut running => told.map_err(|_| Failure::new(Exit::Failed, "the query broke off; this is a fault in the program"))??,
        failure = watch.overrun() => {
            running.abort();
            return Err(failure);
        }
        _ = interrupts.signals.changed() => {
            running.abort();
            // Should it not notice soon, the next query need not wait for its threads.
            interrupts.renew()?;
            return Err(Failure::new(Exit::Failed, format!("stopped after {}", span(began.elapsed()))));
        }
    };
    let took = desk.style.timing.then(|| began.elapsed());
    let (rows, more) = (told.rows, told.more);
    let mut text = told.finish()?;
    let count = counted(rows, more, took, "\\rows 0, or \\o FILE for all");
    if let Some(path) = to {
        emit(&format!("{} {count}", path.display()));
    } else if is_shown {
        text.extend(format!("{count}\n").bytes());
        pager::show(&text);
    } else if took.is_some() {
        emit(&count);
    }
    Ok(())
}

/// Where queries run, so that Ctrl-C ends the wait for one at once, and a query that has not noticed yet keeps nobody
/// from leaving the shell.
pub struct Interruptible {
    queries: Option<Runtime>,
    /// Counts each Ctrl-C. While the terminal reads a line, it is a key and no signal.
    signals: watch::Receiver<u64>,
}

impl Interruptible {
    fn new() -> Result<Self, Failure> {
        let failed = |what: &str, e: std::io::Error| Failure::new(Exit::Failed, format!("cannot {what}: {e}"));
        let queries = Some(crate::runtime().map_err(|e| failed("start", e))?);
        let (send, signals) = watch::channel(0);
        let mut caught = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])
            .map_err(|e| failed("listen for Ctrl-C", e))?;
        std::thread::spawn(move || {
            for _ in caught.forever() {
                send.send_modify(|count| *count += 1);
            }
        });
        Ok(Self { queries, signals })
    }

    fn renew(&mut self) -> Result<(), Failure> {
        let queries = crate::runtime().map_err(|e| Failure::new(Exit::Failed, format!("cannot start: {e}")))?;
        if let Some(old) = self.queries.replace(queries) {
            old.shutdown_background();
        }
        Ok(())
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        if let Some(queries) = self.queries.take() {
            queries.shutdown_background();
        }
    }
}

async fn refresh(editor: &mut Editor<Line, FileHistory>, desk: &Desk<'_>) -> Result<(), Failure> {
    let words = Words::new(desk.session.catalog().await?, desk.session.functions());
    editor.set_helper(Some(Line { words, files: FilenameCompleter::new() }));
    Ok(())
}

fn editor() -> Result<Editor<Line, FileHistory>, Failure> {
    let failed = |e: ReadlineError| Failure::new(Exit::Failed, format!("cannot use the terminal: {e}"));
    // Results may go elsewhere; what is typed is still seen.
    let behavior = if std::io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm };
    let config = Config::builder()
        .max_history_size(HISTORY)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(failed)?
        // Like other shells: what begins with a blank is not remembered.
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .behavior(behavior)
        .build();
    Editor::with_config(config).map_err(failed)
}

/// In the user's state folder, for them alone; none when there is no home.
fn history_file() -> Option<PathBuf> {
    let folder = std::env::var_os("XDG_STATE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder =
        folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local").join("state")));
    let folder = folder?.join("pipeline");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("sql_history"))
}

/// What the line editor asks while somebody types.
struct Line {
    words: Words,
    files: FilenameCompleter,
}

impl Helper for Line {}
impl Hinter for Line {
    type Hint = String;
}
impl Highlighter for Line {}

impl Validator for Line {
    fn validate(&self, line: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = line.input();
        let command = text.trim();
        let whole = command.starts_with('\\')
            || matches!(command, "exit" | "quit")
            || is_blank(command)
            || is_complete(command);
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Line {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, context: &LineContext<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line[..pos].trim_start();
        if ["\\i ", "\\o "].iter().any(|command| before.starts_with(command)) {
            return self.files.complete(line, pos, context);
        }
        let (start, words) = self.words.complete(line, pos);
        let pair = |word: String| Pair { display: word.trim_end().to_owned(), replacement: word };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}
