//! The lab, tried as its users have it: real processes, real calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod admin;
mod alerts;
mod faults;
mod processes;

use medic_lab::{Lab, LabOptions, Remote, Service};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A lab without Prometheus: ready in a second.
async fn shop() -> Lab {
    Lab::start(LabOptions { prometheus: false, ..LabOptions::default() }).await.unwrap()
}

/// Looks again and again until the condition holds; fails with its name when it does not within the time.
async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until_healthy(lab: &Remote) {
    until("the shop is healthy", Duration::from_secs(20), async || lab.is_healthy().await.unwrap_or(false))
        .await;
}

/// An answer of the admin API.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    replayed: bool,
    body: Value,
}

/// A call to be made to a service's admin API.
struct Call<'a> {
    lab: &'a Remote,
    service: Service,
    key: Option<&'a str>,
}

impl<'a> Call<'a> {
    fn to(lab: &'a Remote, service: Service) -> Self {
        Self { lab, service, key: None }
    }

    fn key(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, String::new()).await.unwrap()
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, body.to_string()).await.unwrap()
    }

    async fn restart(&self) -> Answer {
        self.send(Method::POST, "/admin/restart", String::new()).await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: String) -> reqwest::Result<Answer> {
        let mut request = reqwest::Client::new()
            .request(method, format!("{}{path}", self.lab.admin_url(self.service)))
            .bearer_auth(self.lab.admin_token())
            .body(body);
        if let Some(key) = self.key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.send().await?;
        Ok(Answer {
            status: answer.status(),
            replayed: answer.headers().contains_key("idempotency-replayed"),
            body: answer.json().await?,
        })
    }
}

/// The sum of a service's samples whose line begins so; 0 when there are none.
async fn metric(lab: &Remote, service: Service, begins: &str) -> f64 {
    let url = format!("{}/metrics", lab.admin_url(service));
    let page = reqwest::get(url).await.unwrap().text().await.unwrap();
    page.lines()
        .filter(|line| line.starts_with(begins))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}
