//! Functions that make much out of little, such as `repeat('x', 1e12)`: the engine's memory limit does not see what
//! they make before it is there, so they are asked first how much it will be.

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, StringArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// What one call may make for one batch of rows, in bytes, where the memory of queries has no limit; else an eighth of it, as
/// several calls make something at once, but no less than [`LEAST`].
const MOST: i128 = 512 << 20;
const LEAST: i128 = 8 << 20;

/// Of an element of a list.
const ELEMENT_BYTES: i128 = 8;
/// Of a character, at most.
const CHARACTER_BYTES: i128 = 4;

/// How a function's size follows from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Size {
    /// `generate_series(from, to, step)`.
    Series,
    /// Characters, as many as the argument at this place says.
    Pad(usize),
    /// What the argument at the first place holds, as often as the one at the second says.
    Repeat,
    /// Elements, as many as the argument at this place says.
    Resize(usize),
    /// The first text with the third in each place of the second.
    Replace,
    /// The first text with the third in each place of a pattern, which may be any.
    ReplacePattern,
    /// The elements of the first with the second between them.
    Join,
}

const FUNCTIONS: &[(&str, Size)] = &[
    ("generate_series", Size::Series),
    ("range", Size::Series),
    ("repeat", Size::Repeat),
    ("lpad", Size::Pad(1)),
    ("rpad", Size::Pad(1)),
    ("array_repeat", Size::Repeat),
    ("array_resize", Size::Resize(1)),
    ("replace", Size::Replace),
    ("regexp_replace", Size::ReplacePattern),
    ("array_to_string", Size::Join),
];

/// A replacement that is no longer than this makes no more than so much of a text: patterns are not counted for it.
const SHORT_BYTES: usize = 64;

/// Puts a bound on each of these functions in a session.
pub(crate) fn bound_functions(context: &SessionContext) {
    let most = match context.runtime_env().memory_pool.memory_limit() {
        MemoryLimit::Finite(bytes) => (bytes as i128 / 8).clamp(LEAST, MOST),
        _ => MOST,
    };
    for (name, size) in FUNCTIONS {
        let found = context.state().scalar_functions().get(*name).cloned();
        if let Some(inner) = found {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner, size: *size, most }));
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
    /// In bytes.
    most: i128,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let bytes = Arguments(args).bytes(self.size)?;
        if bytes > self.most {
            return exec_err!("{}() would make {bytes} bytes at once, more than {}", self.name(), self.most);
        }
        Ok(())
    }
}

/// The arguments of a call over a batch of rows.
struct Arguments<'a>(&'a ScalarFunctionArgs);

impl Arguments<'_> {
    /// About what the call makes.
    fn bytes(&self, size: Size) -> Result<i128> {
        let rows = 0..self.0.number_rows;
        Ok(match size {
            Size::Pad(at) => self.sum_of_counts(at) * CHARACTER_BYTES,
            Size::Resize(at) => self.sum_of_counts(at) * ELEMENT_BYTES,
            Size::Repeat => {
                let (count, each) = (self.whole(1), self.lengths(0)?);
                rows.map(|row| value(&count, row, 0).max(0) * each(row)).sum()
            }
            Size::Series => self.series(),
            Size::Replace => {
                let [Some(texts), Some(from), Some(to)] = [self.texts(0)?, self.texts(1)?, self.texts(2)?] else {
                    return Ok(0);
                };
                let more = |row: usize| {
                    let (text, from, to) = (texts.value(row), from.value(row), to.value(row));
                    if to.len() <= from.len() {
                        return text.len() as i128;
                    }
                    text.len() as i128 + text.matches(from).count() as i128 * to.len() as i128
                };
                rows.map(more).sum()
            }
            Size::ReplacePattern => {
                let [Some(texts), Some(to)] = [self.texts(0)?, self.texts(2)?] else { return Ok(0) };
                let long = |row: &usize| to.value(*row).len() > SHORT_BYTES;
                let more = |row: usize| (texts.value(row).len() as i128 + 1) * to.value(row).len() as i128;
                rows.filter(long).map(more).sum()
            }
            Size::Join => {
                let (Some(lists), Some(between)) = (self.array(0)?, self.texts(1)?) else { return Ok(0) };
                let lists = match lists.data_type() {
                    DataType::List(_) => lists.as_list::<i32>().clone(),
                    _ => return Ok(0),
                };
                rows.map(|row| lists.value_length(row) as i128 * (between.value(row).len() as i128 + 1)).sum()
            }
        })
    }

    fn array(&self, at: usize) -> Result<Option<ArrayRef>> {
        self.0.args.get(at).map(|argument| argument.to_array(self.0.number_rows)).transpose()
    }

    fn texts(&self, at: usize) -> Result<Option<StringArray>> {
        let Some(array) = self.array(at)? else { return Ok(None) };
        Ok(Some(cast(&array, &DataType::Utf8)?.as_string::<i32>().clone()))
    }

    /// How many bytes an argument has in a row: of a text its own, of the rest about as many in each.
    fn lengths(&self, at: usize) -> Result<Box<dyn Fn(usize) -> i128>> {
        let Some(array) = self.array(at)? else { return Ok(Box::new(|_| 0)) };
        if matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            let texts = cast(&array, &DataType::Utf8)?.as_string::<i32>().clone();
            return Ok(Box::new(move |row| i128::from(texts.value_length(row)).max(1)));
        }
        let each = (array.get_array_memory_size() / array.len().max(1)) as i128;
        Ok(Box::new(move |_| each.max(ELEMENT_BYTES)))
    }

    fn whole(&self, at: usize) -> Option<Int64Array> {
        let column = self.array(at).ok()??;
        if !column.data_type().is_integer() {
            return None;
        }
        let column = cast(&column, &DataType::Int64).ok()?;
        column.as_any().downcast_ref::<Int64Array>().cloned()
    }

    fn sum_of_counts(&self, at: usize) -> i128 {
        let count = self.whole(at);
        (0..self.0.number_rows).map(|row| value(&count, row, 0).max(0)).sum()
    }

    /// Of numbers, or of days and times with a span between them.
    fn series(&self) -> i128 {
        let (first, second, step) = (self.whole(0), self.whole(1), self.whole(2));
        let rows = 0..self.0.number_rows;
        if first.is_none()
            && let (Some(first), Some(second), Some(span)) = (self.times(0), self.times(1), self.spans(2))
        {
            let count = |row: usize| {
                let apart = i128::from(second.value(row)) - i128::from(first.value(row));
                let step = span.value(row);
                let days = i128::from(step.months) * 28 + i128::from(step.days);
                let step = days * 86_400_000_000_000 + i128::from(step.nanoseconds);
                apart.abs() / step.abs().max(1)
            };
            return rows.map(count).sum::<i128>() * ELEMENT_BYTES;
        }
        let count = |row: usize| {
            let (from, to) = match &second {
                Some(_) => (value(&first, row, 0), value(&second, row, 0)),
                None => (0, value(&first, row, 0)),
            };
            (to - from).abs() / value(&step, row, 1).abs().max(1)
        };
        rows.map(count).sum::<i128>() * ELEMENT_BYTES
    }

    fn times(&self, at: usize) -> Option<TimestampNanosecondArray> {
        let column = self.array(at).ok()??;
        if !matches!(column.data_type(), DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)) {
            return None;
        }
        let column = cast(&column, &DataType::Timestamp(TimeUnit::Nanosecond, None)).ok()?;
        column.as_any().downcast_ref::<TimestampNanosecondArray>().cloned()
    }

    fn spans(&self, at: usize) -> Option<IntervalMonthDayNanoArray> {
        let column = cast(&self.array(at).ok()??, &DataType::Interval(IntervalUnit::MonthDayNano)).ok()?;
        column.as_any().downcast_ref::<IntervalMonthDayNanoArray>().cloned()
    }
}

fn value(column: &Option<Int64Array>, row: usize, default: i128) -> i128 {
    match column {
        Some(column) if column.is_valid(row) => i128::from(column.value(row)),
        _ => default,
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Original(args))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&args)?;
        self.inner.invoke_with_args(args)
    }
}
