//! Against a scripted server that speaks the protocol, well and badly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

use super::*;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use medic_core::TimestampMs;
use medic_ports::fake::FakeClock;
use std::collections::VecDeque;
use std::sync::Mutex;

const KEY: &str = "sk-very-secret";

struct Scripted {
    url: String,
    requests: Arc<Mutex<Vec<(HeaderMap, String)>>>,
}

/// Answers each request with the next of `answers`, the last one for ever: status, extra header, body.
async fn server(answers: Vec<(u16, Option<(&'static str, &'static str)>, String)>) -> Scripted {
    let requests: Arc<Mutex<Vec<(HeaderMap, String)>>> = Arc::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let noted = requests.clone();
    let app = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
        noted.lock().unwrap().push((headers, body));
        let mut answers = answers.lock().unwrap();
        let (status, header, body) =
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Scripted { url, requests }
}

fn config(url: &str) -> ModelConfig {
    ModelConfig {
        base_url: url.to_owned(),
        model: "local".to_owned(),
        api_key: None,
        ca: None,
        deadline_ms: 5_000,
        retries_max: 2,
        answer_tokens_max: 100,
        form: Form::JsonSchema,
    }
}

fn prompt() -> Prompt {
    Prompt {
        system: "You advise.".to_owned(),
        user: "facts".to_owned(),
        schema: serde_json::json!({ "type": "object" }),
        deadline_ms: 5_000,
    }
}

/// Sleeps pass at once, and are counted.
fn hurried() -> (FakeClock, tokio::task::JoinHandle<()>) {
    let clock = FakeClock::new(TimestampMs(0));
    let hurrying = clock.clone();
    let task = tokio::spawn(async move {
        loop {
            hurrying.wait_for_sleepers(1).await;
            hurrying.advance_to_next();
            tokio::task::yield_now().await;
        }
    });
    (clock, task)
}

async fn ask(url: &str) -> (Result<String, Fault>, u64) {
    let (clock, hurrying) = hurried();
    let model = OpenAi::new(&config(url), Some(Secret::new(KEY)), Arc::new(clock.clone())).unwrap();
    let answer = model.complete(&prompt()).await;
    hurrying.abort();
    (answer, clock.now().0)
}

fn said(message: &str, finish: &str) -> String {
    format!(r#"{{"choices":[{{"message":{message},"finish_reason":{finish}}}]}}"#)
}

#[tokio::test]
async fn lenient_answer_without_id_or_known_finish_reason_is_read() {
    for (body, expected) in [
        (said(r#"{"content":"{\"a\":1}"}"#, "\"stop\""), "{\"a\":1}"),
        (said(r#"{"content":"text"}"#, "\"because\""), "text"),
        (said(r#"{"content":"text"}"#, "null"), "text"),
        (
            said(r#"{"content":[{"type":"text","text":"in "},{"type":"text","text":"parts"}]}"#, "\"stop\""),
            "in parts",
        ),
    ] {
        let server = server(vec![(200, None, body.clone())]).await;
        let (answer, _) = ask(&server.url).await;
        assert_eq!(answer.as_deref(), Ok(expected), "{body}");
    }
}

#[tokio::test]
async fn request_carries_key_schema_and_limits() {
    let server = server(vec![(200, None, said(r#"{"content":"x"}"#, "\"stop\""))]).await;
    ask(&server.url).await.0.unwrap();
    let (headers, body) = server.requests.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["stream"], false);
    assert_eq!(body["max_tokens"], 100);
    assert_eq!(body["messages"][1]["content"], "facts");
    assert_eq!(body["response_format"]["json_schema"]["schema"]["type"], "object");

    let (clock, keyless) = (FakeClock::new(TimestampMs(0)), config(&server.url));
    let model = OpenAi::new(&keyless, None, Arc::new(clock)).unwrap();
    model.complete(&prompt()).await.unwrap();
    assert!(!server.requests.lock().unwrap()[1].0.contains_key("authorization"), "no key, no header");
}

#[tokio::test]
async fn every_bad_answer_has_its_own_code() {
    let cases = [
        (200, "not json".to_owned(), "MODEL_MALFORMED", 1),
        (200, r#"{"choices":[]}"#.to_owned(), "MODEL_MALFORMED", 1),
        (200, "{}".to_owned(), "MODEL_MALFORMED", 1),
        (200, said(r#"{"content":null}"#, "\"stop\""), "MODEL_MALFORMED", 1),
        (200, said(r#"{"content":null,"refusal":"I cannot"}"#, "\"stop\""), "MODEL_REFUSED", 1),
        (200, said(r#"{"content":"x"}"#, "\"content_filter\""), "MODEL_REFUSED", 1),
        (200, said(r#"{"content":"{\"half\":"}"#, "\"length\""), "MODEL_TRUNCATED", 1),
        (200, format!("\"{}\"", "x".repeat(2 << 20)), "MODEL_MALFORMED", 1),
        (401, format!(r#"{{"error":{{"message":"bad key {KEY}"}}}}"#), "MODEL_UPSTREAM", 1),
        (404, "<html>nothing here</html>".to_owned(), "MODEL_UPSTREAM", 1),
        (429, "slow down".to_owned(), "MODEL_RATE_LIMITED", 3),
        (500, "oops".to_owned(), "MODEL_UPSTREAM", 3),
        (503, r#"{"error":{"message":"loading"}}"#.to_owned(), "MODEL_UPSTREAM", 3),
    ];
    for (status, body, code, attempts) in cases {
        let server = server(vec![(status, None, body)]).await;
        let (answer, _) = ask(&server.url).await;
        let fault = answer.unwrap_err();
        assert_eq!(fault.code, code, "{status}: {fault}");
        assert!(!fault.message.contains(KEY), "{fault}");
        assert_eq!(server.requests.lock().unwrap().len(), attempts, "{status} {code}");
    }
}

#[tokio::test]
async fn passing_trouble_is_waited_out() {
    let fine = said(r#"{"content":"fine"}"#, "\"stop\"");
    let answers =
        vec![(503, None, String::new()), (429, Some(("retry-after", "3")), String::new()), (200, None, fine)];
    let server = server(answers).await;
    let (answer, waited_ms) = ask(&server.url).await;
    assert_eq!(answer.as_deref(), Ok("fine"));
    assert_eq!(waited_ms, 500 + 3_000, "its own back-off, then what the server asked for");
}

#[tokio::test]
async fn server_that_asks_for_a_day_of_patience_gets_none() {
    let server = server(vec![(429, Some(("retry-after", "86400")), String::new())]).await;
    let (answer, waited_ms) = ask(&server.url).await;
    assert_eq!(answer.unwrap_err().code, "MODEL_RATE_LIMITED");
    assert_eq!((waited_ms, server.requests.lock().unwrap().len()), (0, 1));
}

#[tokio::test]
async fn silence_ends_at_the_prompts_deadline_and_absence_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (clock, hurrying) = hurried();
    let model = OpenAi::new(&config(&url), None, Arc::new(clock)).unwrap();
    let fault = model.complete(&Prompt { deadline_ms: 50, ..prompt() }).await.unwrap_err();
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Timeout, "MODEL_TIMEOUT"), "{fault}");
    drop(listener);
    let fault = model.complete(&prompt()).await.unwrap_err();
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Unreachable, "MODEL_UNREACHABLE"), "{fault}");
    hurrying.abort();
}
