//! The documentation as SQL sees it: `session.tables`, `session.columns`, and `describe`.

use super::{documented, sound};
use crate::delta::table::TableName;
use crate::error::LakeError;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{DescribeAlias, Ident, ObjectNamePart, Statement as Parsed};
use std::sync::Arc;

/// `session.tables` and `session.columns`.
pub(crate) fn tables() -> Result<Vec<(TableName, MemTable)>, LakeError> {
    sound()?;
    let text = |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let tables = vec![
        ("table_name", text(documented().map(|table| table.name.clone()).collect())),
        ("description", text(documented().map(|table| table.description.clone()).collect())),
        ("key", text(documented().map(|table| table.key.join(", ")).collect())),
    ];
    let columns: Vec<_> =
        documented().flat_map(|table| (1..).zip(&table.columns).map(move |(at, column)| (table, at, column))).collect();
    let rules = |rules: &[super::Rule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let columns = vec![
        ("table_name", text(columns.iter().map(|(table, ..)| table.name.clone()).collect())),
        ("column_name", text(columns.iter().map(|(.., column)| column.name.clone()).collect())),
        ("position", Arc::new(Int64Array::from_iter_values(columns.iter().map(|(_, at, _)| *at))) as ArrayRef),
        ("description", text(columns.iter().map(|(.., column)| column.description.clone()).collect())),
        ("rules", text(columns.iter().map(|(.., column)| rules(&column.rules)).collect())),
    ];
    [("tables", tables), ("columns", columns)]
        .into_iter()
        .map(|(name, columns)| {
            let name = TableName { schema: "session".into(), table: name.into() };
            let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), false);
            let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
            let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, column)| column).collect())
                .map_err(LakeError::columns(&name.to_string()))?;
            let table = MemTable::try_new(schema, vec![vec![batch]]).map_err(LakeError::sql(name.to_string()))?;
            Ok((name, table))
        })
        .collect()
}

/// The query that a `describe` stands for: the columns with their types and meaning, and what must hold of them in
/// brackets. None for any other statement, and for a table that is not there: the engine says that best.
pub(crate) fn described(sql: &str, context: &SessionContext) -> Option<String> {
    let dialect = datafusion::config::Dialect::Generic;
    let Ok(Statement::Statement(statement)) = context.state().sql_to_statement(sql, &dialect) else { return None };
    let Parsed::ExplainTable { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, table_name, .. } =
        *statement
    else {
        return None;
    };
    let word =
        |ident: &Ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
    let words: Vec<String> = table_name.0.iter().filter_map(ObjectNamePart::as_ident).map(word).collect();
    let (schema, table) = match words.as_slice() {
        [table] => ("marts".to_owned(), table.clone()),
        [.., schema, table] => (schema.clone(), table.clone()),
        [] => return None,
    };
    let there = context.table_exist(TableReference::partial(schema.as_str(), table.as_str())).unwrap_or(false);
    let [schema, table] = [schema, table].map(|name| name.replace('\'', "''"));
    there.then(|| {
        format!(
            "select
                c.column_name, c.data_type, c.is_nullable,
                concat(d.description, case when d.rules <> '' then concat(' [', d.rules, ']') end) as description
            from information_schema.columns c
            left join session.columns d on d.table_name = '{schema}.{table}' and d.column_name = c.column_name
            where c.table_schema = '{schema}' and c.table_name = '{table}'
            order by c.ordinal_position"
        )
    })
}
