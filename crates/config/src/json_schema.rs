//! JSON Schema (2020-12) of the configuration, for editors and CI, generated from the key tables that the parser uses.
//! Checks across tables are left to `check`.

use serde_json::{Map, Value, json};

use super::keys::{AbsentMeaning, ConfigKey, KeyDefault, ROOT, ValueKind};

/// Returns the JSON Schema of the configuration file.
pub fn json_schema() -> Value {
    let mut schema = of_table(ROOT);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "trunkgate.toml",
        "$defs": {
            "duration": {
                "description": "\"500ms\", \"30s\", \"10m\" or \"1h30m\"; \"0s\" and 0 mean off or no limit, where the key allows 0",
                "anyOf": [{ "type": "string", "pattern": r"^\s*(0|([0-9]+(ms|s|m|h|d))+)\s*$" }, { "const": 0 }],
            },
            "name": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
            "secret": {
                "description": "a string, { env = \"NAME\" } or { file = \"PATH\" }",
                "oneOf": [
                    { "type": "string", "minLength": 1 },
                    one_text("env"),
                    one_text("file"),
                ],
            },
            "size": { "type": "string", "pattern": r"^\s*[0-9]+\s*(B|[kKMG]B|[KMG]iB)$" },
        },
    });
    if let (Some(schema), Value::Object(head)) = (schema.as_object_mut(), head) {
        schema.extend(head);
    }
    schema
}

fn one_text(key: &str) -> Value {
    let properties = json!({ key: { "type": "string" } });
    json!({ "type": "object", "properties": properties, "required": [key], "additionalProperties": false })
}

fn of_table(keys: &[ConfigKey]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), of_key(key))).collect();
    let required: Vec<&str> =
        keys.iter().filter(|key| matches!(key.default.is, AbsentMeaning::Required(_))).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if let (Some(schema), false) = (schema.as_object_mut(), required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn of_key(key: &ConfigKey) -> Value {
    let mut schema = of_kind(key.kind);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), json!(key.about));
        match key.default.is {
            AbsentMeaning::Value(text) => {
                schema.insert("default".to_owned(), default_value(text).unwrap_or_default());
            }
            AbsentMeaning::Told(words) => {
                schema.insert("x-default".to_owned(), json!(words));
            }
            AbsentMeaning::Required(_) => {}
        }
        if let KeyDefault { beside: Some(other), .. } = key.default {
            schema.insert("x-with".to_owned(), json!(other));
        }
    }
    schema
}

/// Returns a default as JSON.
pub(super) fn default_value(text: &str) -> Option<Value> {
    let mut table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    serde_json::to_value(table.remove("value")?).ok()
}

fn of_kind(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Text(_) | ValueKind::Url | ValueKind::SecretUrl => json!({ "type": "string" }),
        ValueKind::Name => json!({ "$ref": "#/$defs/name" }),
        ValueKind::Secret => json!({ "$ref": "#/$defs/secret" }),
        ValueKind::Duration => json!({ "$ref": "#/$defs/duration" }),
        ValueKind::Size => json!({ "$ref": "#/$defs/size" }),
        ValueKind::Boolean => json!({ "type": "boolean" }),
        ValueKind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        ValueKind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        ValueKind::Choice(numbers) => json!({ "enum": numbers }),
        ValueKind::Word(words) => json!({ "enum": words }),
        ValueKind::Command => json!({ "type": "array", "items": { "type": "string" } }),
        ValueKind::List(item) => json!({ "type": "array", "items": of_kind(*item) }),
        ValueKind::Many(item) => {
            let item = of_kind(*item);
            json!({ "anyOf": [item.clone(), { "type": "array", "items": item }] })
        }
        ValueKind::Map(item) => json!({ "type": "object", "additionalProperties": of_kind(*item) }),
        ValueKind::Table(keys) => of_table(keys),
        ValueKind::Named(keys) => {
            let names = json!({ "$ref": "#/$defs/name" });
            json!({ "type": "object", "propertyNames": names, "additionalProperties": of_table(keys) })
        }
        ValueKind::Rows(keys) => json!({ "type": "array", "items": of_table(keys) }),
        ValueKind::Either(kinds) => json!({ "anyOf": kinds.iter().map(|kind| of_kind(*kind)).collect::<Vec<_>>() }),
    }
}
