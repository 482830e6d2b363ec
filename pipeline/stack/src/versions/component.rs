//! A component of a stack in one version: what it is, what it needs, where it is deployed.

use super::as_text;
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A service that runs an image.
    Application,
    /// The schema of a database.
    Schema,
    /// The rules of a load balancer.
    LoadBalancer,
    /// The rules of a firewall.
    NetworkPolicy,
    /// A promise between services: an OpenAPI document.
    Contract,
    /// A file that services read.
    Config,
}

/// How a component is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restoring {
    /// To what its target held before, to the byte.
    #[default]
    Previous,
}

/// A `[[component]]` of `stack.toml`: one version of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Semantic version.
    #[serde(with = "as_text")]
    pub version: Version,
    /// `sha256:` and 64 hex digits: of the image, or of the text in `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Name of another component → what its version must be.
    #[serde(default, with = "as_text::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub requires: BTreeMap<String, VersionReq>,
    /// How it behaves when it runs: variables of an application, rules of a network policy.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Answers with a status below 400 where the component is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// What carries it: `compose:FILE#SERVICE`, `file:FILE`, or `exec:COMMAND` of a schema. What has none is declared, checked and not deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The file with its text, beside `stack.toml`; of kinds that are a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How it is brought back.
    #[serde(default)]
    pub rollback: Restoring,
}

impl Kind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Component {
    /// `api 1.4.2`.
    pub fn in_words(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// What carries it; none where nothing does.
    pub fn carrier(&self) -> Option<Carrier> {
        self.target.as_deref().and_then(Carrier::parse)
    }

    /// The first of its fields that cannot be, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        if !is_name(&self.name) {
            return Some(("name", format!("{:?} is no name: it has letters, digits, - _ and . only", self.name)));
        }
        if let Some(digest) = self.digest.as_deref().filter(|digest| !is_digest(digest)) {
            return Some(("digest", format!("{digest:?} is not sha256: and 64 hex digits")));
        }
        if let Some(url) = self.health.as_deref().filter(|url| !is_url(url)) {
            let hint = match url.starts_with("https://") {
                true => ": https is not asked; name the address behind what ends TLS",
                false => "",
            };
            return Some(("health", format!("{url:?} is not http://HOST[:PORT]/PATH{hint}")));
        }
        if let Some(target) = self.target.as_deref().filter(|target| Carrier::parse(target).is_none()) {
            return Some(("target", format!("{target:?} is none of compose:FILE#SERVICE, file:FILE and exec:COMMAND")));
        }
        self.kind.rules().wrong(self)
    }
}

/// What carries a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A service of a Compose file.
    Service {
        /// The path of the file, beside `stack.toml`.
        file: String,
        /// The service.
        service: String,
    },
    /// A file that is one text.
    File {
        /// Its path, beside `stack.toml`.
        file: String,
    },
    /// A command that migrates a schema, called in the folder of `stack.toml`.
    Command {
        /// Words of the shell.
        command: String,
    },
}

impl Carrier {
    fn parse(text: &str) -> Option<Self> {
        if let Some(file) = text.strip_prefix("file:").filter(|file| !file.is_empty()) {
            return Some(Self::File { file: file.to_owned() });
        }
        if let Some(command) = text.strip_prefix("exec:").filter(|command| !command.trim().is_empty()) {
            return Some(Self::Command { command: command.to_owned() });
        }
        let (file, service) = text.strip_prefix("compose:")?.split_once('#')?;
        let named = !file.is_empty() && !service.is_empty() && !service.contains(['#', '/']);
        named.then(|| Self::Service { file: file.to_owned(), service: service.to_owned() })
    }
}

/// Whether a text names a component or a group: it becomes part of file names and of the files of others.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_plain)
}

fn is_digest(text: &str) -> bool {
    let hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    text.strip_prefix("sha256:").is_some_and(|rest| rest.len() == 64 && rest.bytes().all(hex))
}

fn is_url(text: &str) -> bool {
    let authority = text.strip_prefix("http://").and_then(|rest| rest.split(['/', '?']).next());
    authority.is_some_and(|host| !host.is_empty() && !host.contains('@')) && !text.contains(char::is_whitespace)
}
