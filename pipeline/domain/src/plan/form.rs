//! Plans of earlier formats: read into today's form, and written in their own, which their digest is of.
//!
//! Format 1 had one target in `target` and `prior_state_digest`, and items without `on`.

use super::Plan;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

/// How the one target of a plan of format 1 is called in today's form.
pub const ONLY_TARGET: &str = "target";

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if value["format_version"] == 1 {
            from_version_1(&mut value);
        }
        Self::deserialize(value).map_err(D::Error::custom)
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.format_version != 1 {
            return Self::serialize(self, serializer);
        }
        let mut value = Self::serialize(self, serde_json::value::Serializer).map_err(S::Error::custom)?;
        to_version_1(&mut value);
        value.serialize(serializer)
    }
}

fn from_version_1(value: &mut Value) {
    let Some(plan) = value.as_object_mut() else { return };
    // What a plan of format 1 never had would be taken out of its digest again.
    if plan.contains_key("targets") {
        return;
    }
    let (target, prior) = (plan.remove("target"), plan.remove("prior_state_digest"));
    if let (Some(target), Some(prior)) = (target, prior) {
        let mut planned = json!({"id": ONLY_TARGET, "prior_state_digest": prior});
        for name in ["kind", "location"] {
            planned[name] = target[name].clone();
        }
        plan.insert("targets".into(), json!([planned]));
    }
    for item in items(plan) {
        item.insert("on".into(), ONLY_TARGET.into());
    }
}

fn to_version_1(value: &mut Value) {
    let Some(plan) = value.as_object_mut() else { return };
    if let Some(target) = plan.remove("targets").and_then(|targets| targets.get(0).cloned()) {
        plan.insert("target".into(), json!({"kind": target["kind"], "location": target["location"]}));
        plan.insert("prior_state_digest".into(), target["prior_state_digest"].clone());
    }
    for item in items(plan) {
        item.remove("on");
    }
}

fn items(plan: &mut serde_json::Map<String, Value>) -> impl Iterator<Item = &mut serde_json::Map<String, Value>> {
    plan.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the program made it when there was only format 1.
    const MADE: &str = include_str!("version_1.json");

    #[test]
    fn a_plan_of_format_1_is_intact_and_keeps_its_form() {
        let plan: Plan = serde_json::from_str(MADE).unwrap();
        assert!(plan.is_intact());
        assert_eq!((plan.targets.len(), plan.targets[0].kind.as_str()), (1, "compose"));
        assert_eq!(plan.targets[0].location, "/srv/acme/compose.yaml");
        assert!(plan.targets[0].prior_state_digest.starts_with("sha256:f296352b"));
        assert!(plan.items.iter().all(|item| item.on == plan.targets[0].id));
        let written: Value = serde_json::to_value(&plan).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(MADE).unwrap());
    }

    #[test]
    fn an_edit_of_a_plan_of_format_1_shows() {
        for (old, new) in [
            ("/srv/acme/compose.yaml", "/etc/compose.yaml"),
            ("\"format_version\": 1", "\"format_version\": 2"),
            ("sha256:f296352b", "sha256:0296352b"),
            ("\"model\"", "\"targets\": [], \"model\""),
        ] {
            let edited = MADE.replacen(old, new, 1);
            assert_ne!(edited, MADE);
            let read = serde_json::from_str::<Plan>(&edited);
            assert!(!read.is_ok_and(|plan| plan.is_intact()), "{new}");
        }
    }
}
