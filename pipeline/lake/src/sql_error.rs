//! An error of the engine, said of the SQL that it came of: a file of `sql/`, or what a person typed.

use crate::error::LakeError;
use crate::mistake::Mistake;
use crate::model;
use datafusion::error::DataFusionError;

impl LakeError {
    pub(crate) fn sql(what: impl Into<String>) -> impl FnOnce(DataFusionError) -> Self {
        let what = what.into();
        move |source| {
            let statement = model::statement(&what);
            let source = Box::new(Mistake::new(&source, &statement, &model::names()));
            Self::Sql { what, source }
        }
    }
}
