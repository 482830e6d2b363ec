//! Functions that make much out of little, such as `repeat('x', 1e12)`: the engine's memory limit does not see what
//! they make before it is there, so they are asked first how much it will be.

use arrow::array::{Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// What one call may make for one batch of rows: elements of lists, or characters of texts.
const MOST: i128 = 64 << 20;

/// How a function's size follows from its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Size {
    /// `generate_series(from, to, step)`.
    Series,
    /// The argument at this place.
    Count(usize),
    /// The text at the first place as often as the argument at the second says.
    Repeat,
}

const FUNCTIONS: &[(&str, Size)] = &[
    ("generate_series", Size::Series),
    ("range", Size::Series),
    ("repeat", Size::Repeat),
    ("lpad", Size::Count(1)),
    ("rpad", Size::Count(1)),
    ("array_repeat", Size::Count(1)),
    ("array_resize", Size::Count(1)),
];

/// Puts a bound on each of these functions in a session.
pub(crate) fn bound_functions(context: &SessionContext) {
    for (name, size) in FUNCTIONS {
        let found = context.state().scalar_functions().get(*name).cloned();
        if let Some(inner) = found {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { inner, size: *size }));
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    size: Size,
}

impl Bounded {
    fn check(&self, args: &ScalarFunctionArgs) -> Result<()> {
        let rows = args.number_rows;
        let whole = |at: usize| -> Option<Int64Array> {
            let column = args.args.get(at)?.to_array(rows).ok()?;
            if !column.data_type().is_integer() {
                return None;
            }
            let column = cast(&column, &DataType::Int64).ok()?;
            column.as_any().downcast_ref::<Int64Array>().cloned()
        };
        let value = |column: &Option<Int64Array>, row: usize, default: i128| match column {
            Some(column) if column.is_valid(row) => i128::from(column.value(row)),
            _ => default,
        };
        let mut most: i128 = 0;
        match self.size {
            Size::Count(at) => {
                let count = whole(at);
                most += (0..rows).map(|row| value(&count, row, 0).max(0)).sum::<i128>();
            }
            Size::Repeat => {
                let count = whole(1);
                let texts = match args.args.first() {
                    Some(texts) => cast(&texts.to_array(rows)?, &DataType::Utf8)?,
                    None => return Ok(()),
                };
                let texts = texts.as_any().downcast_ref::<arrow::array::StringArray>();
                let length = |row: usize| texts.map_or(1, |texts| texts.value_length(row) as i128);
                most += (0..rows).map(|row| value(&count, row, 0).max(0) * length(row)).sum::<i128>();
            }
            Size::Series => {
                let (first, second, step) = (whole(0), whole(1), whole(2));
                for row in 0..rows {
                    let (from, to) = match &second {
                        Some(_) => (value(&first, row, 0), value(&second, row, 0)),
                        None => (0, value(&first, row, 0)),
                    };
                    most += (to - from).abs() / value(&step, row, 1).abs().max(1);
                }
            }
        }
        if most > MOST {
            return exec_err!("{}() would make {most} values at once, more than {MOST}", self.name());
        }
        Ok(())
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
