//! A schema of a session: what stands on it is opened when a query first names it, at the version it had when the session
//! began. A lookup of one table opens one table, however many a lake has.

use crate::delta::store::Store;
use crate::delta::table::{self, TableName};
use crate::error::LakeError;
use crate::model::{self, SqlFile};
use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use domain::causes::with_causes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a name stands for before it is opened.
#[derive(Debug)]
pub(crate) enum Closed {
    /// A Delta table, at this version.
    Table(i64),
    /// A view, planned when it is asked for. With `may_fail`, one that cannot be planned is not there.
    View { file: SqlFile, may_fail: bool },
}

/// The tables of one schema.
#[derive(Debug)]
pub(crate) struct Shelf {
    open: MemorySchemaProvider,
    closed: Option<Source>,
    /// Of another session, where this one is a part of it.
    below: Option<Arc<dyn SchemaProvider>>,
}

/// What it takes to open something.
struct Source {
    schema: String,
    store: Store,
    /// The engine's; none once that is gone.
    state: Box<dyn Fn() -> Option<SessionState> + Send + Sync>,
    names: BTreeMap<String, Closed>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Shelf {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { open: MemorySchemaProvider::new(), closed: None, below: None }
    }

    /// One with what another one has.
    pub(crate) fn over(below: Arc<dyn SchemaProvider>) -> Self {
        Self { below: Some(below), ..Self::new() }
    }

    /// One whose tables are opened when they are named.
    pub(crate) fn of(schema: &str, names: BTreeMap<String, Closed>, store: Store, context: &SessionContext) -> Self {
        let engine = context.state_weak_ref(); // the engine holds this schema
        let state = Box::new(move || engine.upgrade().map(|state| state.read().clone()));
        let closed = Source { schema: schema.to_owned(), store, state, names };
        Self { closed: Some(closed), ..Self::new() }
    }
}

impl Source {
    async fn open(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, LakeError> {
        let Some(closed) = self.names.get(name) else { return Ok(None) };
        let full = TableName { schema: self.schema.clone(), table: name.to_owned() };
        let Some(state) = (self.state)() else { return Ok(None) };
        match closed {
            Closed::Table(version) => {
                let table = match table::open(&self.store, &full).await? {
                    Some(table) if table::version(&table) == *version => table,
                    // Somebody has written since.
                    _ => match table::open_at(&self.store, &full, *version).await? {
                        Some(table) => table,
                        None => return Ok(None),
                    },
                };
                table::provider(&table, &full, state).await.map(Some)
            }
            Closed::View { file, may_fail } => {
                let planned = model::plan(&SessionContext::new_with_state(state), file).await;
                match planned {
                    Ok(view) => Ok(Some(view.into_view())),
                    Err(_) if *may_fail => Ok(None),
                    Err(error) => Err(error),
                }
            }
        }
    }
}

#[async_trait]
impl SchemaProvider for Shelf {
    fn table_names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> = self.open.table_names().into_iter().collect();
        names.extend(self.closed.iter().flat_map(|source| source.names.keys().cloned()));
        names.extend(self.below.iter().flat_map(|below| below.table_names()));
        names.into_iter().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(found) = self.open.table(name).await? {
            return Ok(Some(found));
        }
        let found = match (&self.closed, &self.below) {
            (Some(source), _) if source.names.contains_key(name) => {
                // The engine hands on one text.
                source.open(name).await.map_err(|error| DataFusionError::External(with_causes(&error).into()))?
            }
            (_, Some(below)) => below.table(name).await?,
            _ => None,
        };
        if let Some(found) = &found
            && !self.open.table_exist(name)
        {
            // Who opened it at the same time has put the same there.
            let _ = self.open.register_table(name.to_owned(), found.clone());
        }
        Ok(found)
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let before = self.open.deregister_table(&name)?;
        self.open.register_table(name, table)?;
        Ok(before)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        self.open.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.open.table_exist(name)
            || self.closed.as_ref().is_some_and(|source| source.names.contains_key(name))
            || self.below.as_ref().is_some_and(|below| below.table_exist(name))
    }
}
