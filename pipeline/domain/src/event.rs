//! From one JSON object to normalised events, or to the reason why not.

use crate::fields::{self, Field, Kind};
use crate::json::number;
use crate::privacy::{Names, Privacy};
use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::fmt;

/// The longest line that is read as an event, in bytes.
pub const LINE_LIMIT: usize = 16 << 20;

/// One thing that happened, normalised: pseudonymised, masked, in UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it began (for `usage`: when the interval ended).
    pub ts: Timestamp,
    /// Its type; unknown types are kept.
    pub kind: String,
    /// `owner/name`.
    pub repo: Option<String>,
    /// Branch of the repository.
    pub branch: Option<String>,
    /// `owner/name#number`.
    pub pr_id: Option<String>,
    /// Keyed hash of the person.
    pub developer: Option<String>,
    /// The developer environment.
    pub env: Option<String>,
    /// `env/service`.
    pub resource: Option<String>,
    /// Groups what one person did in one sitting.
    pub session: Option<String>,
    /// Outer fields the contract does not name.
    pub context: Map<String, Value>,
    /// What the type says about it.
    pub payload: Map<String, Value>,
}

impl Event {
    /// The optional outer fields in the order of [`crate::columns::EVENT_OUTER`].
    pub fn outer(&self) -> [Option<&str>; 7] {
        [&self.repo, &self.branch, &self.pr_id, &self.developer, &self.env, &self.resource, &self.session]
            .map(|field| field.as_deref())
    }
}

/// Why something could not be taken as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not JSON at all.
    NotJson,
    /// No text of UTF-8, UTF-16 or UTF-32. No pattern finds anything in it, so of it only length and hash may be kept.
    Encoding,
    /// JSON, but no object.
    NotAnObject,
    /// Longer than [`LINE_LIMIT`].
    TooLong,
    /// No `ts`, or none from 1970 up to 2200.
    Timestamp,
    /// No `type`, or not a string.
    Type,
    /// A required payload field is missing or null.
    Missing(&'static str),
    /// A field has another JSON type than the contract says, or is negative where it cannot be.
    FieldType(&'static str),
    /// The line is not what the chosen format expects.
    Format(&'static str),
    /// No format knows the dump it is in: what it looks like, and which formats are known.
    Unknown(&'static str),
    /// It is by a person who was erased from the lake. Of such a line only length and hash may be kept, never the text.
    Erased,
}

impl Reason {
    /// A short stable name, for grouping.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::Encoding => "encoding",
            Self::NotAnObject => "not_an_object",
            Self::TooLong => "too_long",
            Self::Timestamp => "timestamp",
            Self::Type => "type",
            Self::Missing(_) => "missing_field",
            Self::FieldType(_) => "field_type",
            Self::Format(_) => "format",
            Self::Unknown(_) => "unknown_format",
            Self::Erased => "erased",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())?;
        match self {
            Self::Missing(what) | Self::FieldType(what) | Self::Format(what) | Self::Unknown(what) => {
                write!(f, ": {what}")
            }
            Self::Encoding => f.write_str(": neither UTF-8 nor another Unicode encoding"),
            _ => Ok(()),
        }
    }
}

/// An event of a batch that could not be taken: its own JSON and the reason.
pub type Refused = (Value, Reason);

/// How much the outer fields of a batch may come to when they are copied into its events, in bytes.
const BATCH_LIMIT: usize = 4 * LINE_LIMIT;

/// About how long a value is as text.
fn text_length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_length).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + text_length(value)).sum::<usize>() + 2,
        _ => 8,
    }
}

/// The single events of a native object: itself, or those of a batch `{repo, branch, …, "events": […]}` with its outer
/// fields copied into each.
pub fn singles(value: Value) -> Vec<Result<Map<String, Value>, Refused>> {
    let Value::Object(mut outer) = value else {
        return vec![Err((value, Reason::NotAnObject))];
    };
    match outer.remove("events") {
        // Outer fields are copied into each event: a small line must not become gigabytes.
        Some(Value::Array(events))
            if !outer.contains_key("type")
                && events.len().saturating_mul(outer.values().map(text_length).sum()) > BATCH_LIMIT =>
        {
            outer.insert("events".into(), Value::Array(events));
            vec![Err((Value::Object(outer), Reason::TooLong))]
        }
        Some(Value::Array(events)) if !outer.contains_key("type") => events
            .into_iter()
            .map(|event| match event {
                Value::Object(inner) => {
                    let mut merged = outer.clone();
                    merged.extend(inner.into_iter().filter(|(_, value)| !value.is_null()));
                    Ok(merged)
                }
                other => Err((other, Reason::NotAnObject)),
            })
            .collect(),
        Some(events) => {
            outer.insert("events".into(), events);
            vec![Ok(outer)]
        }
        None => vec![Ok(outer)],
    }
}

/// Reads a native object, single or batch.
pub fn read_native(value: Value, privacy: &Privacy) -> Vec<Result<Event, Refused>> {
    singles(value).into_iter().map(|event| event.and_then(|object| normalise(object, privacy))).collect()
}

/// Checks one object against the contract and brings it to its normal form.
pub fn normalise(object: Map<String, Value>, privacy: &Privacy) -> Result<Event, Refused> {
    match check(&object) {
        Ok((ts, kind)) => build(object, ts, kind, privacy),
        Err(reason) => Err((Value::Object(object), reason)),
    }
}

fn check(object: &Map<String, Value>) -> Result<(Timestamp, String), Reason> {
    let kind = match object.get("type") {
        Some(Value::String(kind)) if !kind.is_empty() => kind.clone(),
        _ => return Err(Reason::Type),
    };
    let ts = object.get("ts").and_then(Value::as_str).and_then(Timestamp::parse);
    let ts = ts.filter(|ts| ts.is_usable()).ok_or(Reason::Timestamp)?;
    let empty = Map::new();
    let payload = match object.get("payload") {
        Some(Value::Object(payload)) => payload,
        None | Some(Value::Null) => &empty,
        Some(_) => return Err(Reason::FieldType("payload")),
    };
    for field in fields::of(&kind).iter().copied().flatten() {
        match payload.get(field.name) {
            None | Some(Value::Null) if field.required => return Err(Reason::Missing(field.name)),
            None | Some(Value::Null) => {}
            Some(value) if fits(value, field) => {}
            Some(_) => return Err(Reason::FieldType(field.name)),
        }
    }
    Ok((ts, kind))
}

/// Whether a value has the JSON type the contract gives its field. An amount that cannot be is one all the same: it is
/// kept, and gets no column ([`Field::most`]).
fn fits(value: &Value, field: &Field) -> bool {
    match field.kind {
        Kind::Text => value.is_string(),
        Kind::Id => value.is_string() || whole(value).is_some(),
        Kind::Int => whole(value).is_some(),
        Kind::Count => whole(value).map_or_else(|| number::is_huge(value), |n| n >= 0),
        Kind::Float => number::float(value).is_some(),
        Kind::Amount => {
            let amount = number::float(value);
            amount.is_some_and(|f| f >= 0.0 || field.is_share()) || amount.is_none() && number::is_huge(value)
        }
        Kind::Bool => value.is_boolean(),
        Kind::Time => value.as_str().and_then(Timestamp::parse).is_some(),
        Kind::List => value.is_array(),
        Kind::Json => true,
    }
}

/// The whole number a JSON number stands for, `3.0` included.
pub fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let f = value.as_f64().filter(|_| !value.is_u64())?;
        (f.fract() == 0.0 && f.abs() < 9.007_199_254_740_992e15).then_some(f as i64)
    })
}

fn build(mut object: Map<String, Value>, ts: Timestamp, kind: String, privacy: &Privacy) -> Result<Event, Refused> {
    // A copy of the outer object is needed only to show a reject; those who fail here are few and small.
    let refuse = |object: Map<String, Value>, field| Err((Value::Object(object), Reason::FieldType(field)));
    for field in ["repo", "branch", "pr", "developer", "env", "resource", "session"] {
        let fits = match object.get(field) {
            None | Some(Value::Null | Value::String(_)) => true,
            Some(value) if field == "pr" => whole(value).is_some_and(|n| n >= 0) || value.is_object(),
            Some(value) if field == "session" || field == "developer" => whole(value).is_some() || value.is_object(),
            Some(value) => value.is_object(),
        };
        if !fits {
            return refuse(object, field);
        }
    }
    object.remove("ts");
    object.remove("type");
    let mut payload = match object.remove("payload") {
        Some(Value::Object(payload)) => payload,
        _ => Map::new(),
    };
    let mut context = Map::new();
    let mut branch = take(&mut object, "branch", &["name"], &mut context);
    if let Some(Value::Object(repo)) = object.get_mut("repo")
        && let Some(Value::String(inner)) = repo.remove("branch")
    {
        branch.get_or_insert(inner);
    }
    let repo = take(&mut object, "repo", &["name", "full_name"], &mut context);
    let pr = take(&mut object, "pr", &["pr_id", "number"], &mut context);
    let developer = take(&mut object, "developer", &["user_id", "id", "login", "name"], &mut context);
    let env = take(&mut object, "env", &["name"], &mut context);
    let resource = take(&mut object, "resource", &["name"], &mut context);
    let session = take(&mut object, "session", &["id"], &mut context);
    let (repo, pr_id) = resolve_pr(repo, pr, &mut context);
    // Their names, before the fields that hold them become hashes. Names of repositories and environments join events of
    // several people, so they are left out of the search.
    let mut names = Names::default();
    developer.iter().for_each(|name| names.add(name));
    let mut profile = context.remove("developer");
    if let Some(Value::Object(profile)) = &mut profile {
        privacy.scrub_profile(profile);
    }
    context.extend(object);
    names.add_all(&payload);
    names.add_all(&context);
    let developer = developer.map(|name| privacy.person(&name));
    let by_erased = developer.as_ref().is_some_and(|hash| privacy.is_erased(hash));
    if by_erased || privacy.is_by_erased(&payload) || privacy.is_by_erased(&context) {
        payload.extend(context);
        return Err((Value::Object(payload), Reason::Erased));
    }
    privacy.scrub_object(&mut payload);
    privacy.scrub_object(&mut context);
    context.extend(profile.map(|profile| ("developer".to_owned(), profile)));
    privacy.scrub_names(&names, &mut payload);
    privacy.scrub_names(&names, &mut context);
    Ok(Event {
        ts,
        kind: privacy.scrub_text(&kind),
        repo: repo.map(|t| privacy.scrub_text(&t)),
        branch: branch.map(|t| privacy.scrub_branch(&t)),
        pr_id: pr_id.map(|t| privacy.scrub_text(&t)),
        developer,
        env: env.map(|t| privacy.scrub_text(&t)),
        resource: resource.map(|t| privacy.scrub_text(&t)),
        session: session.map(|t| privacy.scrub_text(&t)),
        context: strip_nulls(context),
        payload: strip_nulls(payload),
    })
}

/// Takes an outer field out as text. An object gives one of `keys`; what else it holds stays in the context.
fn take(
    object: &mut Map<String, Value>,
    field: &str,
    keys: &[&str],
    context: &mut Map<String, Value>,
) -> Option<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()).filter(|t| !t.is_empty()),
        Value::Number(_) => whole(value).map(|n| n.to_string()),
        _ => None,
    };
    match object.remove(field)? {
        Value::Object(mut inner) => {
            let found = keys.iter().find_map(|key| {
                let found = text(inner.get(*key)?)?;
                inner.remove(*key);
                Some(found)
            });
            if !inner.is_empty() {
                context.insert(field.to_owned(), Value::Object(inner));
            }
            found
        }
        value => text(&value),
    }
}

/// `pr` is a number of `repo`, or `owner/repo#n` by itself. What cannot be resolved stays in the context.
fn resolve_pr(
    repo: Option<String>,
    pr: Option<String>,
    context: &mut Map<String, Value>,
) -> (Option<String>, Option<String>) {
    let Some(pr) = pr else { return (repo, None) };
    if let Some((owner, number)) = pr.rsplit_once('#')
        && !owner.is_empty()
        && number.parse::<u64>().is_ok()
    {
        let repo = repo.unwrap_or_else(|| owner.to_owned());
        return (Some(repo), Some(pr));
    }
    match (pr.trim_start_matches('#').parse::<u64>(), &repo) {
        (Ok(number), Some(name)) => {
            let pr_id = format!("{name}#{number}");
            (repo, Some(pr_id))
        }
        _ => {
            context.insert("pr".into(), Value::String(pr));
            (repo, None)
        }
    }
}

fn strip_nulls(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Identity, hex};
    use proptest::prelude::*;
    use serde_json::json;

    fn event_id(event: &Event) -> String {
        hex(Identity::new(&privacy()).normal_form(event).id)
    }

    fn privacy() -> Privacy {
        Privacy::new(b"test key of the domain")
    }

    fn one(value: Value) -> Result<Event, Reason> {
        read_native(value, &privacy()).remove(0).map_err(|(_, reason)| reason)
    }

    fn usage(payload: Value) -> Result<Event, Reason> {
        one(json!({"ts": "2026-10-01T00:00:00Z", "type": "usage", "payload": payload}))
    }

    #[test]
    fn a_batch_is_the_same_as_its_events() {
        let batch = json!({"repo": "acme/api", "pr": 7, "developer": "ann", "events": [
            {"ts": "2026-10-01T00:00:00Z", "type": "edit", "payload": {"file": "a.rs"}},
            {"ts": "2026-10-01T00:00:05Z", "type": "annotation", "payload": {"note": "n"}, "branch": "b"},
        ]});
        let single = json!({"ts": "2026-10-01T02:00:00+02:00", "type": "edit", "repo": "acme/api", "pr": "acme/api#7",
            "developer": "ann", "branch": null, "payload": {"file": "a.rs", "lines_added": null}});
        let ids: Vec<_> = read_native(batch, &privacy()).into_iter().map(|e| event_id(&e.unwrap())).collect();
        assert_eq!(ids[0], event_id(&one(single).unwrap()));
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn nested_outer_objects_of_the_trace_form_are_understood() {
        let event = one(json!({"ts": "2026-10-01T00:00:00Z", "type": "edit", "payload": {"file": "a.py"},
            "repo": {"name": "acme/api", "branch": "fix", "language": ["python"]},
            "pr": {"pr_id": "acme/api#3", "title": "Fix"}, "developer": {"user_id": "u1", "os": "macOS"}}))
        .unwrap();
        assert_eq!(event.pr_id.as_deref(), Some("acme/api#3"));
        assert_eq!(event.branch.as_deref(), Some("fix"));
        assert_eq!(event.context["repo"]["language"][0], "python");
        assert_eq!(event.context["developer"]["os"], "macOS");
        assert!(event.developer.unwrap().starts_with("u-"));
    }

    #[test]
    fn the_type_rule_refuses_what_would_be_misread() {
        assert!(usage(json!({"interval_s": 300.0, "memory_bytes": 3.0})).is_ok());
        assert_eq!(usage(json!({})), Err(Reason::Missing("interval_s")));
        assert_eq!(usage(json!({"interval_s": null})), Err(Reason::Missing("interval_s")));
        assert_eq!(usage(json!({"interval_s": "300"})), Err(Reason::FieldType("interval_s")));
        assert_eq!(usage(json!({"interval_s": -1})), Err(Reason::FieldType("interval_s")));
        assert_eq!(usage(json!({"interval_s": 1, "memory_bytes": 1.5})), Err(Reason::FieldType("memory_bytes")));
        assert_eq!(one(json!([1])), Err(Reason::NotAnObject));
        assert_eq!(one(json!({"type": "edit"})), Err(Reason::Timestamp));
        assert_eq!(one(json!({"ts": "2026-10-01T00:00:00Z", "type": 3})), Err(Reason::Type));
        assert_eq!(one(json!({"ts": "2200-01-01T00:00:00Z", "type": "x"})), Err(Reason::Timestamp));
        assert!(one(json!({"ts": "2026-10-01T00:00:00Z", "type": "brand_new", "payload": {"any": [1]}})).is_ok());
    }

    #[test]
    fn what_an_erased_person_did_is_refused_and_who_mentions_them_is_not() {
        let privacy = privacy();
        let erased = privacy.clone().with_erased(std::collections::HashSet::from([privacy.person("ann")]));
        let read = |inside: Value| {
            let mut event = json!({"ts": "2026-10-01T00:00:00Z", "type": "pr"});
            event["payload"] = json!({"action": "opened"});
            for (key, value) in inside.as_object().unwrap() {
                match value {
                    Value::Object(fields) if key == "payload" => {
                        event["payload"].as_object_mut().unwrap().extend(fields.clone());
                    }
                    value => event[key] = value.clone(),
                }
            }
            read_native(event, &erased).remove(0).map_err(|(_, reason)| reason)
        };
        for by_ann in [
            json!({"developer": "ann"}),
            json!({"developer": {"user_id": "ann"}}),
            json!({"actor": {"login": "ann"}}),
            json!({"payload": {"sender": "ann"}}),
            json!({"payload": {"user": {"login": "ann", "id": 3}}}),
        ] {
            assert_eq!(read(by_ann), Err(Reason::Erased));
        }
        let bob = read(json!({"developer": "bob", "payload": {"reviewers": ["ann"], "note": "by @ann"}})).unwrap();
        assert_eq!(bob.payload["reviewers"], json!(["[erased]"]));
        assert_eq!(bob.payload["note"], "by @[erased]");
    }

    #[test]
    fn one_changed_field_makes_a_new_event() {
        let commit = |n: i64| {
            one(json!({"ts": "2026-10-01T00:00:00Z", "type": "commit", "payload": {"sha": "a1", "files_changed": n}}))
        };
        assert_eq!(event_id(&commit(2).unwrap()), event_id(&commit(2).unwrap()));
        assert_ne!(event_id(&commit(2).unwrap()), event_id(&commit(3).unwrap()));
    }

    proptest! {
        #[test]
        fn key_order_nulls_and_number_form_never_change_the_identity(
            entries in proptest::collection::btree_map("[a-z]{1,6}", -1000i64..1000, 0..8),
            seed in 0usize..100,
        ) {
            let mut forward = String::new();
            let mut backward = String::new();
            for (i, (k, v)) in entries.iter().enumerate() {
                forward.push_str(&format!(",\"{k}\":{v}"));
                let odd = if (i + seed).is_multiple_of(2) { ".0" } else { "" };
                backward = format!(",\"{k}\":{v}{odd}{backward}");
            }
            let event = |inside: &str| {
                let text = format!(r#"{{"ts":"2026-10-01T00:00:00Z","type":"x","payload":{{"n":null{inside}}}}}"#);
                event_id(&one(serde_json::from_str(&text).unwrap()).unwrap())
            };
            prop_assert_eq!(event(&forward), event(&backward));
        }
    }
}
