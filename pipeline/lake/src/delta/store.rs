//! Where a lake is: a folder or an object store, and the small documents beside its tables.

use crate::delta::parquet_file::ParquetFile;
use crate::delta::root::Root;
use crate::delta::rooted::Rooted;
use crate::delta::table_name::TableName;
use crate::error::LakeError;
use chrono::{DateTime, Utc};
use datafusion::prelude::SessionContext;
use deltalake_core::logstore::{ObjectStoreFactory, StorageConfig, logstore_factories, object_store_factories};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError, Path};
use domain::paths::plain;
use futures::{StreamExt, TryStreamExt};
use intake::cloud_options;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};
use url::Url;

/// The file that makes a folder a lake.
pub(crate) const MARKER: &str = "lake.json";

/// The root of a lake on some object store.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) url: Url,
    pub(crate) shown: String,
    /// Of a lake on this machine.
    folder: Option<Root>,
    objects: Arc<dyn ObjectStore>,
    root: Path,
    opened: Arc<Mutex<HashMap<TableName, DeltaTable>>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("url", &self.shown).finish()
    }
}

/// Whether a path holds something like `%20`.
fn encoded(path: &str) -> bool {
    path.split('%').skip(1).any(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

/// The folder of a location on this machine, a path or a `file://` URI, as an absolute path; none of one elsewhere.
pub fn local_folder(location: &str) -> Option<PathBuf> {
    if location.contains("://") {
        return Url::parse(location).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok();
    }
    std::path::absolute(location).ok().map(|path| plain(&path))
}

/// Lets the Delta library open cloud locations through the same object stores.
#[derive(Debug)]
struct Cloud;

impl ObjectStoreFactory for Cloud {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(Arc<dyn ObjectStore>, Path)> {
        let (store, path) = object_store::parse_url_opts(url, cloud_options()).map_err(DeltaTableError::from)?;
        Ok((Arc::new(store), path))
    }
}

/// Lets the Delta library open a folder as the lake does: following no link, and nothing outside.
#[derive(Debug)]
struct Local;

impl ObjectStoreFactory for Local {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(Arc<dyn ObjectStore>, Path)> {
        let folder = url.to_file_path().map_err(|()| DeltaTableError::InvalidTableLocation(url.to_string()))?;
        let path = Path::from_url_path(url.path()).map_err(object_store::Error::from).map_err(DeltaTableError::from)?;
        Ok((Arc::new(Rooted::within(Root::new(folder))), path))
    }
}

fn register_stores() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let plain = Url::parse("file://").expect("a constant URL");
        object_store_factories().insert(plain.clone(), Arc::new(Local));
        let log_stores = logstore_factories();
        let default = log_stores.get(&plain).map(|entry| entry.value().clone());
        for scheme in ["s3", "s3a", "gs", "az", "abfs", "abfss"] {
            let url = Url::parse(&format!("{scheme}://")).expect("a constant URL");
            object_store_factories().insert(url.clone(), Arc::new(Cloud));
            if let Some(default) = &default {
                log_stores.insert(url, default.clone());
            }
        }
    });
}

impl Store {
    /// Opens the location of a lake; a folder need not exist yet.
    pub(crate) fn open(location: &str) -> Result<Self, LakeError> {
        register_stores();
        let unusable = |e: Box<dyn std::error::Error + Send + Sync>| LakeError::Location(location.to_owned(), e);
        let (url, folder) = match local_folder(location) {
            Some(path) => {
                if path.exists() && !path.is_dir() {
                    return Err(LakeError::NotALake(location.to_owned()));
                }
                if encoded(&path.to_string_lossy()) {
                    return Err(unusable("object stores read a percent sign and two digits as one character".into()));
                }
                let url = Url::from_directory_path(&path).map_err(|()| unusable("not a path".into()))?;
                (url, Some(Root::new(path)))
            }
            None => {
                let mut url = Url::parse(location).map_err(|e| unusable(e.into()))?;
                if url.scheme() == "file" {
                    return Err(unusable("not a path of this machine".into()));
                }
                if !url.path().ends_with('/') {
                    url.set_path(&format!("{}/", url.path()));
                }
                (url, None)
            }
        };
        let (objects, root): (Arc<dyn ObjectStore>, _) = match &folder {
            Some(folder) => {
                let root = Path::from_url_path(url.path()).map_err(|e| unusable(e.into()))?;
                (Arc::new(Rooted::within(folder.clone())), root)
            }
            None => {
                let (objects, root) =
                    object_store::parse_url_opts(&url, cloud_options()).map_err(|e| unusable(e.into()))?;
                (Arc::from(objects), root)
            }
        };
        Ok(Self { url, shown: location.to_owned(), folder, objects, root, opened: Arc::default() })
    }

    /// Lets an engine read the files below the lake as the lake does. Others of this machine are read when a person names them.
    pub(crate) fn guard(&self, context: &SessionContext) {
        match (&self.folder, Url::parse("file:///")) {
            (Some(root), Ok(url)) => {
                context.register_object_store(&url, Arc::new(Rooted::beside(root.clone())));
            }
            // All of a bucket is one store.
            _ => {
                context.register_object_store(&self.url, self.objects.clone());
            }
        }
    }

    /// Whether the lake is a folder of this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether a write that failed with this can have no effect, now or later. A file system knows; of an object store, an
    /// answer that refuses says so, and one that did not come, or speaks of trouble of its own, does not.
    pub(crate) fn is_certain(&self, error: &object_store::Error) -> bool {
        self.is_local() || !matches!(error, object_store::Error::Generic { .. } | object_store::Error::JoinError { .. })
    }

    /// A table as it was when it was last opened.
    pub(crate) fn opened(&self, name: &TableName) -> Option<DeltaTable> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Keeps a table as it is now: opened again, only what was committed since is read.
    pub(crate) fn keep(&self, name: &TableName, table: &DeltaTable) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), table.clone());
    }

    /// Forgets a table whose log was rewritten: it is read from the start when it is opened again.
    pub(crate) fn forget(&self, name: &TableName) {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The URL of a table's folder.
    pub(crate) fn table_url(&self, schema: &str, table: &str) -> Result<Url, LakeError> {
        if let Some(root) = &self.folder {
            let folder = root.folder().join(schema).join(table);
            // The Delta library insists on an existing folder.
            let made = root.check(&folder).and_then(|()| std::fs::create_dir_all(&folder));
            made.map_err(|source| LakeError::Write { path: folder, source })?;
        }
        self.url.join(&format!("{schema}/{table}/")).map_err(|e| LakeError::Location(self.shown.clone(), e.into()))
    }

    pub(crate) fn path(&self, below: &str) -> Path {
        below.split('/').filter(|part| !part.is_empty()).fold(self.root.clone(), |path, part| path.join(part))
    }

    /// The place of a file below a folder of the lake; none when it is elsewhere.
    pub(crate) fn below(&self, folder: &str, file: &Path) -> Option<String> {
        let root = self.path(folder);
        let parts: Vec<_> = file.prefix_match(&root)?.collect();
        Some(parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/"))
    }

    /// The names directly below a folder of the lake; none when it is not there.
    pub(crate) async fn names(&self, below: &str) -> Result<Vec<String>, LakeError> {
        let listed = self.objects.list_with_delimiter(Some(&self.path(below))).await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(source) => return Err(self.failed("list", below)(source)),
        };
        let folders = listed.common_prefixes.iter().filter_map(|path| path.filename());
        let files = listed.objects.iter().filter_map(|meta| meta.location.filename());
        let mut names: Vec<String> = folders.chain(files).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// Every file below a folder of the lake, with its size in bytes.
    pub(crate) async fn files(&self, below: &str) -> Result<Vec<(String, u64)>, LakeError> {
        let all = self.entries(below).await?;
        Ok(all.into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect())
    }

    /// Every file below a folder of the lake, with its size and the time it was written.
    pub(crate) async fn entries(&self, below: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        self.objects.list(Some(&self.path(below))).try_collect().await.map_err(self.failed("list", below))
    }

    /// Removes a document; one that is not there is gone already.
    pub(crate) async fn delete(&self, below: &str) -> Result<(), LakeError> {
        match self.objects.delete(&self.path(below)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("delete", below)(source)),
        }
    }

    /// Removes files by their full paths, several at a time where the store can.
    pub(crate) async fn delete_all(&self, paths: Vec<Path>, below: &str) -> Result<(), LakeError> {
        let paths = futures::stream::iter(paths.into_iter().map(Ok)).boxed();
        self.objects
            .delete_stream(paths)
            .filter(|gone| std::future::ready(!matches!(gone, Err(object_store::Error::NotFound { .. }))))
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .map_err(self.failed("delete", below))
    }

    /// In a folder, files older than `before` that were being uploaded (`name#1`); object stores do not list theirs.
    pub(crate) fn local_drafts(&self, below: &str, before: DateTime<Utc>) -> Vec<PathBuf> {
        let is_draft = |name: &str| {
            name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let Some(root) = &self.folder else { return Vec::new() };
        let (mut folders, mut drafts) = (vec![root.folder().join(below)], Vec::new());
        if root.check(&folders[0]).is_err() {
            return Vec::new();
        }
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(meta) = entry.metadata() else { continue }; // of a link itself
                let is_old = meta.modified().is_ok_and(|time| DateTime::<Utc>::from(time) < before);
                if meta.is_dir() {
                    folders.push(entry.path());
                } else if is_old && is_draft(&entry.file_name().to_string_lossy()) {
                    drafts.push(entry.path());
                }
            }
        }
        drafts
    }

    /// The bytes of a document; none when it is not there.
    pub(crate) async fn get(&self, below: &str) -> Result<Option<Vec<u8>>, LakeError> {
        match self.objects.get(&self.path(below)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(self.failed("read", below))?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("read", below)(source)),
        }
    }

    /// Whether a document is there.
    pub(crate) async fn has(&self, below: &str) -> Result<bool, LakeError> {
        match self.objects.head(&self.path(below)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failed("read", below)(source)),
        }
    }

    /// Writes a document whole. With `PutMode::Create`, refuses when it is there already.
    pub(crate) async fn put(&self, below: &str, bytes: Vec<u8>, mode: PutMode) -> Result<(), LakeError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(&self.path(below), PutPayload::from(bytes), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Err(LakeError::Exists(below.to_owned()))
            }
            Err(source) => Err(self.failed("write", below)(source)),
        }
    }

    fn failed(&self, doing: &'static str, below: &str) -> impl FnOnce(object_store::Error) -> LakeError + use<> {
        let path = if below.is_empty() { "anything".to_owned() } else { below.to_owned() };
        let lake = self.shown.clone();
        move |source| LakeError::Document { doing, path, lake, source: Box::new(source) }
    }

    /// A file of the lake, for reading Parquet piece by piece.
    pub(crate) fn parquet(&self, below: &str) -> ParquetFile {
        ParquetFile::new(self.objects.clone(), self.path(below))
    }

    pub(crate) async fn get_json<T: DeserializeOwned>(&self, below: &str) -> Result<Option<T>, LakeError> {
        let Some(bytes) = self.get(below).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| LakeError::Damaged { path: below.to_owned(), source })
    }

    pub(crate) async fn put_json<T: Serialize>(&self, below: &str, value: &T, mode: PutMode) -> Result<(), LakeError> {
        self.put(below, json(below, value)?, mode).await
    }
}

/// The bytes of a JSON document.
pub(crate) fn json<T: Serialize>(below: &str, value: &T) -> Result<Vec<u8>, LakeError> {
    let bytes = serde_json::to_vec_pretty(value);
    let mut bytes = bytes.map_err(|source| LakeError::Damaged { path: below.to_owned(), source })?;
    bytes.push(b'\n');
    Ok(bytes)
}
