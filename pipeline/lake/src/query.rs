//! Ad-hoc SQL: read-only by construction, row by row to whoever asked.
//!
//! Two locks keep the lake as it is. Of all kinds of statements only those that read are taken, by their syntax; and
//! the plan may hold no node that defines, changes or writes. Files outside the lake have no name in SQL unless the
//! session's view gives them one.

pub(crate) mod cells;
mod columns;
mod files;
mod grid;
mod parameters;
mod statements;
mod write;

pub use cells::{hidden, visible};
pub use grid::{Expanded, Grid, Shown};
pub use parameters::{Declared, Kind, Parameters};
pub use statements::{is_blank, is_complete, statements, words};
pub use write::OutputFormat;

use crate::documentation;
use crate::engine::session::Session;
use crate::error::LakeError;
use crate::lake::Lake;
use crate::mistake::{self, Mistake, Statement};
use crate::model;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::config::Dialect;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement as Ast;
use domain::Timestamp;
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;

/// Operators on one another that a statement may have. The engine reads and plans them by recursion, and takes much for each.
const DEEPEST: usize = 2000;

/// A result in memory.
pub struct Rows {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// A query that runs: its rows come when they are asked for.
pub struct Query {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
    failed: Failed,
}

impl Lake {
    /// Runs one query. Statements that would change anything are refused.
    pub async fn query(&self, sql: &str, now: Timestamp) -> Result<Rows, LakeError> {
        self.session(now).await?.query(sql).await
    }
}

/// A question of `sql/session`, and its parameters by the types that its head declares.
pub fn asked(question: &str, given: &[(&str, &str)]) -> Result<(Statement, Parameters), LakeError> {
    let file = model::question(question)?;
    let declared = Declared::read(&file.text).map_err(|why| LakeError::sql(file.path())(DataFusionError::Plan(why)))?;
    let given = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Ok((model::statement(&file.path()), Parameters::new(given, declared)))
}

impl Session {
    /// Runs one query in this session.
    pub async fn query(&self, sql: &str) -> Result<Rows, LakeError> {
        self.query_with(sql, &[]).await
    }

    /// Runs one query with parameters: `$name` stands for a text, which is never pasted into the query.
    pub async fn query_with(&self, sql: &str, parameters: &[(&str, &str)]) -> Result<Rows, LakeError> {
        let parameters = Parameters::texts(parameters);
        self.start(&Statement::new(sql), &parameters).await?.collect().await
    }

    /// Asks a question of `sql/session`, with the parameters that its head declares.
    pub async fn ask(&self, question: &str, given: &[(&str, &str)]) -> Result<Rows, LakeError> {
        let (statement, parameters) = asked(question, given)?;
        self.start(&statement, &parameters).await?.collect().await
    }

    /// Starts one query: `$name` stands for a value of `parameters`, bound to the plan. What is no query is refused.
    pub async fn start(&self, statement: &Statement, parameters: &Parameters) -> Result<Query, LakeError> {
        let failed = Failed::of(self, statement);
        let plan = self.read_only(statement, &failed).await?;
        let plan = parameters.bind(plan, &failed)?;
        let frame = self.context.execute_logical_plan(plan).await.map_err(|e| failed.says(&e))?;
        let schema = distinct(frame.schema().as_arrow().fields());
        let stream = frame.execute_stream().await.map_err(|e| failed.says(&e))?;
        Ok(Query { schema, stream, failed })
    }

    /// The names of the parameters of a query, without `$`.
    pub async fn parameters(&self, statement: &Statement) -> Result<Vec<String>, LakeError> {
        let failed = Failed::of(self, statement);
        let plan = self.read_only(statement, &failed).await?;
        parameters::names(&plan).map_err(|e| failed.says(&e))
    }

    async fn read_only(&self, statement: &Statement, failed: &Failed) -> Result<LogicalPlan, LakeError> {
        let deep = statements::depth(&statement.text);
        if deep > DEEPEST {
            let says = format!("it is nested too deeply: {deep} operators on one another, more than {DEEPEST}");
            return Err(failed.says(&DataFusionError::Plan(says)));
        }
        let state = self.context.state();
        let described = documentation::described(&statement.text, &self.context);
        let text = described.as_deref().unwrap_or(&statement.text);
        let parsed = state.sql_to_statement(text, &Dialect::Generic).map_err(|e| failed.says(&e))?;
        if !reads(&parsed) {
            let mut words = statements::tokens(&statement.text).into_iter().map(|token| token.token.to_string());
            // Behind EXPLAIN stands what would be done.
            let wrapped = ["EXPLAIN", "ANALYZE", "VERBOSE", "ANALYSE"];
            let word = words.find_map(|word| {
                let word = word.to_uppercase();
                (word.bytes().all(|b| b.is_ascii_uppercase()) && !wrapped.contains(&word.as_str())).then_some(word)
            });
            return Err(LakeError::NotAQuery(word.unwrap_or_else(|| "such statement".to_owned())));
        }
        if self.view.files {
            self.register_files(&parsed, failed).await?;
        }
        let plan = state.statement_to_plan(parsed).await.map_err(|e| failed.says(&e))?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let writes = |_| LakeError::NotAQuery("statement that defines or writes something".to_owned());
        options.verify_plan(&plan).map_err(writes)?;
        Ok(plan)
    }
}

/// Whether a statement only reads.
fn reads(statement: &Parsed) -> bool {
    let ast = |ast: &Ast| {
        matches!(
            ast,
            Ast::Query(_)
                | Ast::ShowTables { .. }
                | Ast::ShowColumns { .. }
                | Ast::ShowFunctions { .. }
                | Ast::ShowVariable { .. }
                | Ast::ExplainTable { .. }
        )
    };
    match statement {
        Parsed::Statement(statement) => match statement.as_ref() {
            Ast::Explain { statement, .. } => ast(statement),
            other => ast(other),
        },
        Parsed::Explain(explain) => reads(&explain.statement),
        _ => false,
    }
}

/// Columns of one name would be one key of a JSON object: the second becomes `name_2`. A column without a name is
/// called by its expression, as SQL writes it.
fn distinct(fields: &arrow::datatypes::Fields) -> SchemaRef {
    let mut seen = HashSet::new();
    let fields = fields.iter().map(|field| {
        let first = mistake::without_types(field.name());
        let mut name = first.clone();
        let mut n = 1;
        while !seen.insert(name.clone()) {
            n += 1;
            name = format!("{first}_{n}");
        }
        Arc::new(field.as_ref().clone().with_name(name))
    });
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

/// What an error of a query is made of.
#[derive(Clone)]
pub(crate) struct Failed {
    statement: Statement,
    tables: Vec<String>,
    absent: Vec<String>,
    at: Option<String>,
    files: bool,
}

impl Failed {
    fn of(session: &Session, statement: &Statement) -> Self {
        Self {
            statement: statement.clone(),
            tables: session.table_names(),
            absent: session.absent.clone(),
            at: session.view.at.as_ref().map(ToString::to_string),
            files: session.view.files,
        }
    }

    pub(crate) fn says(&self, error: &DataFusionError) -> LakeError {
        let mut mistake = Mistake::new(error, &self.statement, &self.tables);
        if let Some(at) = &self.at {
            if mistake.file_missing {
                return LakeError::Forgotten { table: "what the query reads".into(), at: at.clone() };
            }
            if let Some(table) =
                self.absent.iter().find(|table| mistake.message == format!("there is no table {table}"))
            {
                mistake.message = format!("there was no table {table} at {at}");
                mistake.hint = Some("it was made later; without --at it is there".into());
            }
        }
        if !self.files && mistake.is_about_a_file() {
            mistake.hint = Some("queries read local files only with --allow-files".into());
        }
        LakeError::Sql { what: self.statement.what(), source: Box::new(mistake) }
    }
}

impl Query {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        let Some(batch) = self.stream.next().await else { return Ok(None) };
        let batch = batch.map_err(|e| self.failed.says(&e))?;
        // Types may differ in nullability only; the names are those of the result.
        let columns = batch.columns().to_vec();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let fields = self.schema.fields().iter().zip(&columns);
        let fields = fields.map(|(field, column)| {
            field.as_ref().clone().with_data_type(column.data_type().clone()).with_nullable(true)
        });
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options);
        batch.map(Some).map_err(LakeError::columns("the result"))
    }

    /// All rows, in memory.
    pub async fn collect(mut self) -> Result<Rows, LakeError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(Rows { schema: self.schema, batches })
    }

    /// All rows as JSON objects; none when their text is longer than `limit` bytes.
    pub async fn json(self, limit: usize) -> Result<Option<Vec<serde_json::Value>>, LakeError> {
        let mut bytes = Vec::new();
        let mut capped = write::Capped::new(&mut bytes, limit);
        let written = self.write(OutputFormat::Json, &mut capped).await;
        if capped.is_full() {
            return Ok(None);
        }
        written?;
        serde_json::from_slice(&bytes).map(Some).map_err(|e| LakeError::Format("JSON", e.into()))
    }
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows as JSON objects.
    pub fn to_json(&self) -> Result<Vec<serde_json::Value>, LakeError> {
        let mut bytes = Vec::new();
        let mut writer = OutputFormat::Json.writer(&self.schema, &mut bytes)?;
        for batch in &self.batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        serde_json::from_slice(&bytes).map_err(|e| LakeError::Format("JSON", e.into()))
    }
}
