//! A file that is one text: the rules of a load balancer or of a firewall, a contract, a configuration.
//!
//! Owns no syntax: who deploys to it says the whole text. One resource, `FOLDER/FILE`, without limits. The file must be there,
//! and may be empty: its owner and permissions stay.

use crate::StackError;
use crate::target::{Change, Live, Refusal, Session, Target, digest};
use crate::text::{HeldText, OneText};
use crate::write::{identity, read_text};
use domain::plan::{State, TargetRef};
use domain::task::Release;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file by its path.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: PathBuf,
}

impl TextFile {
    /// Names a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn resource(&self) -> String {
        let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        format!("{}/{}", name(self.path.parent().and_then(|folder| folder.file_name())), name(self.path.file_name()))
    }

    fn resources(&self) -> BTreeMap<String, State> {
        BTreeMap::from([(self.resource(), State::default())])
    }
}

impl Target for TextFile {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "file".to_owned(), location: self.path.to_string_lossy().into_owned() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.path))
    }

    fn read(&self) -> Result<Live, StackError> {
        let text = read_text(&self.path)?;
        Ok(Live { digest: digest(&text), resources: self.resources(), ..Live::default() })
    }

    /// It has no limits.
    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        let figures = changes.iter().flat_map(|change| change.figures().map(move |figure| (change, figure)));
        let refused = figures.map(|(change, figure)| {
            let (target, resource) = (self.path.display().to_string(), change.resource.clone());
            Refusal { item_id: change.item_id.clone(), figure, error: StackError::NoResource { target, resource } }
        });
        Ok(refused.collect())
    }

    fn release(&self, _: &str, _: &[&str]) -> Result<Release, StackError> {
        Ok(Release { text: Some(digest(&read_text(&self.path)?)), ..Release::default() })
    }

    /// The file's permissions; its owner's alone where they cannot be told.
    fn mode(&self) -> u32 {
        crate::write::mode_of(&self.path)
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        Ok(Box::new(HeldText::hold(self.clone())?))
    }
}

impl OneText for TextFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn limits(&self, _: &str) -> Result<BTreeMap<String, State>, StackError> {
        Ok(self.resources())
    }

    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError> {
        let mut text = text;
        for change in changes {
            text = change.whole_text()?.unwrap_or(text);
        }
        Ok(text.to_owned())
    }

    fn deploys(&self) -> bool {
        true
    }
}
