//! What a service runs: its image and its variables, read and set to the byte.
//!
//! A new text is proven twice: it means the same as before but for what was set, and every other service is started as it
//! was. So an image that others get by `extends`, an anchor or a merge key is refused, not changed for all of them.

use super::ComposeFile;
use super::listed::{listed, set_listed};
use crate::StackError;
use crate::yaml::place::Writing;
use crate::yaml::set::{Fault, set};
use crate::yaml::stream::Read;
use crate::yaml::value::{Value, is_null_text};
use domain::own_memory::Setup;
use domain::task::Release;
use std::collections::BTreeMap;

/// An image, or the value of a variable, on its way into the file.
struct Words<'a>(&'a str);

impl Writing for Words<'_> {
    fn over(&self, _: &str) -> String {
        self.0.to_owned()
    }

    fn plain(&self, written: String) -> String {
        if is_plain(&written) { written } else { format!("\"{written}\"") }
    }

    fn fresh(&self, json: bool) -> String {
        if json { format!("\"{}\"", self.0) } else { self.plain(self.0.to_owned()) }
    }
}

/// Whether YAML reads it, without quotes, as this text and as nothing else.
fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | ':');
    let number = text.parse::<f64>().is_ok() || text.starts_with(['.', '0']) || text.contains("::");
    let truth = ["true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(word)
        && !text.ends_with(':')
        && !number
        && !truth
        && !is_null_text(text)
}

impl ComposeFile {
    /// What a service runs; of its variables, those that are named.
    pub(super) fn release_of(&self, text: &str, resource: &str, names: &[&str]) -> Result<Release, StackError> {
        let setups = self.setups_of(text)?;
        let setup = setups.get(resource).ok_or_else(|| self.has_no(resource))?;
        let known = |name: &&&str| setup.variables.contains_key(**name);
        let config =
            names.iter().filter(known).map(|name| ((*name).to_owned(), setup.variables[*name].clone())).collect();
        let image = Some(setup.image.clone()).filter(|image| !image.is_empty());
        Ok(Release { image, config, ..Release::default() })
    }

    fn has_no(&self, resource: &str) -> StackError {
        StackError::NoResource { target: self.path.display().to_string(), resource: resource.to_owned() }
    }

    /// The text with a service running this, and nothing else touched.
    pub(super) fn released(&self, text: &str, resource: &str, release: &Release) -> Result<String, StackError> {
        let refused = |what: String, hint: &str| StackError::Refused {
            service: resource.to_owned(),
            what,
            hint: hint.to_owned(),
        };
        let before = self.setups_of(text)?;
        if !before.contains_key(resource) {
            return Err(self.has_no(resource));
        }
        let view = self.with_text(text)?;
        let project = view.project();
        let env = self.environment(project)?;
        let service = resource.strip_prefix(&env).and_then(|rest| rest.strip_prefix('/')).unwrap_or(resource);
        if let Some(file) = project.elsewhere(service) {
            return Err(refused(format!("it is defined in {file}"), "name that file as the target"));
        }
        let image = release.image.iter().map(|image| (vec!["image"], image));
        let config = release.config.iter().map(|(name, value)| (vec!["environment", name.as_str()], value));
        let mut read = Read::new(text).map_err(|source| self.within(source))?;
        for (path, value) in image.chain(config) {
            if let Some(file) = project.overridden(service, &path) {
                let what = format!("{file} sets its `{}`, and wins over this file", path.join("."));
                return Err(refused(what, "change it there"));
            }
            if value.is_empty() || value.contains(['"', '\'', '\\', '$']) || value.chars().any(char::is_control) {
                let what = format!("{value:?} is no text that can be written without escapes");
                return Err(refused(what, "use a value without quotes, backslashes, dollar signs and line ends"));
            }
            if let (Some(entries), ["environment", name]) = (listed(&read, service), &path[..]) {
                let wanted = format!("{name}={value}");
                if !entries.iter().any(|entry| entry.scalar() == Some(&wanted)) {
                    read =
                        set_listed(&read, service, name, value).map_err(|Fault { what, hint }| refused(what, hint))?;
                }
                continue;
            }
            let keys: Vec<&str> = ["services", service].into_iter().chain(path).collect();
            let reads = |found: &Value| found.scalar() == Some(value.as_str());
            if read.value.at(&keys) == crate::yaml::value::Found::Scalar(value) {
                continue;
            }
            read = set(&read, &[], &keys, &Words(value), &reads, &|text| Read::new(text).ok())
                .map_err(|Fault { what, hint }| refused(what, hint))?;
        }
        let after = self.setups_of(&read.text)?;
        let wanted = |setup: &Setup| Setup {
            image: release.image.clone().unwrap_or_else(|| setup.image.clone()),
            variables: setup.variables.iter().chain(&release.config).map(|(k, v)| (k.clone(), v.clone())).collect(),
            ..setup.clone()
        };
        let others = |all: &BTreeMap<String, Setup>| -> BTreeMap<String, Setup> {
            all.iter()
                .filter(|(name, _)| *name != resource)
                .map(|(name, setup)| (name.clone(), setup.clone()))
                .collect()
        };
        if after.get(resource) != before.get(resource).map(wanted).as_ref() {
            return Err(refused("it would not run what was asked for".to_owned(), "change it by hand"));
        }
        let (before, after) = (others(&before), others(&after));
        match before.iter().find(|(name, setup)| after.get(*name) != Some(*setup)) {
            None => Ok(read.text),
            Some((name, _)) => Err(refused(
                format!("{name} has part of it, and would also change"),
                "write its values out under each service",
            )),
        }
    }
}
