//! Against a server that answers with the recorded bytes of a real one.

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
use crate::adapters::SystemClock;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::sync::Mutex;

const JSON: &str = "application/json";

/// A server that gives one answer to everything, and the questions it was asked.
async fn server(
    status: u16,
    content_type: &'static str,
    body: &'static str,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    let app = Router::new().fallback(move |RawQuery(query): RawQuery, form: String| async move {
        noted.lock().unwrap().push(format!("{}{form}", query.unwrap_or_default()));
        (axum::http::StatusCode::from_u16(status).unwrap(), [(CONTENT_TYPE, content_type)], body)
            .into_response()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, asked)
}

fn adapter(url: &str, change: impl FnOnce(&mut PrometheusConfig)) -> Prometheus {
    let mut config = PrometheusConfig { url: url.to_owned(), ..PrometheusConfig::default() };
    change(&mut config);
    Prometheus::new(&config, None, Arc::new(SystemClock)).unwrap()
}

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/prometheus/", $name))
    };
}

#[tokio::test]
async fn every_recorded_error_has_its_own_code() {
    use FaultKind::{InvalidArguments, Malformed, Timeout, Upstream};
    let cases = [
        (400, JSON, recorded!("err_bad_query.json"), InvalidArguments, "PROMETHEUS_BAD_QUERY"),
        (400, JSON, recorded!("err_end_before_start.json"), InvalidArguments, "PROMETHEUS_BAD_QUERY"),
        (400, JSON, recorded!("err_range_too_many_points.json"), InvalidArguments, "PROMETHEUS_BAD_QUERY"),
        (422, JSON, recorded!("err_many_to_many.json"), Upstream, "PROMETHEUS_EXECUTION"),
        (503, JSON, recorded!("err_timeout.json"), Timeout, "PROMETHEUS_TIMEOUT"),
        (404, "text/plain; charset=utf-8", recorded!("notfound.json"), Malformed, "PROMETHEUS_NOT_AN_API"),
        (200, JSON, recorded!("query_string.json"), InvalidArguments, "PROMETHEUS_BAD_QUERY"),
        (200, JSON, recorded!("query_matrix_instant.json"), InvalidArguments, "PROMETHEUS_BAD_QUERY"),
        (502, "text/html", "<html>Bad Gateway</html>", Upstream, "PROMETHEUS_UNAVAILABLE"),
        (200, "text/html", "<html>It works!</html>", Malformed, "PROMETHEUS_NOT_AN_API"),
        (302, "text/html", "", Malformed, "PROMETHEUS_NOT_AN_API"),
        (200, JSON, r#"{"status":"success"}"#, Malformed, "PROMETHEUS_NOT_AN_API"),
    ];
    for (status, content_type, body, kind, code) in cases {
        let (url, _) = server(status, content_type, body).await;
        let fault = adapter(&url, |_| {}).query("up", None).await.unwrap_err();
        assert_eq!((fault.kind, fault.code.as_str()), (kind, code), "{status} {body}: {fault}");
        assert!(fault.message.contains("`up`"), "says what was asked: {fault}");
    }
}

#[tokio::test]
async fn recorded_answers_become_samples_and_series() {
    let (url, _) = server(200, JSON, recorded!("query_nan_inf.json")).await;
    let mut samples = adapter(&url, |_| {}).query("x", None).await.unwrap();
    samples.sort_by_key(|sample| sample.labels.get("k").map(str::to_owned));
    let [nan, negative, positive] = samples.as_slice() else { panic!("{samples:?}") };
    assert!(nan.value.is_nan());
    assert_eq!((negative.value, positive.value), (f64::NEG_INFINITY, f64::INFINITY));
    assert_eq!(positive.at, TimestampMs(1_795_344_880_033));

    let (url, _) = server(200, JSON, recorded!("query_scalar.json")).await;
    let samples = adapter(&url, |_| {}).query("scalar(x)", None).await.unwrap();
    let expected = Sample { labels: Labels::default(), at: TimestampMs(1_795_344_879_964), value: 1.0 };
    assert_eq!(samples, [expected]);

    let (url, _) = server(200, JSON, recorded!("query_empty.json")).await;
    assert_eq!(adapter(&url, |_| {}).query("unknown", None).await, Ok(vec![]));

    let (url, asked) = server(200, JSON, recorded!("query_range.json")).await;
    let range = TimeRange::new(TimestampMs(1_795_344_800_500), TimestampMs(1_795_344_900_999));
    let series = adapter(&url, |_| {}).query_range("up", range, 1_500).await.unwrap();
    assert!(!series.is_empty());
    assert!(series.iter().all(|series| series.samples.is_sorted_by(|a, b| a.0 < b.0)));
    let asked = asked.lock().unwrap().clone();
    for part in ["start=1795344800", "end=1795344900", "step=1.5", "timeout=10000ms"] {
        assert!(asked[0].contains(part), "{part} in {asked:?}");
    }
}

#[tokio::test]
async fn question_asked_again_is_answered_from_memory_and_readiness_is_not() {
    let (url, asked) = server(200, JSON, recorded!("query_vector.json")).await;
    let prometheus = adapter(&url, |_| {});
    let first = prometheus.query("up", None).await.unwrap();
    assert_eq!(prometheus.query("up", None).await.unwrap(), first);
    assert_eq!(asked.lock().unwrap().len(), 1);
    prometheus.query("up", Some(TimestampMs(1_234_567))).await.unwrap();
    assert!(asked.lock().unwrap()[1].contains("time=1234.567"), "{asked:?}");
    prometheus.ready().await.unwrap();
    prometheus.ready().await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn long_expression_travels_in_a_body() {
    let (url, asked) = server(200, JSON, recorded!("query_empty.json")).await;
    let promql = format!("up{{x=\"{}\"}}", "y".repeat(URL_QUERY_BYTES_MAX));
    adapter(&url, |_| {}).query(&promql, None).await.unwrap();
    assert!(asked.lock().unwrap()[0].contains(&"y".repeat(100)));
}

#[tokio::test]
async fn oversized_answer_is_refused() {
    let (url, _) = server(200, JSON, recorded!("query_range.json")).await;
    let prometheus = adapter(&url, |config| config.response_bytes_max = 50);
    let fault = prometheus.query("up", None).await.unwrap_err();
    assert_eq!(fault.code, "PROMETHEUS_TOO_MUCH", "{fault}");
}

#[tokio::test]
async fn silence_is_a_timeout_and_absence_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let prometheus = adapter(&url, |config| config.timeout_ms = 50);
    let fault = prometheus.query("up", None).await.unwrap_err();
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::Timeout, "PROMETHEUS_TIMEOUT"), "{fault}");
    drop(listener);
    let fault = prometheus.ready().await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.code.as_str()),
        (FaultKind::Unreachable, "PROMETHEUS_UNREACHABLE"),
        "{fault}"
    );
}
