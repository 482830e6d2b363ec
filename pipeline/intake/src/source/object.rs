//! Dumps on object stores, fetched a piece at a time.

use crate::error::IntakeError;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

/// Options of a cloud store from its standard environment variables (`AWS_…`, `GOOGLE_…`, `AZURE_…`).
pub fn cloud_options() -> impl Iterator<Item = (String, String)> {
    std::env::vars()
        .filter(|(key, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| key.starts_with(prefix)))
        .map(|(key, value)| (key.to_ascii_lowercase(), value))
}

/// A dump on an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The whole location.
    pub url: Url,
}

impl Object {
    /// The dumps that a URI names: one object, or every dump below a prefix that ends in `/`.
    pub(super) fn find(location: &str) -> Result<Vec<Self>, IntakeError> {
        let unusable = |e: Box<dyn std::error::Error + Send + Sync>| IntakeError::Location(location.to_owned(), e);
        let url = Url::parse(location).map_err(|e| unusable(e.into()))?;
        if !location.ends_with('/') {
            return Ok(vec![Self { url }]);
        }
        let (objects, prefix) = object_store::parse_url_opts(&url, cloud_options()).map_err(|e| unusable(e.into()))?;
        let listed =
            block_on(async move { objects.list(Some(&prefix)).try_collect::<Vec<_>>().await.map(|all| (prefix, all)) });
        let (prefix, listed) = listed.map_err(|error| unusable(error.into()))?;
        let mut found = Vec::new();
        for meta in listed {
            let below: Vec<_> = meta.location.prefix_match(&prefix).into_iter().flatten().collect();
            let below: Vec<&str> = below.iter().map(AsRef::as_ref).collect();
            if below.last().is_some_and(|name| super::is_dump_name(name)) {
                let mut url = url.clone();
                // Part by part: a name may hold what means something in a URL.
                if let Ok(mut parts) = url.path_segments_mut() {
                    parts.pop_if_empty().extend(below);
                }
                found.push(Self { url });
            }
        }
        found.sort_by(|a, b| a.url.cmp(&b.url));
        if found.is_empty() { Err(IntakeError::NoDumps(location.to_owned())) } else { Ok(found) }
    }

    /// Its bytes, fetched a piece at a time.
    pub(super) fn read(&self) -> Result<impl std::io::Read + Send + use<>, IntakeError> {
        let shown = self.url.to_string();
        let unusable = |e: object_store::Error| IntakeError::NoObject(shown.clone(), Box::new(e));
        let (objects, path) = object_store::parse_url_opts(&self.url, cloud_options()).map_err(unusable)?;
        let found = block_on(async move { objects.get(&path).await });
        let stream = match found {
            Ok(found) => found.into_stream(),
            Err(object_store::Error::NotFound { .. }) => return Err(IntakeError::NoSource(shown)),
            Err(error) => return Err(unusable(error)),
        };
        Ok(Fetched { stream, piece: Default::default() })
    }
}

/// Waits for something of the object stores where the caller cannot: reading a dump is not asynchronous.
fn block_on<F: Future + Send>(work: F) -> F::Output
where
    F::Output: Send,
{
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| handle.block_on(work))
}

struct Fetched<S> {
    stream: S,
    piece: bytes::Bytes,
}

impl<S: futures::Stream<Item = object_store::Result<bytes::Bytes>> + Unpin + Send> std::io::Read for Fetched<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            match block_on(self.stream.try_next()).map_err(std::io::Error::other)? {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let taken = self.piece.split_to(self.piece.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
