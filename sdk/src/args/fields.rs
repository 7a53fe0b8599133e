//! Owns the reading of one closed object: unknown properties, absence, defaults, bounds.

use serde_json::{Map, Value};

use super::{ArgError, ArgType, mismatch};

/// Constraints on one argument, from `#[arg(…)]`.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// JSON text of the value an absent argument takes.
    pub default: Option<&'static str>,
    /// Regular expression for a string; checked by the host before the call.
    pub pattern: Option<&'static str>,
    /// Least number.
    pub min: Option<f64>,
    /// Greatest number.
    pub max: Option<f64>,
    /// Most characters of a string.
    pub max_length: Option<usize>,
}

impl Rules {
    /// No constraint.
    pub const NONE: Self = Self { default: None, pattern: None, min: None, max: None, max_length: None };

    /// Writes the constraints into the schema of the property.
    pub(super) fn describe(&self, schema: &mut Map<String, Value>) {
        if let Some(default) = self.default.and_then(|text| serde_json::from_str(text).ok()) {
            schema.insert("default".to_owned(), default);
        }
        if let Some(pattern) = self.pattern {
            schema.insert("pattern".to_owned(), pattern.into());
        }
        for (name, bound) in [("minimum", self.min), ("maximum", self.max)] {
            if let Some(bound) = bound {
                schema.insert(name.to_owned(), number(bound));
            }
        }
        if let Some(length) = self.max_length {
            schema.insert("maxLength".to_owned(), length.into());
        }
    }

    fn check(&self, value: &Value, at: &str) -> Result<(), ArgError> {
        let fail = |message: String| Err(ArgError { pointer: at.to_owned(), message });
        if let Some(given) = value.as_f64() {
            if let Some(min) = self.min.filter(|min| given < *min) {
                return fail(format!("must be at least {min}"));
            }
            if let Some(max) = self.max.filter(|max| given > *max) {
                return fail(format!("must be at most {max}"));
            }
        }
        if let (Some(text), Some(length)) = (value.as_str(), self.max_length)
            && text.chars().count() > length
        {
            return fail(format!("must be at most {length} characters long"));
        }
        Ok(())
    }
}

/// What is wrong with the default of one argument.
pub fn default_flaw<T: ArgType>(name: &str, rules: Rules) -> Option<ArgError> {
    rules.default?;
    let nothing = Map::new();
    Fields { object: &nothing, at: "" }.read::<T>(name, rules).err()
}

/// A bound as a reader expects it: `1`, not `1.0`.
fn number(bound: f64) -> Value {
    if bound.fract() == 0.0 && bound.abs() < 9.0e15 { (bound as i64).into() } else { bound.into() }
}

/// The properties of one object while they are being read.
pub struct Fields<'v> {
    object: &'v Map<String, Value>,
    at: &'v str,
}

impl<'v> Fields<'v> {
    /// Opens the object at `at`.
    ///
    /// # Errors
    /// Not an object, or it has a property that is not in `known`.
    pub fn open(value: &'v Value, at: &'v str, known: &[&str]) -> Result<Self, ArgError> {
        let object = value.as_object().ok_or_else(|| mismatch(at, "an object", value))?;
        match object.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(ArgError {
                pointer: format!("{at}/{key}"),
                message: if known.is_empty() {
                    "unknown property; there are none".to_owned()
                } else {
                    format!("unknown property; known are {}", known.join(", "))
                },
            }),
            None => Ok(Self { object, at }),
        }
    }

    /// Reads one property. Null counts as absent: a model that must name every property sends null for "none".
    ///
    /// # Errors
    /// Absent without a default, of the wrong type, or outside its rules.
    pub fn read<T: ArgType>(&self, name: &str, rules: Rules) -> Result<T, ArgError> {
        let at = format!("{}/{name}", self.at);
        match self.object.get(name).filter(|value| !value.is_null()) {
            Some(value) => {
                rules.check(value, &at)?;
                T::parse(value, &at)
            }
            None => match rules.default {
                Some(text) => {
                    let value = serde_json::from_str(text).map_err(|error| ArgError {
                        pointer: at.clone(),
                        message: format!("the default is not JSON: {error}"),
                    })?;
                    rules.check(&value, &at)?;
                    T::parse(&value, &at)
                }
                None => T::absent().ok_or_else(|| ArgError {
                    pointer: at,
                    message: "required, but absent or null".to_owned(),
                }),
            },
        }
    }
}
