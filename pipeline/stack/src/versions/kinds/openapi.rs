//! OpenAPI documents in JSON or YAML (spec.openapis.org, 3.0 and 3.1), as far as two of them can be compared: what the newer takes
//! away from, or asks more of, those who call it.
//!
//! Found: a path or an operation that is gone; a parameter or a field of a request that is newly required; a parameter, a field
//! of a request or a response that has another type; a value of a request's `enum` that is gone; a response, or a field of a
//! success response, that is gone. References inside the document are followed. What is not named here is not compared, so
//! that a document without breaking changes is no proof that callers are well.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What an operation may be.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Deeper schemas are compared no further: they may refer to themselves.
const DEEPEST: usize = 12;

/// A document.
pub(crate) struct Document(Value);

impl Document {
    /// Reads one.
    ///
    /// # Errors
    /// In words: it is neither JSON nor YAML, or no OpenAPI document.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        // YAML takes all JSON, and says of broken JSON less.
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) if text.trim_start().starts_with('{') => {
                return Err(format!("it is no OpenAPI document in JSON: {error}"));
            }
            Err(_) => crate::yaml::json::json(text)
                .map_err(|error| format!("it is no OpenAPI document in JSON or YAML: {error}"))?,
        };
        match (value["openapi"].as_str(), value["paths"].as_object()) {
            (Some(version), Some(_)) if version.starts_with("3.") => Ok(Self(value)),
            _ => Err("it is no OpenAPI document: it has no `openapi: 3.x` and `paths`".to_owned()),
        }
    }

    /// What a newer document breaks, in words, sorted.
    pub(crate) fn breaks(&self, newer: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (path, item) in object(&self.0["paths"]) {
            let Some(there) = newer.0["paths"].get(path) else {
                found.push(format!("{path} is gone"));
                continue;
            };
            let (item, there) = (self.at(item), newer.at(there));
            for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
                let name = format!("{} {path}", method.to_uppercase());
                match there.get(*method) {
                    Some(new) => self.operation(newer, &name, (item, &item[*method]), (there, new), &mut found),
                    None => found.push(format!("{name} is gone")),
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn operation(
        &self,
        newer: &Self,
        name: &str,
        old: (&Value, &Value),
        new: (&Value, &Value),
        found: &mut Vec<String>,
    ) {
        let (before, after) = (self.parameters(old), newer.parameters(new));
        for (key, parameter) in &after {
            let is_required = |it: &Value| it["required"] == true;
            let earlier = before.iter().find(|(other, _)| other == key).map(|(_, it)| *it);
            if is_required(parameter) && !earlier.is_some_and(is_required) {
                found.push(format!("{name}: the parameter {key} is required now"));
            }
            if let Some(earlier) = earlier {
                self.request(
                    newer,
                    &format!("{name}: the parameter {key}"),
                    &earlier["schema"],
                    &parameter["schema"],
                    0,
                    found,
                );
            }
        }
        let (old, new) = (old.1, new.1);
        let body = |document: &'_ Self, operation: &Value| document.at(&operation["requestBody"]).clone();
        let (before, after) = (body(self, old), body(newer, new));
        if after["required"] == true && before["required"] != true {
            found.push(format!("{name}: a body is required now"));
        }
        for (media, content) in object(&before["content"]) {
            match after["content"].get(media) {
                Some(there) => {
                    self.request(newer, &format!("{name}: the body"), &content["schema"], &there["schema"], 0, found)
                }
                None => found.push(format!("{name}: a body of {media} is not taken any more")),
            }
        }
        for (status, response) in object(&old["responses"]) {
            let Some(there) = new["responses"].get(status) else {
                if status.starts_with('2') {
                    found.push(format!("{name}: the response {status} is gone"));
                }
                continue;
            };
            let (response, there) = (self.at(response), newer.at(there));
            for (media, content) in object(&response["content"]).filter(|_| status.starts_with('2')) {
                let what = format!("{name}: the response {status}");
                match there["content"].get(media) {
                    Some(there) => self.response(newer, &what, &content["schema"], &there["schema"], 0, found),
                    None => found.push(format!("{what} has no {media} any more")),
                }
            }
        }
    }

    /// By place and name; those of the path belong to each of its operations.
    fn parameters<'a>(&'a self, (item, operation): (&'a Value, &'a Value)) -> Vec<(String, &'a Value)> {
        let all = [&item["parameters"], &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
        let named = all.map(|parameter| {
            let parameter = self.at(parameter);
            let text = |key: &str| parameter[key].as_str().unwrap_or_default();
            (format!("{} ({})", text("name"), text("in")), parameter)
        });
        named.collect()
    }

    /// What callers send: more may be taken, nothing more be asked for.
    fn request(&self, newer: &Self, what: &str, old: &Value, new: &Value, depth: usize, found: &mut Vec<String>) {
        let (old, new) = (self.at(old), newer.at(new));
        if let (Some(before), Some(after)) = (types(old), types(new))
            && !before.is_subset(&widened(&after))
        {
            found.push(format!("{what} is {} now, and was {}", list(&after), list(&before)));
        }
        if let (Some(before), Some(after)) = (old["enum"].as_array(), new["enum"].as_array()) {
            for value in before.iter().filter(|value| !after.contains(value)) {
                found.push(format!("{what} may not be {value} any more"));
            }
        }
        let required = |schema: &Value| -> BTreeSet<String> {
            schema["required"].as_array().into_iter().flatten().filter_map(|it| Some(it.as_str()?.to_owned())).collect()
        };
        for field in required(new).difference(&required(old)) {
            found.push(format!("{what}: the field {field} is required now"));
        }
        for (field, schema) in object(&old["properties"]).filter(|_| depth < DEEPEST) {
            if let Some(there) = new["properties"].get(field) {
                self.request(newer, &format!("{what}: the field {field}"), schema, there, depth + 1, found);
            }
        }
        if depth < DEEPEST && old.get("items").is_some() && new.get("items").is_some() {
            self.request(newer, &format!("{what}: an entry"), &old["items"], &new["items"], depth + 1, found);
        }
    }

    /// What callers read: more may be there, nothing less.
    fn response(&self, newer: &Self, what: &str, old: &Value, new: &Value, depth: usize, found: &mut Vec<String>) {
        let (old, new) = (self.at(old), newer.at(new));
        if let (Some(before), Some(after)) = (types(old), types(new))
            && !after.is_subset(&widened(&before))
        {
            found.push(format!("{what} is {} now, and was {}", list(&after), list(&before)));
        }
        for (field, schema) in object(&old["properties"]).filter(|_| depth < DEEPEST) {
            match new["properties"].get(field) {
                Some(there) => {
                    self.response(newer, &format!("{what}: the field {field}"), schema, there, depth + 1, found)
                }
                None => found.push(format!("{what}: the field {field} is gone")),
            }
        }
        if depth < DEEPEST && old.get("items").is_some() && new.get("items").is_some() {
            self.response(newer, &format!("{what}: an entry"), &old["items"], &new["items"], depth + 1, found);
        }
    }

    /// What a reference inside the document leads to; the value itself where it is none.
    fn at<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..DEEPEST {
            let next = value["$ref"].as_str().and_then(|to| self.0.pointer(to.strip_prefix('#')?));
            match next {
                Some(next) => value = next,
                None => break,
            }
        }
        value
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The types of a schema, as 3.1 has several and 3.0 `nullable`; none where it says nothing.
fn types(schema: &Value) -> Option<BTreeSet<&str>> {
    let mut all: BTreeSet<&str> = match &schema["type"] {
        Value::String(one) => BTreeSet::from([one.as_str()]),
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if schema["nullable"] == true {
        all.insert("null");
    }
    Some(all)
}

/// Every integer is a number.
fn widened<'a>(types: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let mut all = types.clone();
    if all.contains("number") {
        all.insert("integer");
    }
    all
}

fn list(types: &BTreeSet<&str>) -> String {
    types.iter().copied().collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r##"{"openapi": "3.0.3", "paths": {
        "/pay": {"parameters": [{"name": "user", "in": "header", "required": true, "schema": {"type": "string"}}],
            "post": {"parameters": [{"name": "page", "in": "query", "schema": {"type": "integer"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pay"}}}},
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "object",
                    "properties": {"id": {"type": "string"}, "sum": {"type": "number"}}}}}}, "404": {}}}},
        "/old": {"get": {"responses": {"200": {}}}}},
        "components": {"schemas": {"Pay": {"type": "object", "required": ["sum"], "properties":
            {"sum": {"type": "integer"}, "way": {"enum": ["card", "cash"]}, "of": {"$ref": "#/components/schemas/Pay"}}}}}}"##;

    fn breaks(edits: &[(&str, &str)]) -> Vec<String> {
        let mut new = OLD.to_owned();
        for (from, to) in edits {
            assert!(new.contains(from), "{from}");
            new = new.replacen(from, to, 1);
        }
        Document::parse(OLD).unwrap().breaks(&Document::parse(&new).unwrap())
    }

    #[test]
    fn what_callers_lose_is_found() {
        for (from, to, wanted) in [
            ("\"/old\"", "\"/new\"", "/old is gone"),
            ("\"post\"", "\"put\"", "POST /pay is gone"),
            (
                "\"in\": \"query\", ",
                "\"in\": \"query\", \"required\": true, ",
                "POST /pay: the parameter page (query) is required now",
            ),
            (
                "\"type\": \"integer\"",
                "\"type\": \"string\"",
                "POST /pay: the parameter page (query) is string now, and was integer",
            ),
            ("[\"sum\"]", "[\"sum\", \"way\"]", "POST /pay: the body: the field of: the field way is required now"),
            ("\"cash\"", "\"coin\"", "POST /pay: the body: the field way may not be \"cash\" any more"),
            ("\"id\": {\"type\": \"string\"}, ", "", "POST /pay: the response 200: the field id is gone"),
            (
                "\"id\": {\"type\": \"string\"",
                "\"id\": {\"type\": \"integer\"",
                "POST /pay: the response 200: the field id is integer now, and was string",
            ),
            ("{\"200\": {\"content\"", "{\"201\": {\"content\"", "POST /pay: the response 200 is gone"),
            (
                "\"requestBody\": {\"content\": {\"application/json\"",
                "\"requestBody\": {\"content\": {\"text/json\"",
                "POST /pay: a body of application/json is not taken any more",
            ),
        ] {
            let found = breaks(&[(from, to)]);
            assert!(found.iter().any(|one| one == wanted), "{wanted}: {found:#?}");
        }
    }

    #[test]
    fn a_document_in_yaml_is_the_same_document() {
        let yaml = "openapi: 3.0.3
paths:
  /pay:
    post:
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Pay'}}}}
      responses:
        200: {description: ok}
components:
  schemas:
    Pay: &pay
      type: object
      required: [sum]
      properties: {sum: {type: integer}}
    Other: *pay
";
        let old = Document::parse(yaml).unwrap();
        assert!(old.breaks(&Document::parse(yaml).unwrap()).is_empty());
        let new = yaml.replace("[sum]", "[sum, way]").replace("200: {", "201: {");
        let found = old.breaks(&Document::parse(&new).unwrap());
        assert_eq!(
            found,
            ["POST /pay: the body: the field way is required now", "POST /pay: the response 200 is gone"]
        );
        let same = r##"{"openapi": "3.0.3", "paths": {"/pay": {"post": {"requestBody": {"content": {"application/json":
            {"schema": {"$ref": "#/c"}}}}, "responses": {"200": {}}}}}, "c": {"type": "object", "required": ["sum"]}}"##;
        assert!(old.breaks(&Document::parse(same).unwrap()).is_empty());
        for (text, why) in
            [("openapi: [", "JSON or YAML"), ("{\"openapi\": ", "in JSON:"), ("a: 1\n", "no `openapi: 3.x`")]
        {
            let said = Document::parse(text).err().unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_is_only_more_breaks_nothing() {
        assert_eq!(breaks(&[]), Vec::<String>::new());
        for (from, to) in [
            ("\"404\": {}", "\"404\": {}, \"409\": {}"),
            ("\"type\": \"integer\"", "\"type\": \"number\""),
            ("\"id\": {\"type\": \"string\"}, ", "\"id\": {\"type\": \"string\"}, \"at\": {\"type\": \"string\"}, "),
            ("[\"sum\"]", "[]"),
            ("\"sum\": {\"type\": \"number\"}", "\"sum\": {\"type\": \"integer\"}"),
            ("\"cash\"", "\"cash\", \"coin\""),
        ] {
            assert_eq!(breaks(&[(from, to)]), Vec::<String>::new(), "{to}");
        }
    }
}
