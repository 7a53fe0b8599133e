//! An endpoint with a configuration that can be read and put, and a memory of the keys it has carried out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    pub authorization: Option<String>,
    pub body: String,
}

/// What the endpoint does with a changing request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    Honest,
    /// Carries it out and closes the connection instead of answering.
    LosesAnswer,
    /// Closes the connection and does nothing, the first time.
    LosesRequestOnce,
    /// Closes the connection, the first time, and refuses what comes after: the first is still under way.
    BusyAfterLoss,
    Fails(u16),
}

#[derive(Clone, Default)]
pub struct Server {
    inner: Arc<Mutex<Inner>>,
    pub base: String,
}

#[derive(Default)]
struct Inner {
    config: String,
    seen: Vec<Seen>,
    done: BTreeMap<String, String>,
    manner: Manner,
}

impl Server {
    pub async fn start(manner: Manner) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner { config: r#"{"timeout_ms":500}"#.to_owned(), manner, ..Inner::default() };
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { inner: Arc::new(Mutex::new(inner)), base };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).seen.clone()
    }
    pub fn changes(&self) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.method != "GET").collect()
    }
    pub fn config(&self) -> String {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).config.clone()
    }
    pub fn forget(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).seen.clear();
    }
    pub fn behave(&self, manner: Manner) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).manner = manner;
    }
    /// As if a request with this key had arrived before.
    pub fn has_done(&self, key: &str) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).done.insert(key.to_owned(), String::new());
    }

    /// The endpoint as a grant file names it.
    pub fn endpoint(&self, name: &str, more: &str) -> String {
        format!(
            "[endpoint.{name}]\nbase = \"{}\"\nprivate = true\ncredential = \"token\"\n{more}\n",
            self.base
        )
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_else(|_| Bytes::new());
    let body = String::from_utf8_lossy(&body).into_owned();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let seen = Seen {
        method: method.clone(),
        path: path.clone(),
        key: header("idempotency-key"),
        authorization: header("authorization"),
        body: body.clone(),
    };
    let mut inner = server.inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.seen.push(seen.clone());
    match (method.as_str(), path.as_str()) {
        ("GET", "/config") => inner.config.clone().into_response(),
        ("GET", "/echo") => format!("you are {}", seen.authorization.unwrap_or_default()).into_response(),
        ("GET", "/away") => (StatusCode::FOUND, [(header::LOCATION, "/config")]).into_response(),
        ("GET", path) if path.starts_with("/operations/") => {
            let key = path.trim_start_matches("/operations/");
            match inner.done.get(key) {
                Some(_) => format!(r#"{{"key":"{key}","status":200}}"#).into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            }
        }
        ("GET", _) => StatusCode::NOT_FOUND.into_response(),
        _ => change(&mut inner, &seen),
    }
}

fn change(inner: &mut Inner, seen: &Seen) -> Response {
    let key = seen.key.clone().unwrap_or_default();
    // Ends the connection's task without a word; the lock it poisons is read through.
    let hang_up = || -> Response { std::panic::resume_unwind(Box::new(())) };
    match inner.manner {
        Manner::Fails(status) => return StatusCode::from_u16(status).unwrap().into_response(),
        Manner::LosesRequestOnce => {
            inner.manner = Manner::Honest;
            return hang_up();
        }
        Manner::BusyAfterLoss => {
            inner.manner = Manner::Fails(409);
            return hang_up();
        }
        Manner::Honest | Manner::LosesAnswer => {}
    }
    if let std::collections::btree_map::Entry::Vacant(first) = inner.done.entry(key) {
        first.insert(seen.body.clone());
        if seen.method == "PUT" {
            inner.config = seen.body.clone();
        }
    }
    if inner.manner == Manner::LosesAnswer {
        return hang_up();
    }
    r#"{"done":true}"#.into_response()
}
