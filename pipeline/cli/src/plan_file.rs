//! The plan on a person's disk: read, refused when it was edited, and written in the place of an earlier plan and of nothing
//! else.

use crate::failure::{Exit, Failure};
use domain::plan::{FORMAT_VERSION, Plan, is_plan_id};
use intake::Source;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt::Formatter;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use tempfile::Builder;

/// How every plan that was ever written begins.
const BEGINS: &str = "{\n  \"format_version\": ";

/// No plan is larger: one of 10,000 resources has some 40 MB.
const MOST_BYTES: u64 = 1 << 30;

/// The text of a plan: of a file, or of an object, as those of a lake in an object store are.
fn text_of(path: &Path) -> Result<String, Failure> {
    const MADE: &str = "a plan is made by `pipeline plan -o plan.json`";
    let Some(location) = path.to_str().filter(|path| path.contains("://")) else {
        return fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error).hint(MADE));
    };
    let mut sources = Source::find(location, &mut |_| ())?.into_iter();
    let (Some(source), None) = (sources.next(), sources.next()) else {
        return Err(Failure::new(Exit::Usage, format!("{location} is no single plan")).hint(MADE));
    };
    String::from_utf8(source.document(MOST_BYTES)?)
        .map_err(|_| Failure::new(Exit::Failed, format!("{location} is no plan: it is not UTF-8 text")).hint(MADE))
}

/// Reads a plan file and refuses one that was edited since it was made.
pub fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let text = text_of(path)?;
    let tampered = |what: String| {
        Failure::new(Exit::Refused, format!("{} {what}", path.display()))
            .hint("make a new plan; to change what it does use `pipeline plan --override`")
    };
    // A file that is no plan at all cannot have been edited.
    let looks = serde_json::from_str::<Value>(&text).is_ok_and(|v| v.get("plan_id").is_some());
    let no_plan = |error: serde_json::Error| {
        let failure = tampered(format!("is no plan: {error}"));
        if looks { failure } else { Failure { exit: Exit::Failed, ..failure } }
    };
    let told = serde_json::from_str::<Strict>(&text).map_err(no_plan)?.0;
    let plan: Plan = serde_json::from_str(&text).map_err(no_plan)?;
    if !(1..=FORMAT_VERSION).contains(&plan.format_version) {
        let known = format!("has format version {}, this program knows 1 to {FORMAT_VERSION}", plan.format_version);
        return Err(tampered(known));
    }
    if !is_plan_id(&plan.plan_id) {
        return Err(tampered(format!("was changed after it was made: {:?} is no plan id", plan.plan_id)));
    }
    if !plan.is_intact() {
        return Err(tampered("was changed after it was made: its digest does not match".to_owned()));
    }
    // The digest is of what is known of a plan: what else the file says would be read by people and by nobody else.
    let known = serde_json::to_value(&plan).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    if let Some(field) = unknown(&told, &known, "") {
        return Err(tampered(format!("was changed after it was made: it has a field {field}, which no plan has")));
    }
    Ok(plan)
}

/// The first field that only the file has, as `items[0].note`; one without a value says nothing.
fn unknown(told: &Value, known: &Value, at: &str) -> Option<String> {
    match (told, known) {
        (Value::Object(told), Value::Object(known)) => told.iter().find_map(|(name, value)| {
            let place = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            match known.get(name) {
                None if value.is_null() => None,
                None => Some(place),
                Some(known) => unknown(value, known, &place),
            }
        }),
        (Value::Array(told), Value::Array(known)) => {
            told.iter().zip(known).enumerate().find_map(|(n, (a, b))| unknown(a, b, &format!("{at}[{n}]")))
        }
        _ => None,
    }
}

/// JSON in which no object has a field twice: of two, one reader takes the first and another the last.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = all.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = all.next_key::<String>()? {
            let Strict(value) = all.next_value()?;
            if map.contains_key(&name) {
                return Err(de::Error::custom(format!("the field {name} is there twice")));
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// Refuses a place where something is that is no plan. An empty file and a plan that was cut off hold nothing that could
/// be lost, and so do not stop the nights.
pub fn may_replace(path: &Path) -> Result<(), Failure> {
    let refused = |what: &str| {
        Err(Failure::new(Exit::Usage, format!("{} is {what} and no plan", path.display()))
            .hint("it is left alone; give another file with -o"))
    };
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(Failure::new(
            Exit::Failed,
            format!("cannot write {}: there is no folder {}", path.display(), folder.display()),
        )
        .hint("make the folder, or give another place with -o"));
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::file("read", path, &error)),
        Ok(found) if found.is_symlink() => return refused("a symbolic link"),
        Ok(found) if found.is_dir() => return refused("a folder"),
        Ok(found) if !found.is_file() => return refused("a device or a pipe"),
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let is_plan = match serde_json::from_slice::<Value>(&bytes) {
        Ok(value) => value["format_version"].is_u64() && value["plan_id"].is_string() && value["items"].is_array(),
        Err(error) => error.is_eof() && (bytes.starts_with(BEGINS.as_bytes()) || BEGINS.as_bytes().starts_with(&bytes)),
    };
    if is_plan { Ok(()) } else { refused("there") }
}

/// Writes a plan wholly or not at all.
pub fn write_plan(path: &Path, plan: &Plan) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    may_replace(path)?;
    let failed = |error: std::io::Error| Failure::file("write", path, &error);
    let mut text = serde_json::to_string_pretty(plan).map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
    text.push('\n');
    let there = fs::metadata(path).ok();
    // A new file is as open as the user's mask says; one that is there stays as it is.
    let mut draft = Builder::new()
        .prefix(".plan-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder(path))
        .map_err(failed)?;
    if let Some(there) = &there {
        draft.as_file().set_permissions(there.permissions()).map_err(failed)?;
    }
    draft.write_all(text.as_bytes()).and_then(|()| draft.as_file().sync_all()).map_err(failed)?;
    match there {
        Some(_) => draft.persist(path).map(drop).map_err(|lost| failed(lost.error)),
        // Something may have been put there meanwhile.
        None => draft.persist_noclobber(path).map(drop).map_err(|lost| failed(lost.error)),
    }
}

/// The folder that a file is, or is to be, in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
