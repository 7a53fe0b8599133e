//! The arguments of a tool: what schema the types give, what is read, and what is refused with which words.

use medic_sdk::args::{ArgType, ToolArgs as _, Window};
use medic_sdk::catalog;
use medic_sdk::prelude::*;

#[derive(ToolArgs, Debug, PartialEq)]
struct Nested {
    /// Name of the header.
    name: String,
}

#[derive(ToolArgs, Debug, PartialEq)]
enum Order {
    NewestFirst,
    OldestFirst,
}

/// Looks for everything
/// everywhere.
///
/// Twice.
#[derive(Tool, Debug, PartialEq)]
#[tool(title = "Look for it", example(args = r#"{"service":"checkout"}"#, when = "it is lost"))]
struct LookForIt {
    /// Service to look
    /// at.
    #[arg(pattern = "^[a-z]+$", max_length = 8)]
    service: String,
    /// How far back.
    #[arg(default = "5m")]
    window: Window,
    /// How many.
    #[arg(default = 10, min = 1, max = 100)]
    limit: u32,
    /// Which first.
    order: Option<Order>,
    /// Headers to send.
    #[arg(default = true)]
    follow: bool,
    /// More of it.
    headers: Option<Vec<Nested>>,
    /// Temperature at most.
    #[arg(min = -273.15)]
    celsius: Option<f64>,
}

fn read(text: &str) -> Result<LookForIt, String> {
    LookForIt::from_json(text).map_err(|error| error.to_string())
}

#[test]
fn the_schema_is_closed_and_described() {
    let expected = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["service"],
        "properties": {
            "service": {
                "type": "string", "description": "Service to look at.", "pattern": "^[a-z]+$", "maxLength": 8
            },
            "window": {
                "type": "string", "description": "How far back.", "pattern": "^[0-9]{1,7}[smhd]$", "default": "5m"
            },
            "limit": {
                "type": "integer", "description": "How many.", "minimum": 1, "maximum": 100, "default": 10
            },
            "order": {
                "type": ["string", "null"], "description": "Which first.",
                "enum": ["newest_first", "oldest_first", null]
            },
            "follow": { "type": "boolean", "description": "Headers to send.", "default": true },
            "headers": {
                "type": ["array", "null"], "description": "More of it.",
                "items": {
                    "type": "object", "additionalProperties": false, "required": ["name"],
                    "properties": { "name": { "type": "string", "description": "Name of the header." } }
                }
            },
            "celsius": { "type": ["number", "null"], "description": "Temperature at most.", "minimum": -273.15 }
        }
    });
    assert_eq!(LookForIt::schema(), expected);
    assert_eq!(LookForIt::DEPTH, 2);
    assert_eq!(catalog::flaws::<LookForIt, LookForIt>(), Vec::<String>::new());
}

#[test]
fn the_entry_of_the_catalogue_comes_from_the_source() {
    let entry = catalog::entry::<LookForIt, LookForIt>();
    assert_eq!((entry.name.as_str(), entry.title.as_str()), ("look_for_it", "Look for it"));
    assert_eq!(entry.description, "Looks for everything everywhere.\nTwice.");
    assert_eq!(entry.examples_json, r#"[{"args":{"service":"checkout"},"when":"it is lost"}]"#);
}

#[test]
fn what_is_absent_takes_its_default() {
    let sparse = read(r#"{"service":"checkout"}"#).unwrap();
    let window = Window::parse("5m").unwrap();
    let expected = LookForIt {
        service: "checkout".into(),
        window,
        limit: 10,
        order: None,
        follow: true,
        headers: None,
        celsius: None,
    };
    assert_eq!(sparse, expected);
    // A model that must name every property sends null for those it does not care about.
    let nulls = r#"{"service":"checkout","window":null,"limit":null,"order":null,"follow":null,"headers":null,"celsius":null}"#;
    assert_eq!(read(nulls).unwrap(), expected);
}

#[test]
fn what_is_given_is_read() {
    let given = read(
        r#"{"service":"a","window":"1h","limit":100,"order":"oldest_first","follow":false,"headers":[{"name":"x"}],"celsius":-273.15}"#,
    );
    let given = given.unwrap();
    assert_eq!((given.limit, given.order, given.follow), (100, Some(Order::OldestFirst), false));
    assert_eq!(given.headers, Some(vec![Nested { name: "x".into() }]));
}

#[test]
fn what_cannot_be_used_is_named() {
    for (text, expected) in [
        ("", "arguments: not JSON"),
        ("[]", "arguments: expected an object, found an array"),
        ("{}", "/service: required, but absent or null"),
        (r#"{"service":null}"#, "/service: required, but absent or null"),
        (r#"{"service":5}"#, "/service: expected a string, found a number"),
        (r#"{"service":"checkouts!"}"#, "/service: must be at most 8 characters long"),
        (r#"{"service":"a","limit":0}"#, "/limit: must be at least 1"),
        (r#"{"service":"a","limit":101}"#, "/limit: must be at most 100"),
        (
            r#"{"service":"a","limit":1.5}"#,
            "/limit: expected a whole number from 0 to 4294967295, found a number",
        ),
        (r#"{"service":"a","limit":-1}"#, "/limit: must be at least 1"),
        (r#"{"service":"a","window":"a while"}"#, "/window: expected a length of time"),
        (r#"{"service":"a","order":"best_first"}"#, "/order: expected one of newest_first, oldest_first"),
        (r#"{"service":"a","follow":"true"}"#, "/follow: expected true or false, found a string"),
        (r#"{"service":"a","headers":[{}]}"#, "/headers/0/name: required, but absent or null"),
        (
            r#"{"service":"a","headers":[{"name":"x","value":"y"}]}"#,
            "/headers/0/value: unknown property; known are name",
        ),
        (r#"{"service":"a","celsius":-274}"#, "/celsius: must be at least -273.15"),
        (r#"{"service":"a","window ":"5m"}"#, "/window : unknown property; known are service, window"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_default_or_an_example_that_its_own_type_refuses_is_a_flaw() {
    /// Bad on purpose.
    #[derive(Tool)]
    #[tool(example(args = r#"{"window":"5m","limit":0}"#, when = "never"))]
    struct Bad {
        /// How far back.
        #[arg(default = "a while")]
        window: Window,
        /// How many.
        #[arg(default = 0, min = 1)]
        limit: u32,
    }
    let Bad { window, limit } = Bad::from_json(r#"{"window":"5m","limit":1}"#).unwrap();
    assert_eq!((window.as_secs(), limit), (300, 1), "given, both are fine");
    let flaws = catalog::flaws::<Bad, Bad>();
    assert_eq!(flaws.len(), 3, "{flaws:?}");
    assert!(flaws.iter().any(|flaw| flaw.contains("default of /window")), "{flaws:?}");
    assert!(flaws.iter().any(|flaw| flaw.contains("default of /limit: must be at least 1")), "{flaws:?}");
    assert!(flaws.iter().any(|flaw| flaw.contains("example")), "{flaws:?}");
}

#[test]
fn a_tool_without_arguments_takes_none() {
    /// Does nothing.
    #[derive(Tool)]
    struct Nothing {}

    assert!(Nothing::from_json("{}").is_ok());
    let error = Nothing::from_json(r#"{"a":1}"#).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("/a: unknown property; there are none"));
    assert_eq!(Nothing::schema()["required"], json!([]));
}
