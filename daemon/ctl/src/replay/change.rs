//! What one decision changed in an incident, place by place.

use crate::text::short;
use medic_core::Incident;
use serde_json::Value;

/// Characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 140;
/// Said on the line of the decision itself, or by the order of the lines.
const TOLD_OTHERWISE: [&str; 2] = ["revision", "updated_at"];

/// One line a change: `place: before → after`, `+ place: new`, `- place: old`. Empty when nothing changed.
pub fn changes(before: &Incident, after: &Incident) -> Vec<String> {
    let value = |incident| serde_json::to_value(incident).unwrap_or_default();
    let (Value::Object(mut before), Value::Object(mut after)) = (value(before), value(after)) else {
        return Vec::new();
    };
    for told in TOLD_OTHERWISE {
        before.remove(told);
        after.remove(told);
    }
    let mut lines = Vec::new();
    compare("", &Value::Object(before), &Value::Object(after), &mut lines);
    lines
}

fn compare(place: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(one), Value::Object(two)) => {
            let within = |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
            for (key, before) in one {
                match two.get(key) {
                    Some(after) => compare(&within(key), before, after, lines),
                    None => lines.push(format!("- {}: {}", short(&within(key), 80), shown(before))),
                }
            }
            for (key, after) in two.iter().filter(|(key, _)| !one.contains_key(*key)) {
                lines.push(format!("+ {}: {}", short(&within(key), 80), shown(after)));
            }
        }
        (Value::Array(one), Value::Array(two)) => {
            for (n, (before, after)) in one.iter().zip(two).enumerate() {
                compare(&format!("{place}[{n}]"), before, after, lines);
            }
            let common = one.len().min(two.len());
            let rest = |sign: char, list: &[Value]| -> Vec<String> {
                let rest = list.iter().enumerate().skip(common);
                rest.map(|(n, value)| format!("{sign} {place}[{n}]: {}", shown(value))).collect()
            };
            lines.extend(rest('-', one));
            lines.extend(rest('+', two));
        }
        (before, after) => {
            lines.push(format!("{}: {} → {}", short(place, 80), shown(before), shown(after)));
        }
    }
}

fn shown(value: &Value) -> String {
    short(&value.to_string(), VALUE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(before: &Value, after: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        compare("", before, after, &mut lines);
        lines
    }

    #[test]
    fn only_what_differs_is_told_where_it_differs() {
        assert_eq!(
            told(&json!({ "a": 1, "b": [1, 2] }), &json!({ "a": 1, "b": [1, 2] })),
            Vec::<String>::new()
        );
        assert_eq!(
            told(
                &json!({ "a": { "b": 1 }, "l": [1], "gone": 1 }),
                &json!({ "a": { "b": 2 }, "l": [1, 3], "new": "x" })
            ),
            ["a.b: 1 → 2", "- gone: 1", "+ l[1]: 3", "+ new: \"x\""]
        );
        assert_eq!(told(&json!([1, 2]), &json!([1])), ["- [1]: 2"]);
    }
}
