//! How each service is started: its image, its command line and its variables, as the file and its `env_file`s give them.
//!
//! What of it bounds the service's memory is for `domain::own_memory` to say. Variables of the shell are not known and
//! stay as they are written. An `env_file` that is not there says nothing.

use super::ComposeFile;
use super::read::Service;
use super::variables::Variables;
use crate::StackError;
use crate::write::read_text;
use crate::yaml::value::Value;
use domain::own_memory::Setup;
use std::collections::BTreeMap;
use std::path::Path;

impl ComposeFile {
    /// The services by `env/service`.
    pub(crate) fn all_setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        self.setups_of(&read_text(self.path())?)
    }

    /// The same, of this text in the place of the file's.
    pub(super) fn setups_of(&self, text: &str) -> Result<BTreeMap<String, Setup>, StackError> {
        let view = self.with_text(text)?;
        let (project, around) = (view.project(), &view.around);
        let env = self.environment(project)?;
        let folder = |name: &str| around.included.get(name).map_or(&around.folder, |included| &included.layers.folder);
        let of = |name: &str| {
            let setup = project.service(name)?.setup(folder(name), &around.variables);
            Some((format!("{env}/{name}"), setup))
        };
        Ok(project.services().into_iter().filter_map(of).collect())
    }
}

impl Service {
    fn setup(&self, folder: &Path, known: &Variables) -> Setup {
        let scalar = |key: &str| self.value.get(key).and_then(text).unwrap_or_default();
        let words = ["entrypoint", "command"].iter().filter_map(|key| self.value.get(key)).flat_map(words);
        let mut variables = BTreeMap::new();
        for file in self.value.get("env_file").map(files).unwrap_or_default() {
            let lines = read_text(&folder.join(file)).unwrap_or_default();
            let lines = lines.lines().map(str::trim).filter(|line| !line.starts_with('#'));
            variables.extend(lines.filter_map(pair));
        }
        // A name without a value takes that of `.env`.
        let inherited = |name: &str| Some((name.to_owned(), known.get(name)?.to_owned()));
        match self.value.get("environment").map(untagged) {
            Some(Value::Map(map)) => variables.extend(map.iter().filter_map(|(name, value)| {
                let given = text(value)?;
                if given.is_empty() { inherited(name) } else { Some((name.clone(), given)) }
            })),
            Some(Value::List(list)) => {
                let line = |line: String| pair(&line).or_else(|| inherited(line.trim()));
                variables.extend(list.iter().filter_map(text).filter_map(line));
            }
            _ => {}
        }
        Setup { image: scalar("image"), words: words.collect(), variables }
    }
}

fn untagged(value: &Value) -> &Value {
    match value {
        Value::Tagged(_, value) => value,
        value => value,
    }
}

fn text(value: &Value) -> Option<String> {
    match untagged(value) {
        Value::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The words of a command, written as a list or as one line.
fn words(value: &Value) -> Vec<String> {
    match untagged(value) {
        Value::List(list) => list.iter().filter_map(text).collect(),
        Value::Scalar { text, .. } => text.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The paths of `env_file`, in any of its three forms.
fn files(value: &Value) -> Vec<String> {
    match untagged(value) {
        Value::List(list) => list.iter().filter_map(|file| text(file).or_else(|| text(file.get("path")?))).collect(),
        value => text(value).into_iter().collect(),
    }
}

/// `NAME=value`, quotes around the value taken off.
fn pair(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim_start_matches("export ").split_once('=')?;
    let value = value.trim();
    let inside = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some((name.trim().to_owned(), inside.unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name: shop
x-env: &env
  JAVA_OPTS: -Xmx4g
services:
  web:
    image: eclipse-temurin:21
    entrypoint: ["java", "-Xmx4g"]
    command: -jar app.jar
    environment:
      <<: *env
      EMPTY:
  cache:
    image: redis:7
    command: redis-server --save "" --maxmemory 3gb
    env_file:
      - a.env
      - path: missing.env
        required: false
    environment:
      - NODE_OPTIONS=--max-old-space-size=2048
      - UNSET
      - JAVA_OPTS
  like-web:
    extends: web
    command: -jar other.jar
"#;

    #[test]
    fn command_lines_and_variables_are_read_in_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("compose.yaml");
        std::fs::write(&path, TEXT).unwrap();
        std::fs::write(folder.path().join(".env"), "JAVA_OPTS=-Xmx4g\nEMPTY=e\n").unwrap();
        std::fs::write(folder.path().join("a.env"), "# c\nexport GOMEMLIMIT=\"1GiB\"\nNODE_OPTIONS=none\n").unwrap();
        let setups = ComposeFile::new(&path).all_setups().unwrap();
        let (web, cache, like) = (&setups["shop/web"], &setups["shop/cache"], &setups["shop/like-web"]);
        assert_eq!(web.words, ["java", "-Xmx4g", "-jar", "app.jar"]);
        assert_eq!((web.image.as_str(), web.variables["JAVA_OPTS"].as_str()), ("eclipse-temurin:21", "-Xmx4g"));
        assert_eq!(cache.words.last().map(String::as_str), Some("3gb"));
        assert_eq!(
            cache.variables["NODE_OPTIONS"], "--max-old-space-size=2048",
            "the service's own wins over the file's"
        );
        assert_eq!(cache.variables["GOMEMLIMIT"], "1GiB");
        assert_eq!((cache.variables["JAVA_OPTS"].as_str(), web.variables["EMPTY"].as_str()), ("-Xmx4g", "e"));
        assert!(!cache.variables.contains_key("UNSET"));
        assert_eq!(like.words, ["java", "-Xmx4g", "-jar", "other.jar"]);
    }
}
