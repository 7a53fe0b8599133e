//! JSON that travels as text in protobuf and is embedded as JSON in the gateway.
//!
//! The text is copied, not re-parsed into numbers and maps: what a person sees is what was digested. Text that is not
//! JSON appears as a JSON string, and an absent document as `null`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Writes `text` as the JSON it holds, or as a JSON string.
struct Embedded<'a>(&'a str);

impl Serialize for Embedded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() {
            return serializer.serialize_none();
        }
        match serde_json::from_str::<&RawValue>(self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(self.0),
        }
    }
}

/// The text of a JSON value; of a JSON string that holds no JSON itself, what it says.
fn unembed(raw: &RawValue) -> Option<String> {
    match raw.get() {
        "null" => None,
        text if text.starts_with('"') => match serde_json::from_str::<String>(text) {
            Ok(said) if serde_json::from_str::<&RawValue>(&said).is_err() => Some(said),
            _ => Some(text.to_owned()),
        },
        text => Some(text.to_owned()),
    }
}

/// For `string` fields.
pub mod text {
    use super::{Deserialize, Deserializer, Embedded, RawValue, Serialize, Serializer, unembed};

    pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        Embedded(text).serialize(serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Ok(unembed(&Box::<RawValue>::deserialize(deserializer)?).unwrap_or_default())
    }
}

/// For `optional string` fields.
pub mod optional {
    use super::{Deserialize, Deserializer, Embedded, RawValue, Serialize, Serializer, unembed};

    pub fn serialize<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        Embedded(text.as_deref().unwrap_or_default()).serialize(serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        Ok(unembed(&Box::<RawValue>::deserialize(deserializer)?))
    }
}

/// For `repeated string` fields.
pub mod list {
    use super::{Deserialize, Deserializer, Embedded, RawValue, Serializer, unembed};

    pub fn serialize<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(texts.iter().map(|text| Embedded(text)))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let raw = Vec::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(raw.iter().map(|one| unembed(one).unwrap_or_default()).collect())
    }
}
