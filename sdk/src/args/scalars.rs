//! Owns the argument types of the language itself: text, truth, numbers, "maybe" and "several".

use serde_json::{Value, json};

use super::{ArgError, ArgType, mismatch};

impl ArgType for String {
    const DEPTH: usize = 0;

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        value.as_str().map(str::to_owned).ok_or_else(|| mismatch(at, "a string", value))
    }
}

impl ArgType for bool {
    const DEPTH: usize = 0;

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        value.as_bool().ok_or_else(|| mismatch(at, "true or false", value))
    }
}

impl ArgType for f64 {
    const DEPTH: usize = 0;

    fn schema() -> Value {
        json!({ "type": "number" })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        value.as_f64().ok_or_else(|| mismatch(at, "a number", value))
    }
}

macro_rules! integers {
    ($($ty:ty),+) => { $(
        impl ArgType for $ty {
            const DEPTH: usize = 0;

            fn schema() -> Value {
                json!({ "type": "integer", "minimum": <$ty>::MIN, "maximum": <$ty>::MAX })
            }

            fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
                let whole = value.as_i64().and_then(|number| Self::try_from(number).ok());
                whole.or_else(|| value.as_u64().and_then(|number| Self::try_from(number).ok())).ok_or_else(|| {
                    mismatch(at, &format!("a whole number from {} to {}", <$ty>::MIN, <$ty>::MAX), value)
                })
            }
        }
    )+ };
}
integers!(u8, u16, u32, i32);

impl<T: ArgType> ArgType for Option<T> {
    const DEPTH: usize = T::DEPTH;
    const OPTIONAL: bool = true;

    fn schema() -> Value {
        let mut schema = T::schema();
        if let Value::Object(fields) = &mut schema {
            if let Some(kind) = fields.get("type").cloned() {
                fields.insert("type".to_owned(), json!([kind, "null"]));
            }
            if let Some(Value::Array(choices)) = fields.get_mut("enum") {
                choices.push(Value::Null);
            }
        }
        schema
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        if value.is_null() { Ok(None) } else { T::parse(value, at).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: ArgType> ArgType for Vec<T> {
    const DEPTH: usize = T::DEPTH;

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }

    fn parse(value: &Value, at: &str) -> Result<Self, ArgError> {
        let items = value.as_array().ok_or_else(|| mismatch(at, "an array", value))?;
        items.iter().enumerate().map(|(index, item)| T::parse(item, &format!("{at}/{index}"))).collect()
    }
}
