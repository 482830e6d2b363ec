//! Dev containers: `hostRequirements` of a `devcontainer.json`, what the machine of an environment must have at least.
//!
//! Source: containers.dev, json_reference, "hostRequirements": `cpus` is a whole number, `memory` a whole number with `tb`,
//! `gb`, `mb` or `kb`. The file is JSON with comments; they and every other byte stay. One resource, `PROJECT/devcontainer`,
//! the project being the folder that the configuration belongs to.

use crate::StackError;
use crate::target::{Change, Figure as Named, Live, Refusal, Session, Target, digest};
use crate::text::{HeldText, OneText};
use crate::write::{identity, read_text};
use crate::yaml::place::Writing;
use crate::yaml::set::{Fault, set};
use crate::yaml::stream::Read;
use crate::yaml::tree::Document;
use crate::yaml::value::{Found, Value};
use domain::plan::{Note, State, TargetRef};
use domain::units::{GIB, MIB};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A `devcontainer.json`.
#[derive(Clone, Debug)]
pub struct DevContainer {
    path: PathBuf,
}

/// What can be required.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Cpus,
    Memory,
}

impl Figure {
    const BOTH: [Self; 2] = [Self::Cpus, Self::Memory];

    fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Cpus => ["hostRequirements", "cpus"],
            Self::Memory => ["hostRequirements", "memory"],
        }
    }

    fn named(self) -> Named {
        match self {
            Self::Cpus => Named::Cpu,
            Self::Memory => Named::Memory,
        }
    }

    /// Whole cores, and whole MiB: no less than was meant.
    fn asked(self, state: State) -> Option<u64> {
        match self {
            Self::Cpus => state.cpu_cores.map(|cores| (cores.ceil() as u64).max(1)),
            Self::Memory => state.memory_bytes.map(|bytes| bytes.div_ceil(MIB).max(1) * MIB),
        }
    }

    /// Whether a state asks for something between what can be written.
    fn is_finer(self, state: State, asked: u64) -> bool {
        match self {
            Self::Cpus => state.cpu_cores.is_some_and(|cores| cores != asked as f64),
            Self::Memory => state.memory_bytes.is_some_and(|bytes| bytes != asked),
        }
    }

    fn read(self, text: &str) -> Option<u64> {
        if self == Self::Cpus {
            return text.parse().ok();
        }
        let lower = text.to_ascii_lowercase();
        let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
        let unit = ["kb", "mb", "gb", "tb"].iter().position(|unit| lower[digits..].trim_start() == *unit)?;
        lower[..digits].parse::<u64>().ok()?.checked_mul(1 << (10 * (unit + 1)))
    }
}

/// An amount on its way into the file.
struct Amount(Figure, u64);

impl Writing for Amount {
    fn over(&self, _: &str) -> String {
        match self {
            Self(Figure::Cpus, cores) => cores.to_string(),
            Self(Figure::Memory, bytes) if bytes.is_multiple_of(GIB) => format!("{}gb", bytes / GIB),
            Self(Figure::Memory, bytes) => format!("{}mb", bytes / MIB),
        }
    }

    fn is_json(&self) -> bool {
        true
    }

    fn fresh(&self, _: bool) -> String {
        match self.0 {
            Figure::Cpus => self.over(""),
            Figure::Memory => format!("\"{}\"", self.over("")),
        }
    }
}

impl DevContainer {
    /// Names a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// `PROJECT/devcontainer`; of `.devcontainer/NAME/devcontainer.json`, `PROJECT/NAME`.
    fn resource(&self) -> String {
        let names: Vec<String> = self
            .path
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .map(|c| c.as_os_str().to_string_lossy().into())
            .collect();
        let hidden = names.iter().rposition(|name| name == ".devcontainer");
        let project = names[..hidden.unwrap_or(names.len())].last().cloned().unwrap_or_default();
        let name = hidden.and_then(|at| names.get(at + 1)).map_or("devcontainer", String::as_str);
        format!("{project}/{name}")
    }

    fn parsed(&self, text: &str) -> Result<Read, StackError> {
        parse(text).map_err(|source| StackError::In { path: self.path.clone(), source: Box::new(source) })
    }

    fn states(&self, text: &str) -> Result<(BTreeMap<String, State>, Vec<Note>), StackError> {
        let read = self.parsed(text)?;
        let mut state = State::default();
        let mut notes =
            vec!["it takes effect when the environment is made anew, and is the least that its machine has".to_owned()];
        for figure in Figure::BOTH {
            match (amount(&read.value, figure), figure) {
                (Ok(None), _) => {}
                (Ok(Some(amount)), Figure::Cpus) => state.cpu_cores = Some(amount as f64),
                (Ok(Some(amount)), Figure::Memory) => state.memory_bytes = Some(amount),
                (Err(why), _) => notes.push(why),
            }
        }
        let resource = self.resource();
        let note = |what| Note { resource: Some(resource.clone()), what };
        Ok((BTreeMap::from([(resource.clone(), state)]), notes.into_iter().map(note).collect()))
    }

    fn tried(&self, text: &str, changes: &[Change]) -> Result<(String, Vec<Refusal>), StackError> {
        let mut read = self.parsed(text)?;
        let mut refusals = Vec::new();
        let resource = self.resource();
        for change in changes {
            for figure in Figure::BOTH {
                let Some(asked) = figure.asked(change.after) else { continue };
                let mut refuse = |error| {
                    refusals.push(Refusal { item_id: change.item_id.clone(), figure: figure.named(), error });
                };
                if change.resource != resource {
                    let target = self.path.display().to_string();
                    refuse(StackError::NoResource { target, resource: change.resource.clone() });
                    continue;
                }
                let refusal = |what: String, hint: &str| StackError::Refused {
                    service: resource.clone(),
                    what,
                    hint: hint.to_owned(),
                };
                match amount(&read.value, figure) {
                    Err(why) => refuse(refusal(why, "write it as the specification has it, then make a new plan")),
                    // A plan that promised less would promise it again and again.
                    Ok(Some(old)) if old == asked && figure.is_finer(change.after, asked) => {
                        refuse(refusal("it takes whole cores and MiB, and stays".to_owned(), "nothing is to be done"));
                    }
                    Ok(Some(old)) if old == asked => {}
                    Ok(_) => {
                        let reads = |value: &Value| value.scalar().and_then(|text| figure.read(text)) == Some(asked);
                        let new =
                            set(&read, &[], &figure.keys(), &Amount(figure, asked), &reads, &|text| parse(text).ok());
                        match new {
                            Ok(new) => read = new,
                            Err(Fault { what, hint }) => refuse(refusal(what, hint)),
                        }
                    }
                }
            }
        }
        Ok((read.text, refusals))
    }
}

/// What the file requires now.
fn amount(value: &Value, figure: Figure) -> Result<Option<u64>, String> {
    let keys = figure.keys();
    match value.at(&keys) {
        Found::Nothing => Ok(None),
        Found::Odd(why) => Err(why),
        Found::Scalar(text) => {
            figure.read(text).map(Some).ok_or_else(|| format!("`{}: {text}` is no amount", keys.join(".")))
        }
    }
}

/// JSON is YAML in flow style once its comments are blanks: every character stays where it is.
fn parse(text: &str) -> Result<Read, StackError> {
    Read::of(text, Document::parse_as(text, &without_comments(text))?)
}

/// The text with `//` and `/* */` comments as blanks, line breaks kept.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match (quoted, c, rest.peek().copied()) {
            (true, '\\', Some(_)) => {
                plain.push(c);
                plain.extend(rest.next());
            }
            (_, '"', _) => {
                quoted = !quoted;
                plain.push(c);
            }
            (false, '/', Some('/')) => {
                plain.push(' ');
                while let Some(c) = rest.next_if(|c| *c != '\n') {
                    plain.push(if c == '\r' { c } else { ' ' });
                }
            }
            (false, '/', Some('*')) => {
                plain.push(' ');
                plain.extend(rest.next().map(|_| ' '));
                let mut star = false;
                for c in rest.by_ref() {
                    plain.push(if c == '\n' || c == '\r' { c } else { ' ' });
                    if star && c == '/' {
                        break;
                    }
                    star = c == '*';
                }
            }
            // YAML takes no tabs where it counts columns; JSON does not count them.
            (false, '\t', _) => plain.push(' '),
            _ => plain.push(c),
        }
    }
    plain
}

impl Target for DevContainer {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "devcontainer".to_owned(), location: self.path.to_string_lossy().into_owned() }
    }

    fn identity(&self) -> Result<String, StackError> {
        Ok(identity(&self.path))
    }

    fn read(&self) -> Result<Live, StackError> {
        let text = read_text(&self.path)?;
        let (resources, notes) = self.states(&text)?;
        Ok(Live { digest: digest(&text), resources, notes, ..Live::default() })
    }

    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        Ok(self.tried(&read_text(&self.path)?, changes)?.1)
    }

    fn mode(&self) -> u32 {
        crate::write::mode_of(&self.path)
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        Ok(Box::new(HeldText::hold(self.clone())?))
    }
}

impl OneText for DevContainer {
    fn path(&self) -> &Path {
        &self.path
    }

    fn limits(&self, text: &str) -> Result<BTreeMap<String, State>, StackError> {
        Ok(self.states(text)?.0)
    }

    fn edited(&self, text: &str, changes: &[Change]) -> Result<String, StackError> {
        let (edited, refusals) = self.tried(text, changes)?;
        refusals.into_iter().next().map_or(Ok(edited), |refusal| Err(refusal.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}// for everyone\n{\n\t\"name\": \"shop // not a comment\",\n\t/* sized\n\t   by hand */\n\t\"hostRequirements\": {\n\t\t\"cpus\": 4, // \"cpus\": 8\n\t\t\"memory\": \"8gb\",\n\t},\n\t\"image\": \"a:1\", // last\n}\n";

    fn change(cores: Option<f64>, bytes: Option<u64>) -> Change {
        Change {
            item_id: "i".into(),
            resource: "shop/devcontainer".into(),
            on: "devcontainer".into(),
            before: State::default(),
            after: State { cpu_cores: cores, memory_bytes: bytes },
            task: None,
            requests: None,
            text: None,
            follows: false,
        }
    }

    fn target() -> DevContainer {
        DevContainer::new("/src/shop/.devcontainer/devcontainer.json")
    }

    #[test]
    fn requirements_are_read_and_set_and_comments_stay() {
        let (states, _) = target().states(FILE).unwrap();
        let wanted = State { cpu_cores: Some(4.0), memory_bytes: Some(8 * GIB) };
        assert_eq!(states["shop/devcontainer"], wanted);
        let (edited, refusals) = target().tried(FILE, &[change(Some(1.2), Some(3 * GIB + 1))]).unwrap();
        assert!(refusals.is_empty(), "{refusals:?}");
        assert_eq!(edited, FILE.replace("\"cpus\": 4", "\"cpus\": 2").replace("8gb", "3073mb"));
    }

    #[test]
    fn what_is_missing_is_put_in() {
        for (text, wanted) in [
            ("{}\n", "{\"hostRequirements\": {\"cpus\": 2}}\n"),
            ("{\n  \"image\": \"a\" // x\n}\n", "{\n  \"image\": \"a\", \"hostRequirements\": {\"cpus\": 2} // x\n}\n"),
            (
                "{\"hostRequirements\": {\"memory\": \"1gb\",}}",
                "{\"hostRequirements\": {\"memory\": \"1gb\", \"cpus\": 2,}}",
            ),
        ] {
            let (edited, refusals) = target().tried(text, &[change(Some(2.0), None)]).unwrap();
            assert!(refusals.is_empty(), "{refusals:?}");
            assert_eq!(edited, wanted);
        }
        let odd = "{\"hostRequirements\": {\"memory\": \"lots\"}}";
        let (same, refusals) = target().tried(odd, &[change(None, Some(GIB))]).unwrap();
        assert_eq!((same.as_str(), refusals.len()), (odd, 1));
        let (_, refusals) =
            target().tried("{\"hostRequirements\": {\"cpus\": 2}}", &[change(Some(1.6), None)]).unwrap();
        assert!(refusals[0].error.to_string().contains("whole cores"), "{refusals:?}");
        let other = DevContainer::new("/src/shop/.devcontainer/python/devcontainer.json");
        assert_eq!(other.resource(), "shop/python");
        assert_eq!(DevContainer::new("/src/shop/.devcontainer.json").resource(), "shop/devcontainer");
    }
}
