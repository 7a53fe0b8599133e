//! A Prometheus that answers at once and knows nothing, so that what is measured is the daemon.

use anyhow::Context;
use axum::{Json, Router, extract::RawForm, routing::any};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

/// The one service that is measured: of it every question is answered with 1.
pub const KNOWN_SERVICE: &str = "metered";

/// Dropping it ends it.
pub struct QuietPrometheus {
    url: String,
    _serving: JoinSet<()>,
}

impl QuietPrometheus {
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for questions")?;
        let url = format!("http://{}", listener.local_addr().context("cannot tell the port")?);
        let router = Router::new()
            .route("/api/v1/query", any(vector))
            .route("/api/v1/query_range", any(matrix))
            .fallback(|| async { Json(json!({ "status": "success", "data": {} })) });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with this process; an error before that shows as gaps in every report.
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { url, _serving: serving })
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }
}

async fn vector(RawForm(asked): RawForm) -> Json<Value> {
    let asks_of_known = asked.windows(KNOWN_SERVICE.len()).any(|window| window == KNOWN_SERVICE.as_bytes());
    let result = match asks_of_known {
        true => json!([{ "metric": {}, "value": [jiff::Timestamp::now().as_second(), "1"] }]),
        false => json!([]),
    };
    Json(json!({ "status": "success", "data": { "resultType": "vector", "result": result } }))
}

async fn matrix() -> Json<Value> {
    Json(json!({ "status": "success", "data": { "resultType": "matrix", "result": [] } }))
}
