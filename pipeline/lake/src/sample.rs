//! A query's rows as observations for the judge: its columns by name, read strictly. What is no measurement is an error and not
//! a guess; only a missing value is left out, and counted.

use crate::engine::session::Session;
use crate::error::LakeError;
use crate::mistake::Statement;
use crate::query::{Parameters, asked, is_blank, statements};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use domain::judge::Observation;

/// The observations of one arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Rows with a value.
    pub observations: Vec<Observation>,
    /// Rows without one.
    pub without_value: usize,
}

/// A column that is not what it must be.
fn wrong(problem: String, hint: &str) -> LakeError {
    LakeError::Sample { problem, hint: hint.to_owned() }
}

impl Session {
    /// The observations of a query: a column `metric`, and where they are there `ts`, `unit` and `censored`. `arm` is how the
    /// query is called in errors.
    pub async fn samples(&self, arm: &str, sql: &str, metric: &str) -> Result<Samples, LakeError> {
        let mut statements = statements(None, sql);
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            let found = if is_blank(sql) { "is no query" } else { "is more than one statement" };
            return Err(wrong(format!("the {arm} {found}"), "give it one select statement"));
        };
        self.observations(arm, &statement, &Parameters::texts(&[]), metric).await
    }

    /// The observations of a question of `sql/session`, with the parameters that its head declares.
    pub async fn answer(&self, question: &str, given: &[(&str, &str)], metric: &str) -> Result<Samples, LakeError> {
        let (statement, parameters) = asked(question, given)?;
        self.observations(question, &statement, &parameters, metric).await
    }

    async fn observations(
        &self,
        arm: &str,
        statement: &Statement,
        parameters: &Parameters,
        metric: &str,
    ) -> Result<Samples, LakeError> {
        let mut query = self.start(statement, parameters).await?;
        if query.schema().index_of(metric).is_err() {
            let names: Vec<_> = query.schema().fields().iter().map(|field| field.name().as_str()).collect();
            let problem = format!("the {arm} has no column {metric}");
            return Err(LakeError::Sample {
                problem,
                hint: format!("its columns are {}: name one `{metric}`, or choose one with --metric", names.join(", ")),
            });
        }
        let mut samples = Samples::default();
        while let Some(batch) = query.next().await? {
            take(arm, metric, &batch, &mut samples)?;
        }
        Ok(samples)
    }
}

fn take(arm: &str, metric: &str, batch: &RecordBatch, samples: &mut Samples) -> Result<(), LakeError> {
    let column = |name: &str| batch.column_by_name(name);
    let Some(values) = column(metric) else { return Ok(()) };
    let values = numbers(arm, metric, values)?;
    let times = column("ts").map(|column| times(arm, column)).transpose()?;
    let units = column("unit").map(|column| converted(arm, "unit", column, &DataType::Utf8)).transpose()?;
    let units = units.as_ref().map(|units| units.as_string::<i32>());
    let censored = column("censored").map(|column| flags(arm, column)).transpose()?;
    for n in 0..batch.num_rows() {
        if values.is_null(n) {
            samples.without_value += 1;
            continue;
        }
        let missing = |name: &str| {
            wrong(
                format!("a row of the {arm} has no {name}"),
                "give every row one, leave those rows out, or leave the column out",
            )
        };
        let at = match &times {
            Some(times) if times.is_null(n) => return Err(missing("ts")),
            Some(times) => Some(times.value(n)),
            None => None,
        };
        let unit = match units {
            Some(units) if units.is_null(n) => return Err(missing("unit")),
            Some(units) => Some(units.value(n).to_owned()),
            None => None,
        };
        let censored = censored.as_ref().is_some_and(|flags| flags.is_valid(n) && flags.value(n));
        samples.observations.push(Observation { value: values.value(n), at, unit, censored });
    }
    Ok(())
}

fn converted(arm: &str, name: &str, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, LakeError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &strict).map_err(|error| {
        let what = plain(column.data_type());
        wrong(format!("the column {name} of the {arm}, {what}, cannot be read: {error}"), hint(name))
    })
}

fn hint(name: &str) -> &'static str {
    match name {
        "ts" => "ts is a time, or a number that grows with time",
        "unit" => "unit is a text or a number that names who or what was assigned to an arm",
        "censored" => "censored is true, or 1, where the value is only known to be at least this",
        _ => "a metric is a number: convert it in the query, as in `cast(x as double) as value`",
    }
}

fn plain(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "a text".to_owned(),
        DataType::Boolean => "true or false".to_owned(),
        DataType::Null => "always missing".to_owned(),
        other => format!("of type {other}"),
    }
}

fn numbers(arm: &str, name: &str, column: &ArrayRef) -> Result<Float64Array, LakeError> {
    let data_type = column.data_type();
    let is_measure = data_type.is_numeric() || matches!(data_type, DataType::Boolean | DataType::Null);
    if !is_measure {
        return Err(wrong(format!("the column {name} of the {arm} is {}, no number", plain(data_type)), hint(name)));
    }
    Ok(converted(arm, name, column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// Microseconds of a time; a number as it is, or in millionths where it has a fraction.
fn times(arm: &str, column: &ArrayRef) -> Result<Int64Array, LakeError> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    match column.data_type() {
        data_type if data_type.is_integer() => {
            Ok(converted(arm, "ts", column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        data_type if data_type.is_numeric() => {
            let numbers = converted(arm, "ts", column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            if let Some(wild) = numbers.iter().flatten().find(|at| at.is_nan() || at.abs() > 9e12) {
                return Err(wrong(format!("a ts of the {arm} is {wild}"), hint("ts")));
            }
            Ok(numbers.unary(|at| (at * 1e6).round() as i64))
        }
        DataType::Null => Ok(Int64Array::new_null(column.len())),
        data_type if data_type.is_temporal() || data_type.is_string() => {
            let times = converted(arm, "ts", column, &micros)?;
            Ok(times.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
        }
        other => Err(wrong(format!("the column ts of the {arm} is {}", plain(other)), hint("ts"))),
    }
}

fn flags(arm: &str, column: &ArrayRef) -> Result<BooleanArray, LakeError> {
    match column.data_type() {
        DataType::Boolean | DataType::Null => {
            Ok(converted(arm, "censored", column, &DataType::Boolean)?.as_boolean().clone())
        }
        data_type if data_type.is_integer() => {
            let numbers = converted(arm, "censored", column, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            if let Some(other) = numbers.iter().flatten().find(|number| !(0..=1).contains(number)) {
                return Err(wrong(format!("the column censored of the {arm} holds {other}"), hint("censored")));
            }
            Ok(numbers.iter().map(|number| number.map(|number| number == 1)).collect())
        }
        other => Err(wrong(format!("the column censored of the {arm} is {}", plain(other)), hint("censored"))),
    }
}
