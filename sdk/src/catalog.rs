//! Owns what a component says of its tools, and the check that a host will accept it.

use serde_json::Value;

use crate::args::ToolArgs;
use crate::tool::Described;
use crate::types::ToolInfo;

/// The entry of one tool in its component's catalogue.
pub fn entry<T: Described, A: ToolArgs>() -> ToolInfo {
    let examples: Vec<Value> = T::EXAMPLES
        .iter()
        .map(|example| {
            let args: Value = serde_json::from_str(example.args).unwrap_or(Value::Null);
            serde_json::json!({ "args": args, "when": example.when })
        })
        .collect();
    ToolInfo {
        name: T::NAME.to_owned(),
        title: T::TITLE.to_owned(),
        description: T::DESCRIPTION.to_owned(),
        input_schema: A::schema().to_string(),
        output_schema: None,
        examples_json: Value::Array(examples).to_string(),
    }
}

/// Everything that is wrong with the entry of a tool; empty when nothing is. The types leave little that could be: a
/// default or an example that its own argument refuses.
pub fn flaws<T: Described, A: ToolArgs>() -> Vec<String> {
    let mut flaws = Vec::new();
    lint(&A::schema(), "", &mut flaws);
    flaws.extend(A::default_flaws().into_iter().map(|error| format!("default of {error}")));
    for example in T::EXAMPLES {
        if let Err(error) = A::from_json(example.args) {
            flaws.push(format!("example {}: {error}", example.args));
        }
    }
    flaws.into_iter().map(|flaw| format!("{}: {flaw}", T::NAME)).collect()
}

/// Words of JSON Schema that models' function calling refuses.
const REFUSED: [&str; 9] =
    ["oneOf", "anyOf", "allOf", "not", "$ref", "$defs", "patternProperties", "prefixItems", "if"];

/// Checks a schema against the strict subset.
fn lint(schema: &Value, at: &str, flaws: &mut Vec<String>) {
    let Some(fields) = schema.as_object() else {
        flaws.push(format!("{at}/: not a schema"));
        return;
    };
    flaws.extend(
        REFUSED.iter().filter(|word| fields.contains_key(**word)).map(|word| format!("{at}/: `{word}`")),
    );
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        if fields.get("additionalProperties") != Some(&Value::Bool(false)) {
            flaws.push(format!("{at}/: the object is open"));
        }
        for (name, property) in properties {
            let described =
                property.get("description").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            if !described {
                flaws.push(format!("{at}/{name}: not described"));
            }
            lint(property, &format!("{at}/{name}"), flaws);
        }
    }
    if let Some(items) = fields.get("items") {
        lint(items, &format!("{at}/*"), flaws);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flaws_of(schema: Value) -> Vec<String> {
        let mut flaws = Vec::new();
        lint(&schema, "", &mut flaws);
        flaws
    }

    #[test]
    fn a_loose_schema_is_found_out() {
        let open =
            json!({ "type": "object", "properties": { "a": { "type": "string", "description": "A." } } });
        assert_eq!(flaws_of(open), ["/: the object is open"]);
        let bare = json!({ "type": "object", "additionalProperties": false, "properties": { "a": { "type": "string" } } });
        assert_eq!(flaws_of(bare), ["/a: not described"]);
        let union = json!({ "type": "array", "items": { "oneOf": [] } });
        assert_eq!(flaws_of(union), ["/*/: `oneOf`"]);
        assert_eq!(flaws_of(json!(true)), ["/: not a schema"]);
    }
}
