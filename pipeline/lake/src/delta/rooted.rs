//! A folder as an object store that follows no link: what the lake, the Delta library and DataFusion read, write, list and
//! delete below a lake goes through here.

use crate::delta::root::Root;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deltalake_core::Path;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::fmt;
use std::fs::{self, FileType};
use std::ops::Range;
use std::path::{Path as LocalPath, PathBuf};
use url::Url;

/// The local files, seen from a root.
#[derive(Clone, Debug)]
pub(crate) struct Rooted {
    files: LocalFileSystem,
    root: Root,
    /// Files that are not below the root may be read: a person named them in a query.
    beyond: bool,
}

impl Rooted {
    /// Nothing but what is below `root`.
    pub(crate) fn within(root: Root) -> Self {
        Self { files: LocalFileSystem::new(), root, beyond: false }
    }

    /// All files; below `root`, none by a link.
    pub(crate) fn beside(root: Root) -> Self {
        Self { files: LocalFileSystem::new(), root, beyond: true }
    }

    /// Whether a folder is one that a person named in a query.
    fn is_beyond(&self, folder: Option<&Path>) -> bool {
        self.beyond && local(folder.unwrap_or(&Path::default())).is_ok_and(|path| !self.root.has(&path))
    }

    fn permit(&self, location: &Path) -> Result<PathBuf> {
        let path = local(location)?;
        if !self.beyond || self.root.has(&path) {
            self.root.check(&path).map_err(|error| refused(error.into()))?;
        }
        Ok(path)
    }
}

/// The path of a location.
fn local(location: &Path) -> Result<PathBuf> {
    let mut url = Url::parse("file:///").map_err(|error| refused(error.into()))?;
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(location.parts());
    }
    url.to_file_path().map_err(|()| refused(format!("{location} is no path").into()))
}

fn refused(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Generic { store: "lake", source }
}

impl fmt::Display for Rooted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rooted({})", self.root.folder().display())
    }
}

#[async_trait]
impl ObjectStore for Rooted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.permit(location)?;
        self.files.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.permit(location)?;
        self.files.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.permit(location)?;
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.permit(location)?;
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let permitted = locations.map(move |location| {
            let location = location?;
            store.permit(&location).map(|_| location)
        });
        self.files.delete_stream(permitted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.is_beyond(prefix) {
            return self.files.list(prefix);
        }
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let search = move || {
            let folder = store.permit(&prefix)?;
            let mut found = Vec::new();
            walk(&folder, &mut found)?;
            found.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(found)
        };
        let all = |found: Vec<ObjectMeta>| futures::stream::iter(found.into_iter().map(Ok::<_, Error>));
        blocking(search).into_stream().map_ok(all).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        if self.is_beyond(prefix) {
            return self.files.list_with_delimiter(prefix).await;
        }
        let (store, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        blocking(move || {
            let folder = store.permit(&prefix)?;
            let (mut common_prefixes, mut objects) = (Vec::new(), Vec::new());
            for (path, kind) in entries(&folder)? {
                // A linked folder has a name here, so that who opens it is told; nothing in it is ever reached.
                if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                    common_prefixes.extend(Path::from_absolute_path(&path).ok());
                } else if let Some(file) = file(&path, kind) {
                    objects.push(file);
                }
            }
            common_prefixes.sort();
            objects.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(ListResult { common_prefixes, objects })
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.permit(from)?;
        self.permit(to)?;
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.permit(from)?;
        self.permit(to)?;
        self.files.rename_opts(from, to, options).await
    }
}

/// Runs what waits for the disk where nobody waits for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.unwrap_or_else(|error| Err(refused(error.into()))),
        Err(_) => work(),
    }
}

/// Every file below a folder that no link leads to.
fn walk(folder: &LocalPath, found: &mut Vec<ObjectMeta>) -> Result<()> {
    for (path, kind) in entries(folder)? {
        if kind.is_dir() {
            walk(&path, found)?;
        } else {
            found.extend(file(&path, kind));
        }
    }
    Ok(())
}

/// What is in a folder; nothing when there is none. What goes away meanwhile is not in it.
fn entries(folder: &LocalPath) -> Result<Vec<(PathBuf, FileType)>> {
    let absent = |kind| matches!(kind, std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory);
    let read = match fs::read_dir(folder) {
        Ok(read) => read,
        Err(error) if absent(error.kind()) => return Ok(Vec::new()),
        Err(error) => return Err(refused(format!("cannot list {}: {error}", folder.display()).into())),
    };
    Ok(read.flatten().filter_map(|entry| Some((entry.path(), entry.file_type().ok()?))).collect())
}

/// A plain file as an object; none of what is being uploaded (`name#1`), of links, pipes and devices.
fn file(path: &LocalPath, kind: FileType) -> Option<ObjectMeta> {
    let name = path.file_name()?.to_str()?;
    let uploading = name.split_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if !kind.is_file() || uploading {
        return None;
    }
    let meta = fs::symlink_metadata(path).ok()?;
    Some(ObjectMeta {
        location: Path::from_absolute_path(path).ok()?,
        last_modified: DateTime::<Utc>::from(meta.modified().ok()?),
        size: meta.len(),
        e_tag: None,
        version: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use std::os::unix::fs::symlink;

    /// A lake folder with a file, a linked folder, a linked file, and a file outside that both lead to.
    fn planted() -> (tempfile::TempDir, Rooted, Path) {
        let place = tempfile::tempdir().unwrap();
        let (lake, outside) = (place.path().join("lake"), place.path().join("outside"));
        fs::create_dir_all(lake.join("t/day")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret.parquet"), "secret").unwrap();
        fs::write(lake.join("t/day/own.parquet"), "own").unwrap();
        fs::write(lake.join("t/day/own.parquet#1"), "draft").unwrap();
        symlink(&outside, lake.join("t/linked")).unwrap();
        symlink(outside.join("secret.parquet"), lake.join("t/link.parquet")).unwrap();
        symlink(&lake, lake.join("t/loop")).unwrap();
        let root = Path::from_absolute_path(&lake).unwrap();
        (place, Rooted::within(Root::new(lake)), root)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_link_leads_to_is_neither_listed_nor_read_nor_written_nor_deleted() {
        let (place, store, root) = planted();
        let all: Vec<_> = store.list(Some(&root)).try_collect().await.unwrap();
        let names: Vec<_> = all.iter().map(|file| file.location.filename().unwrap()).collect();
        assert_eq!(names, ["own.parquet"]);
        let listed = store.list_with_delimiter(Some(&root.clone().join("t"))).await.unwrap();
        assert_eq!(listed.objects.len(), 0);
        for below in ["t/linked/secret.parquet", "t/link.parquet", "t/loop/t/day/own.parquet"] {
            let path = below.split('/').fold(root.clone(), |path, part| path.join(part));
            assert!(store.get(&path).await.is_err(), "{below}");
            assert!(store.get_ranges(&path, &[0..1, 1..2]).await.is_err(), "{below}");
            assert!(store.put(&path, "new".into()).await.is_err(), "{below}");
            assert!(store.delete(&path).await.is_err(), "{below}");
            assert!(store.copy(&path, &root.clone().join("copy")).await.is_err(), "{below}");
        }
        assert!(store.list(Some(&root.clone().join("t").join("linked"))).try_next().await.is_err());
        assert_eq!(fs::read_to_string(place.path().join("outside/secret.parquet")).unwrap(), "secret");
        let outside = Path::from_absolute_path(place.path().join("outside/secret.parquet")).unwrap();
        assert!(store.get(&outside).await.is_err());
        let beside = Rooted::beside(store.root.clone());
        assert!(beside.get(&outside).await.is_ok(), "a file that a person names");
        assert!(beside.get(&root.join("t").join("link.parquet")).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_rest_is_as_it_is_with_plain_local_files() {
        let (place, store, _) = planted();
        fs::remove_dir_all(place.path().join("lake/t")).unwrap();
        let names = ["a b/ü=1 %25.json", "a b/x.parquet", "c.json"];
        let plain = LocalFileSystem::new();
        for name in names {
            let path = place.path().join("lake").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let root = Path::from_absolute_path(place.path().join("lake")).unwrap();
        let sorted = |mut all: Vec<ObjectMeta>| {
            all.sort_by(|a, b| a.location.cmp(&b.location));
            all.into_iter().map(|file| (file.location, file.size, file.last_modified)).collect::<Vec<_>>()
        };
        let ours: Vec<_> = store.list(Some(&root)).try_collect().await.unwrap();
        for file in &ours {
            assert!(store.get(&file.location).await.is_ok(), "{}", file.location);
        }
        assert_eq!(sorted(ours), sorted(plain.list(Some(&root)).try_collect().await.unwrap()));
        let (ours, theirs) = (
            store.list_with_delimiter(Some(&root)).await.unwrap(),
            plain.list_with_delimiter(Some(&root)).await.unwrap(),
        );
        assert_eq!(ours.common_prefixes, theirs.common_prefixes);
        assert_eq!(sorted(ours.objects), sorted(theirs.objects));
        let nothing: Vec<_> = store.list(Some(&root.join("nothing"))).try_collect().await.unwrap();
        assert!(nothing.is_empty());
    }
}
