//! Journals of format 1, which knew one target and one text: read as one step.

use super::{FORMAT_VERSION, Journal};
use domain::plan::ONLY_TARGET;
use domain::units::counted;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

impl<'de> Deserialize<'de> for Journal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let value = if value["format_version"].is_null() { read(value) } else { value };
        Self::deserialize(value).map_err(D::Error::custom)
    }
}

impl Serialize for Journal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

fn read(mut old: Value) -> Value {
    let mut take = |name: &str| old.get_mut(name).map(Value::take).unwrap_or_default();
    let (target, before, after) = (take("target"), take("before_digest"), take("after_digest"));
    let mut changes = take("changes");
    for change in changes.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        change.insert("on".into(), ONLY_TARGET.into());
    }
    let state = take("state");
    let progress = match state.as_str() {
        Some("prepared") => Some("doing"),
        Some("applied") => Some("done"),
        Some("rolled_back") => Some("undone"),
        _ => None,
    };
    let all = |name: &str| -> Vec<Value> {
        changes.as_array().into_iter().flatten().map(|change| change[name].clone()).collect()
    };
    let names: Vec<String> = all("resource").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    // Where nothing was to be changed, there was no step.
    let steps: Vec<Value> = progress
        .filter(|_| before != after)
        .map(|progress| {
            json!({
                "on": ONLY_TARGET, "resource": names.join(", "), "items": all("item_id"),
                "what": format!("write {}", counted(names.len(), "change")),
                "before": take("before_text"), "after": take("after_text"),
                "before_digest": before, "after_digest": after,
                "progress": progress, "healthy": progress == "done",
            })
        })
        .into_iter()
        .collect();
    let written = take("written");
    json!({
        "format_version": FORMAT_VERSION, "plan_id": take("plan_id"), "state": state, "changes": changes, "steps": steps,
        "targets": [{
            "id": ONLY_TARGET, "kind": target["kind"], "location": target["location"], "prior_state_digest": before,
        }],
        "written": written.as_bool().unwrap_or(false), "why": null, "log": take("steps"),
    })
}
