//! Values for the `$name` of a query: typed, and bound to its plan. No value ever becomes part of the text.

use crate::error::LakeError;
use crate::query::Failed;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use domain::{Timestamp, time};
use std::collections::{BTreeMap, HashMap};

/// The types that the head of a SQL file can give a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As written.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `2026-10-01T00:00:00Z`, or a date: its first moment.
    Timestamp,
    /// `2026-10-01`.
    Date,
    /// `90s 15m 24h 30d 8w`.
    Duration,
}

/// A parameter as the head of a SQL file declares it: `-- Parameter NAME: TYPE, default VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Without `$`.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// None: it must be given. `Some(None)`: null when it is not given.
    pub default: Option<Option<String>>,
}

/// The values of a query's parameters.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    given: BTreeMap<String, String>,
    declared: Vec<Declared>,
}

impl Kind {
    const NAMES: [(&'static str, Self); 6] = [
        ("text", Self::Text),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("timestamp", Self::Timestamp),
        ("date", Self::Date),
        ("duration", Self::Duration),
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("text", |(name, _)| name)
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::Duration => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        }
    }
}

impl Declared {
    /// What the head of a SQL file declares. A line that begins so and cannot be read is an error in words.
    pub fn read(text: &str) -> Result<Vec<Self>, String> {
        let head = text.lines().map(str::trim).take_while(|line| line.starts_with("--"));
        let lines = head.filter_map(|line| line.trim_start_matches('-').trim().strip_prefix("Parameter "));
        lines
            .map(|line| {
                Self::line(line)
                    .ok_or_else(|| format!("cannot read `-- Parameter {line}`: write NAME: TYPE, default VALUE"))
            })
            .collect()
    }

    fn line(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once(':')?;
        let name = name.trim().trim_start_matches('$');
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let (kind, rest) = match rest.split_once(',') {
            Some((kind, rest)) => (kind, Some(rest.trim())),
            None => (rest, None),
        };
        let kind = kind.trim().trim_end_matches('.');
        let kind = Kind::NAMES.iter().find(|(name, _)| *name == kind)?.1;
        let default = match rest {
            None => None,
            Some(rest) => {
                let value = rest.strip_prefix("default ")?.trim();
                let value = match value.strip_prefix('\'').and_then(|quoted| quoted.split_once('\'')) {
                    Some((quoted, _)) => quoted,
                    None => value.split([' ', ',']).next()?.trim_end_matches('.'),
                };
                Some((value != "null").then(|| value.to_owned()))
            }
        };
        plain.then(|| Self { name: name.to_owned(), kind, default })
    }
}

impl Parameters {
    /// Values as given, with what the query's file declares.
    pub fn new(given: BTreeMap<String, String>, declared: Vec<Declared>) -> Self {
        Self { given, declared }
    }

    /// Texts for a query of our own.
    pub(crate) fn texts(given: &[(&str, &str)]) -> Self {
        let given = given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Self { given, declared: Vec::new() }
    }

    /// Binds every placeholder of a plan.
    pub(crate) fn bind(&self, plan: LogicalPlan, failed: &Failed) -> Result<LogicalPlan, LakeError> {
        let types = placeholders(&plan).map_err(|e| failed.says(&e))?;
        if types.is_empty() {
            return Ok(plan);
        }
        let mut values = HashMap::new();
        for (name, inferred) in &types {
            values.insert(name.clone(), self.value(name, inferred.as_ref(), types.keys())?);
        }
        let values: Vec<(&str, ScalarValue)> =
            values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        plan.with_param_values(values).map_err(|e| failed.says(&e))
    }

    fn value<'a>(
        &self,
        name: &str,
        inferred: Option<&DataType>,
        known: impl Iterator<Item = &'a String>,
    ) -> Result<ScalarValue, LakeError> {
        let declared = self.declared.iter().find(|declared| declared.name == name);
        let default = declared.and_then(|declared| declared.default.as_ref());
        let data_type = match declared {
            Some(declared) => declared.kind.data_type(),
            None => inferred.cloned().unwrap_or(DataType::Utf8),
        };
        match (self.given.get(name), default) {
            (Some(text), _) | (None, Some(Some(text))) => typed(text, &data_type).ok_or_else(|| LakeError::Parameter {
                problem: format!("parameter {name}: {text} is no {}", words(&data_type)),
                hint: format!("write it as {}", example(&data_type)),
            }),
            (None, Some(None)) => null(&data_type),
            (None, None) => Err(LakeError::Parameter {
                problem: format!("parameter {name} has no value"),
                hint: format!("give it: --param {name}=VALUE. The parameters are {}", list(known)),
            }),
        }
    }
}

fn null(data_type: &DataType) -> Result<ScalarValue, LakeError> {
    let failed = LakeError::sql("the query");
    ScalarValue::try_from(data_type).map_err(failed)
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<&str> = names.map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}

/// The names of a plan's placeholders, without `$`, sorted.
pub(crate) fn names(plan: &LogicalPlan) -> Result<Vec<String>, DataFusionError> {
    Ok(placeholders(plan)?.into_keys().collect())
}

/// Each placeholder with the type that its place asks for, where there is one that does.
fn placeholders(plan: &LogicalPlan) -> Result<BTreeMap<String, Option<DataType>>, DataFusionError> {
    let mut found: BTreeMap<String, Option<DataType>> = BTreeMap::new();
    plan.apply_with_subqueries(|plan| {
        // The engine gives no type to what stands in `limit $n`.
        let of_place = matches!(plan, LogicalPlan::Limit(_)).then_some(DataType::Int64);
        plan.apply_expressions(|expression| {
            expression.apply(|expression| {
                if let Expr::Placeholder(placeholder) = expression {
                    let name = placeholder.id.trim_start_matches('$').to_owned();
                    let data_type = placeholder.field.as_ref().map(|field| field.data_type().clone());
                    let data_type = data_type.or_else(|| of_place.clone());
                    let known = found.entry(name).or_default();
                    *known = known.take().or(data_type.filter(|data_type| *data_type != DataType::Null));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// A text as a value of a type; none when it is none.
fn typed(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    let moment =
        || Timestamp::parse(text).or_else(|| time::parse_since(text, Timestamp(i64::MAX)).filter(|_| is_date(text)));
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(ScalarValue::from(text)),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => ScalarValue::from(text.trim().parse::<i128>().ok()?.to_string()).cast_to(data_type).ok(),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let number: f64 = text.trim().parse().ok()?;
            ScalarValue::from(number).cast_to(data_type).ok().filter(|_| number.is_finite())
        }
        DataType::Timestamp(..) => {
            ScalarValue::TimestampMicrosecond(Some(moment()?.0), Some("UTC".into())).cast_to(data_type).ok()
        }
        DataType::Date32 | DataType::Date64 => {
            ScalarValue::from(text.trim()).cast_to(data_type).ok().filter(|_| is_date(text))
        }
        DataType::Boolean => match text.trim() {
            "true" => Some(ScalarValue::from(true)),
            "false" => Some(ScalarValue::from(false)),
            _ => None,
        },
        DataType::Interval(_) | DataType::Duration(_) => {
            let micros = time::parse_span(text)?;
            let span = IntervalMonthDayNanoType::make_value(0, 0, micros.checked_mul(1000)?);
            match data_type {
                DataType::Duration(_) => ScalarValue::DurationMicrosecond(Some(micros)).cast_to(data_type).ok(),
                _ => Some(ScalarValue::IntervalMonthDayNano(Some(span))),
            }
        }
        _ => ScalarValue::from(text).cast_to(data_type).ok(),
    }
}

/// `2026-10-01` and nothing else.
fn is_date(text: &str) -> bool {
    let text = text.trim().as_bytes();
    text.len() == 10 && text[4] == b'-' && text[7] == b'-'
}

fn words(data_type: &DataType) -> &'static str {
    match data_type {
        data_type if data_type.is_integer() => "whole number",
        data_type if data_type.is_numeric() => "number",
        DataType::Timestamp(..) => "time",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Boolean => "truth value",
        DataType::Interval(_) | DataType::Duration(_) => "duration",
        _ => "value of its type",
    }
}

fn example(data_type: &DataType) -> &'static str {
    match data_type {
        data_type if data_type.is_integer() => "20",
        data_type if data_type.is_numeric() => "0.5",
        DataType::Timestamp(..) => "2026-10-01T00:00:00Z or 2026-10-01",
        DataType::Date32 | DataType::Date64 => "2026-10-01",
        DataType::Boolean => "true or false",
        DataType::Interval(_) | DataType::Duration(_) => "90s, 15m, 24h, 30d or 8w",
        _ => "the query expects it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_file_declares_parameters() {
        let text = "-- One row per job.\n-- Parameter repo: text, default null\n-- Parameter since: duration, default 30d.\n-- Parameter top: integer, default 20 rows are shown\n-- Parameter pr: text\nselect 1";
        let declared = Declared::read(text).unwrap();
        let shown: Vec<_> = declared.iter().map(|d| (d.name.as_str(), d.kind.name(), d.default.clone())).collect();
        assert_eq!(
            shown,
            [
                ("repo", "text", Some(None)),
                ("since", "duration", Some(Some("30d".into()))),
                ("top", "integer", Some(Some("20".into()))),
                ("pr", "text", None),
            ]
        );
        for bad in ["-- Parameter repo", "-- Parameter a b: text", "-- Parameter x: colour", "-- Parameter x: text, 7"]
        {
            assert!(Declared::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_has_its_type_or_is_none() {
        let time = Kind::Timestamp.data_type();
        for (text, data_type, good) in [
            ("20", Kind::Integer.data_type(), true),
            ("2.5", Kind::Integer.data_type(), false),
            ("1; drop table x", Kind::Integer.data_type(), false),
            ("99999999999999999999", Kind::Integer.data_type(), false),
            ("2.5", Kind::Number.data_type(), true),
            ("inf", Kind::Number.data_type(), false),
            ("2026-10-01", time.clone(), true),
            ("2026-10-01T00:00:00+02:00", time.clone(), true),
            ("yesterday", time, false),
            ("2026-13-01", Kind::Date.data_type(), false),
            ("2026-12-01", Kind::Date.data_type(), true),
            ("30d", Kind::Duration.data_type(), true),
            ("30 days", Kind::Duration.data_type(), false),
            ("yes", DataType::Boolean, false),
        ] {
            assert_eq!(typed(text, &data_type).is_some(), good, "{text} as {data_type}");
        }
    }
}
