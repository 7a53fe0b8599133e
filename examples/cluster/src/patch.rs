//! Merge patches (RFC 7396), and the three operations of JSON patches (RFC 6902) that tools use.

use serde_json::{Map, Value};

pub fn merge(object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(fields) = object.as_object_mut() else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// # Errors
/// An operation or a path that is not there.
pub fn apply(object: &mut Value, patch: &Value) -> Result<(), String> {
    for step in patch.as_array().ok_or("a JSON patch is a list")? {
        let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or_default();
        let (operation, path) = (text("op"), text("path"));
        let value = step.get("value").cloned().unwrap_or(Value::Null);
        let (parent, last) = path.rsplit_once('/').ok_or_else(|| format!("`{path}` is no path"))?;
        let last = last.replace("~1", "/").replace("~0", "~");
        let missing = || format!("{operation} operation does not apply: there is no {path}");
        let parent = object.pointer_mut(parent).and_then(Value::as_object_mut).ok_or_else(missing)?;
        match operation {
            "add" => drop(parent.insert(last, value)),
            "replace" => *parent.get_mut(&last).ok_or_else(missing)? = value,
            "remove" => drop(parent.remove(&last).ok_or_else(missing)?),
            _ => return Err(format!("operation `{operation}` is not known")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_do_what_the_standards_say() {
        let mut object = json!({ "a": { "b": 1, "c": [1] }, "d": 2 });
        merge(&mut object, &json!({ "a": { "b": null, "e": { "f": 3 } }, "d": [4] }));
        assert_eq!(object, json!({ "a": { "c": [1], "e": { "f": 3 } }, "d": [4] }));
        apply(&mut object, &json!([{ "op": "replace", "path": "/a/c", "value": 5 }, { "op": "add", "path": "/a/x~1y", "value": 6 }])).unwrap();
        assert_eq!(object, json!({ "a": { "c": 5, "e": { "f": 3 }, "x/y": 6 }, "d": [4] }));
        assert!(apply(&mut object, &json!([{ "op": "replace", "path": "/q/r", "value": 1 }])).is_err());
    }
}
