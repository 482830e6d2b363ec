//! The SQL model: `sql/<schema>/<table>.sql` is the table `<schema>.<table>`, built into the program, in the order of its references.

use crate::delta::table::TableName;
use crate::error::LakeError;
use crate::mistake::Statement;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::resolve::resolve_table_references;
use include_dir::{Dir, include_dir};
use std::collections::BTreeSet;

static SQL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sql");

/// The schemas whose files `materialize` turns into Delta tables.
pub const MATERIALIZED: &[&str] = &["traces", "marts", "plans", "stack"];

/// Queries that are asked a second time, of other rows than their file names: one aggregation has one text.
const AGAIN: &[Again] = &[Again {
    view: "features.current_hours",
    head: "One row per resource with samples in the current hour up to session.clock, made by the query of marts.usage_hours. \
           Reads features.current_samples. Key: resource, hour.",
    query: "marts.usage_hours",
    reads: "marts.usage",
    instead: "features.current_samples",
}];

/// A view that is the query of a file with one table in the place of another.
struct Again {
    view: &'static str,
    head: &'static str,
    query: &'static str,
    reads: &'static str,
    instead: &'static str,
}

/// One file under `sql/`, or the query of one of other rows.
#[derive(Clone, Debug)]
pub struct SqlFile {
    /// The table it makes.
    pub name: TableName,
    /// One query.
    pub text: String,
}

impl SqlFile {
    /// Where people find it.
    pub fn path(&self) -> String {
        format!("sql/{}/{}.sql", self.name.schema, self.name.table)
    }

    /// Its opening comment: the grain, what it reads, its key.
    pub fn head(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with("--"));
        lines.map(|line| line.trim_start_matches('-').trim()).collect::<Vec<_>>().join(" ")
    }
}

/// The files of a schema, by name.
pub fn files(schema: &str) -> Vec<SqlFile> {
    let Some(folder) = SQL.get_dir(schema) else { return Vec::new() };
    let files = folder.files().filter_map(|file| {
        let table = file.path().file_stem()?.to_str()?.to_owned();
        file.path().extension().filter(|e| *e == "sql")?;
        let name = TableName { schema: schema.to_owned(), table };
        Some(SqlFile { name, text: file.contents_utf8()?.to_owned() })
    });
    let again = AGAIN.iter().filter_map(|again| Some((again, again.view.strip_prefix(schema)?.strip_prefix('.')?)));
    let again = again.filter_map(|(again, table)| {
        let name = TableName { schema: schema.to_owned(), table: table.to_owned() };
        let text = SQL.get_file(format!("{}.sql", again.query.replace('.', "/")))?.contents_utf8()?;
        let (_, query) = text.split_at(text.find("\nwith").or_else(|| text.find("\nselect"))?);
        Some(SqlFile { name, text: format!("-- {}{}", again.head, query.replace(again.reads, again.instead)) })
    });
    let mut files: Vec<SqlFile> = files.chain(again).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// One of the questions under `sql/session/`.
pub(crate) fn question(name: &str) -> Result<SqlFile, LakeError> {
    let file = files("session").into_iter().find(|file| file.name.table == name);
    file.ok_or_else(|| LakeError::NoTable(format!("session.{name}")))
}

/// Plans a file on some tables.
pub(crate) async fn plan(context: &SessionContext, file: &SqlFile) -> Result<DataFrame, LakeError> {
    context.sql(&file.text).await.map_err(LakeError::sql(file.path()))
}

/// The text behind what an error names: one of our files by its path, or nothing.
pub(crate) fn statement(what: &str) -> Statement {
    let text = what.strip_prefix("sql/").and_then(|path| SQL.get_file(path)).and_then(|file| file.contents_utf8());
    match text {
        Some(text) => Statement::of_file(what, text),
        None => Statement::new(""),
    }
}

/// `schema.table` of every table that our files make, and of those that commands write.
pub(crate) fn names() -> Vec<String> {
    let made = ["traces", "marts", "features", "predictions", "plans", "stack"].into_iter().flat_map(files);
    let written = ["staging.events", "staging.rejects", "plans.items", "session.clock"];
    made.map(|file| file.name.to_string()).chain(written.map(str::to_owned)).collect()
}

/// Everything that `materialize` makes, each after what it reads.
pub(crate) fn materialized(context: &SessionContext) -> Result<Vec<SqlFile>, LakeError> {
    ordered(MATERIALIZED.iter().flat_map(|schema| files(schema)).collect(), context)
}

/// The tables a file reads, as `schema.table`.
pub(crate) fn references(file: &SqlFile, context: &SessionContext) -> Result<BTreeSet<String>, LakeError> {
    let failed = || LakeError::sql(file.path());
    let statement: Parsed =
        context.state().sql_to_statement(&file.text, &datafusion::config::Dialect::Generic).map_err(failed())?;
    let (tables, _) = resolve_table_references(&statement, true).map_err(failed())?;
    Ok(tables.into_iter().filter_map(|t| Some(format!("{}.{}", t.schema()?, t.table()))).collect())
}

/// Sorts files so that each comes after those it reads.
pub(crate) fn ordered(files: Vec<SqlFile>, context: &SessionContext) -> Result<Vec<SqlFile>, LakeError> {
    let names: BTreeSet<String> = files.iter().map(|f| f.name.to_string()).collect();
    let mut waiting = Vec::new();
    for file in files {
        let reads: BTreeSet<String> = references(&file, context)?.intersection(&names).cloned().collect();
        waiting.push((file, reads));
    }
    let (mut done, mut order) = (BTreeSet::new(), Vec::new());
    while !waiting.is_empty() {
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, reads)| reads.is_subset(&done));
        if ready.is_empty() {
            let names: Vec<String> = rest.iter().map(|(file, _)| file.path()).collect();
            let circle = DataFusionError::Plan("these files read each other in a circle".into());
            return Err(LakeError::sql(names.join(", "))(circle));
        }
        for (file, _) in ready {
            done.insert(file.name.to_string());
            order.push(file);
        }
        waiting = rest;
    }
    Ok(order)
}
