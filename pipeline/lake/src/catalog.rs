//! What can be asked for: the tables of a session, their columns, and the functions.

use crate::delta::table::TableName;
use crate::engine::session::Session;
use crate::error::LakeError;
use datafusion::catalog::TableProvider;
use datafusion::datasource::TableType;
use std::sync::Arc;

/// A table as `\d` and completion show it.
#[derive(Clone, Debug)]
pub struct TableInfo {
    /// Its two names.
    pub name: TableName,
    /// Made anew for each query that reads it.
    pub is_view: bool,
    /// Its columns in their order.
    pub columns: Vec<ColumnInfo>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type as SQL people know it: `text`, `bigint`, `timestamp`.
    pub data_type: String,
    /// Whether it may be null.
    pub nullable: bool,
}

impl Session {
    /// The tables and views, by name, without the engine's own.
    pub async fn catalog(&self) -> Result<Vec<TableInfo>, LakeError> {
        let mut tables = Vec::new();
        for name in self.names() {
            if let Some(provider) = self.provider(&name).await? {
                tables.push(info(name, &provider));
            }
        }
        Ok(tables)
    }

    /// One table; a name without a schema is looked for in `marts`, as in a query.
    pub async fn describe(&self, name: &str) -> Result<TableInfo, LakeError> {
        let (schema, table) = name.split_once('.').unwrap_or(("marts", name));
        let full = TableName { schema: schema.to_lowercase(), table: table.to_lowercase() };
        match self.provider(&full).await? {
            Some(provider) => Ok(info(full, &provider)),
            None => Err(LakeError::NoTable(full.to_string())),
        }
    }

    /// The names of the functions that a query can call.
    pub fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let mut names: Vec<String> = state.scalar_functions().keys().cloned().collect();
        names.extend(state.aggregate_functions().keys().cloned());
        names.extend(state.window_functions().keys().cloned());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `schema.table` of every table.
    pub(crate) fn table_names(&self) -> Vec<String> {
        self.names().iter().map(ToString::to_string).collect()
    }

    fn names(&self) -> Vec<TableName> {
        let Some(catalog) = self.context.catalog("lake") else { return Vec::new() };
        let mut names = Vec::new();
        for schema in catalog.schema_names() {
            let tables = catalog.schema(&schema).map(|found| found.table_names()).unwrap_or_default();
            // A name with a dot or a slash is a file that a query named.
            let tables = tables.into_iter().filter(|table| !table.contains(['.', '/']));
            names.extend(tables.map(|table| TableName { schema: schema.clone(), table }));
        }
        names.sort();
        names
    }

    async fn provider(&self, name: &TableName) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
        let schema = self.context.catalog("lake").and_then(|catalog| catalog.schema(&name.schema));
        match schema {
            Some(schema) => schema.table(&name.table).await.map_err(LakeError::sql(name.to_string())),
            None => Ok(None),
        }
    }
}

fn info(name: TableName, provider: &Arc<dyn TableProvider>) -> TableInfo {
    let schema = provider.schema();
    let columns = schema.fields().iter().map(|field| ColumnInfo {
        name: field.name().clone(),
        data_type: sql_type(field.data_type()),
        nullable: field.is_nullable(),
    });
    TableInfo { name, is_view: provider.table_type() == TableType::View, columns: columns.collect() }
}

/// An Arrow type by the name that SQL has for it.
fn sql_type(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType as T;
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text".into(),
        T::Int64 => "bigint".into(),
        T::Int32 => "integer".into(),
        T::Int16 | T::Int8 => "smallint".into(),
        T::UInt64 | T::UInt32 | T::UInt16 | T::UInt8 => "unsigned integer".into(),
        T::Float64 => "double".into(),
        T::Float32 | T::Float16 => "real".into(),
        T::Boolean => "boolean".into(),
        T::Date32 | T::Date64 => "date".into(),
        T::Timestamp(_, Some(_)) => "timestamp (UTC)".into(),
        T::Timestamp(_, None) => "timestamp".into(),
        T::Decimal128(precision, scale) | T::Decimal256(precision, scale) => format!("decimal({precision}, {scale})"),
        T::Binary | T::LargeBinary | T::BinaryView => "bytes".into(),
        T::List(item) | T::LargeList(item) | T::ListView(item) => format!("{}[]", sql_type(item.data_type())),
        T::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type())));
            format!("struct({})", fields.collect::<Vec<_>>().join(", "))
        }
        T::Duration(_) | T::Interval(_) => "interval".into(),
        other => other.to_string().to_lowercase(),
    }
}
