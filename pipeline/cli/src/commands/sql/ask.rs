//! One statement asked and its result shown, by the style of the moment.

use crate::commands::sql::Form;
use crate::commands::sql::output::Sink;
use crate::commands::sql::watch::Watch;
use crate::context::{Context, emit, reader_gone};
use crate::failure::{Exit, Failure};
use lake::{Declared, Expanded, Grid, Lake, LakeError, OutputFormat, Parameters, Session, Statement, View};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More JSON than this is no one object that a program can take in.
const JSON_BYTES: usize = 256 << 20;

/// How results are shown.
#[derive(Clone, Debug)]
pub struct Style {
    /// The format.
    pub format: Form,
    /// In CSV, no text is taken for a formula.
    pub spreadsheet_safe: bool,
    /// One value a line.
    pub expanded: Expanded,
    /// Rows of a table on a terminal; 0: all.
    pub max_rows: usize,
    /// Whether the shell says how long a statement took.
    pub timing: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { format: Form::Table, spreadsheet_safe: false, expanded: Expanded::Auto, max_rows: 1000, timing: true }
    }
}

/// What one works with while asking: the lake, how it is seen, how results are shown.
pub struct Desk<'a> {
    /// What every command has.
    pub context: &'a Context,
    lake: Lake,
    /// The tables.
    pub session: Arc<Session>,
    /// How the lake is seen.
    pub view: View,
    /// How results are shown.
    pub style: Style,
    /// Values of `$name`.
    pub given: BTreeMap<String, String>,
    /// Where every result goes, when not to standard output.
    pub output: Option<PathBuf>,
    /// Where the next one goes alone.
    pub next_output: Option<PathBuf>,
}

/// One statement with all it needs, so that it can run apart from the shell.
pub struct Asked {
    session: Arc<Session>,
    statement: Statement,
    parameters: Parameters,
    format: OutputFormat,
    grid: Grid,
    sink: Sink,
    /// The file, when it goes to one.
    pub output: Option<PathBuf>,
}

/// What came of it.
pub struct Told {
    /// Rows written.
    pub rows: u64,
    /// Whether there are more than were written.
    pub more: bool,
    sink: Sink,
}

impl Asked {
    /// Whether a table is shown to somebody.
    pub fn is_shown(&self) -> bool {
        self.format == OutputFormat::Table && self.output.is_none()
    }

    /// Runs the statement and writes its rows.
    pub async fn run(mut self) -> Result<Told, LakeError> {
        let query = self.session.start(&self.statement, &self.parameters).await?;
        let (rows, more) = match self.format {
            OutputFormat::Table => {
                let shown = query.table(self.grid, &mut self.sink).await?;
                (shown.rows as u64, shown.more)
            }
            format => (query.write(format, &mut self.sink).await?, false),
        };
        Ok(Told { rows, more, sink: self.sink })
    }
}

impl Told {
    /// Puts the result in its place; gives what was written to memory.
    pub fn finish(self) -> Result<Vec<u8>, Failure> {
        self.sink.finish()
    }
}

impl<'a> Desk<'a> {
    /// Opens the lake.
    pub async fn open(
        context: &'a Context,
        view: View,
        style: Style,
        given: BTreeMap<String, String>,
        output: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let lake = context.lake().await?;
        let session = Arc::new(session(context, &lake, &view).await?);
        Ok(Self { context, lake, session, view, style, given, output, next_output: None })
    }

    /// Opens the lake again: as it is now, or as it was.
    pub async fn look(&mut self, view: View) -> Result<(), Failure> {
        self.session = Arc::new(session(self.context, &self.lake, &view).await?);
        self.view = view;
        Ok(())
    }

    /// Refuses a value for a parameter that no statement has.
    pub async fn know_parameters(&self, script: &[Statement], declared: &[Declared]) -> Result<(), Failure> {
        if self.given.is_empty() {
            return Ok(());
        }
        let mut known: BTreeSet<String> = declared.iter().map(|declared| declared.name.clone()).collect();
        for statement in script {
            known.extend(self.session.parameters(statement).await?);
        }
        let Some(unknown) = self.given.keys().find(|name| !known.contains(*name)) else { return Ok(()) };
        let known: Vec<_> = known.into_iter().collect();
        let hint = match known.is_empty() {
            true => "the query has no parameters; one is written $name".to_owned(),
            false => format!("the parameters are {}", known.join(", ")),
        };
        Err(Failure::new(Exit::Usage, format!("there is no parameter {unknown}")).hint(hint))
    }

    /// A statement ready to run; in the shell, its table is kept in memory for the pager.
    pub fn prepare(&mut self, statement: Statement, declared: &[Declared], shell: bool) -> Result<Asked, Failure> {
        let terminal = std::io::stdout().is_terminal();
        let form = self.next_output.as_deref().and_then(Form::of_ending).unwrap_or(self.style.format);
        let output = self.next_output.take().or_else(|| self.output.clone());
        let format = match OutputFormat::from(form) {
            OutputFormat::Csv if self.style.spreadsheet_safe => OutputFormat::SpreadsheetCsv,
            format => format,
        };
        if format == OutputFormat::Parquet && output.is_none() && terminal {
            return Err(Failure::new(Exit::Usage, "Parquet is not for a terminal")
                .hint("write it to a file: -o runs.parquet, in the shell \\o runs.parquet"));
        }
        let is_table = format == OutputFormat::Table;
        let to_screen = output.is_none() && terminal;
        let grid = Grid {
            width: if to_screen { self.context.width() } else { 0 },
            expanded: self.style.expanded,
            colour: to_screen && std::env::var_os("NO_COLOR").is_none(),
            rows: (to_screen && self.style.max_rows > 0).then_some(self.style.max_rows),
        };
        let sink = match &output {
            Some(path) => Sink::file(self.context, path)?,
            None if shell && is_table && to_screen && grid.rows.is_some() => Sink::Memory(Vec::new()),
            // The cells of a table are visible already, and its own dimming must pass.
            None => Sink::stdout(!is_table),
        };
        let parameters = Parameters::new(self.given.clone(), declared.to_vec());
        Ok(Asked { session: self.session.clone(), statement, parameters, format, grid, sink, output })
    }

    /// Asks and shows; gives what `--json` prints.
    pub async fn ask(&mut self, statement: Statement, declared: &[Declared]) -> Result<Value, Failure> {
        if self.context.global.json && self.output.is_none() && self.next_output.is_none() {
            return self.ask_json(statement, declared).await;
        }
        let began = Instant::now();
        let asked = self.prepare(statement, declared, false)?;
        let (is_shown, output) = (asked.is_shown(), asked.output.clone());
        let watch = self.watch();
        let told = tokio::select! {
            told = asked.run() => told,
            failure = watch.overrun() => return Err(failure),
        };
        let told = match told {
            Ok(told) => told,
            // `| head` has seen enough.
            Err(LakeError::Format(..)) if output.is_none() && reader_gone() => return Ok(json!({"row_count": null})),
            Err(error) => return Err(error.into()),
        };
        let (rows, more) = (told.rows, told.more);
        told.finish()?;
        if is_shown && !self.context.global.quiet {
            let took = std::io::stdout().is_terminal().then(|| began.elapsed());
            emit(&counted(rows, more, took, "--max-rows 0, or -o FILE for all"));
        }
        Ok(json!({"row_count": rows, "output": output}))
    }

    /// Somebody who looks that a query takes no more than it may.
    pub fn watch(&self) -> Watch {
        Watch::begin(self.view.memory_bytes.unwrap_or(usize::MAX))
    }

    async fn ask_json(&mut self, statement: Statement, declared: &[Declared]) -> Result<Value, Failure> {
        let parameters = Parameters::new(self.given.clone(), declared.to_vec());
        let watch = self.watch();
        let read = async { self.session.start(&statement, &parameters).await?.json(JSON_BYTES).await };
        let rows = tokio::select! {
            rows = read => rows?,
            failure = watch.overrun() => return Err(failure),
        };
        let rows = rows.ok_or_else(|| {
            Failure::new(Exit::Failed, "the result is too large for one JSON object")
                .hint("--format ndjson, csv or parquet hold any number of rows")
        })?;
        Ok(json!({"row_count": rows.len(), "rows": rows}))
    }
}

async fn session(context: &Context, lake: &Lake, view: &View) -> Result<Session, Failure> {
    let future = match &view.at {
        Some(lake::At::Time(time)) => time.0 > context.now.0.max(chrono::Utc::now().timestamp_micros()),
        _ => false,
    };
    if let (true, Some(at)) = (future, &view.at) {
        return Err(Failure::new(Exit::Usage, format!("--at {at} lies in the future"))
            .hint("without --at, the lake is read as it is now"));
    }
    Ok(lake.session_of(context.now, view.clone()).await?)
}

/// What stands below a table: `12 rows · 34 ms`.
pub fn counted(rows: u64, more: bool, took: Option<Duration>, how: &str) -> String {
    let mut text = match (rows, more) {
        (_, true) => format!("({rows} rows shown, there are more: {how}"),
        (1, _) => "(1 row".to_owned(),
        _ => format!("({rows} rows"),
    };
    if let Some(took) = took {
        text.push_str(&format!(" · {}", span(took)));
    }
    text.push(')');
    text
}

/// How long something took, in the unit that suits it.
pub fn span(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    match ms {
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1000.0),
        ms => format!("{} min {:.0} s", (ms / 60_000.0) as u64, (ms % 60_000.0) / 1000.0),
    }
}
