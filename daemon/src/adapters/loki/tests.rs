//! Against a server that answers with the recorded bytes of a real one, and with what a broken one might say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may be blunt"
)]

use super::*;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::response::IntoResponse;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

const JSON: &str = "application/json; charset=UTF-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// Around the recorded lines.
const WINDOW: TimeRange =
    TimeRange { start: TimestampMs(1_795_349_100_000), end: TimestampMs(1_795_349_200_000) };

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/loki/", $name)).as_slice()
    };
}

/// What was asked: the path and its parameters, decoded.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    parameters: BTreeMap<String, String>,
    headers: axum::http::HeaderMap,
}

impl Asked {
    fn number(&self, name: &str) -> u64 {
        self.parameters[name].parse().unwrap()
    }
}

type Said = (u16, &'static str, Vec<u8>);

async fn server(
    say: impl Fn(&Asked) -> Said + Clone + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Asked>>>) {
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let noted = asked.clone();
    let app = Router::new().fallback(move |request: Request| {
        let (say, noted) = (say.clone(), noted.clone());
        async move {
            let query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
            let asked = Asked {
                path: request.uri().path().trim_start_matches("/loki/api/v1/").to_owned(),
                parameters: query.into_owned().collect(),
                headers: request.headers().clone(),
            };
            let (status, content_type, body) = say(&asked);
            noted.lock().unwrap().push(asked);
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            let packed = body.starts_with(&[0x1f, 0x8b]);
            let mut response = (status, [(CONTENT_TYPE, content_type)], body).into_response();
            if packed {
                response.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
            }
            response
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, asked)
}

fn loki(url: &str, change: impl FnOnce(&mut LokiConfig)) -> Loki {
    let mut config: LokiConfig = serde_json::from_value(serde_json::json!({ "url": url })).unwrap();
    config.timeout_ms = 2_000;
    change(&mut config);
    Loki::new(config, None).unwrap()
}

fn query(limit: usize) -> LogQuery {
    LogQuery { window: WINDOW, services: vec!["cart".into()], contains: vec!["lock".into()], limit }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn recorded_streams_become_lines_in_order_of_time() {
    for packed in [false, true] {
        let body = recorded!("query_range_streams.json").to_vec();
        let body = if packed { gzip(&body) } else { body };
        let (url, asked) = server(move |_| (200, JSON, body.clone())).await;
        let loki = loki(&url, |config| {
            config.tenant = Some("shop".to_owned());
            config.matchers = "job=\"shop\"".to_owned();
        });
        let answer = loki.search(&query(100)).await.unwrap();
        assert_eq!(answer.lines.len(), 5);
        assert!(answer.lines.is_sorted_by_key(|line| line.at));
        let last = &answer.lines[4];
        assert_eq!(last.at, Some(TimestampMs(1_795_349_178_641)));
        assert_eq!(last.labels.get("detected_level"), Some("error"));
        assert_eq!(last.labels.get("source"), Some("loki"));
        let mut services: Vec<&str> =
            answer.lines.iter().filter_map(|line| line.labels.get("service")).collect();
        services.sort_unstable();
        assert_eq!(services, ["cart", "db", "db", "payment", "payment"]);
        assert!(last.line.starts_with("{\"level\": \"error\""), "{}", last.line);
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 1, "a page that is not full is the last");
        let LogQuery { window, .. } = query(1);
        assert_eq!(asked[0].parameters["query"], r#"{service_name="cart",job="shop"} |~ "(?i)lock""#);
        assert_eq!(asked[0].number("start"), window.start.0 * 1_000_000);
        assert_eq!(asked[0].number("end"), window.end.0 * 1_000_000);
        assert_eq!((asked[0].number("limit"), asked[0].parameters["direction"].as_str()), (100, "backward"));
        assert_eq!(asked[0].headers["x-scope-orgid"], "shop");
        assert_eq!(asked[0].headers["accept-encoding"], "gzip");
    }
}

/// As Loki answers: the newest `limit` of `[start, end)`, and no more than 5 at once.
fn holding(times_ns: &'static [u64]) -> impl Fn(&Asked) -> Said + Clone + Send + Sync + 'static {
    const PAGE_MAX: u64 = 5;
    move |asked| {
        if asked.path == "query" {
            let sum = serde_json::json!({ "status": "success", "data": { "resultType": "vector",
                "result": [{ "metric": {}, "value": [1_795_349_200, times_ns.len().to_string()] }] } });
            return (200, JSON, sum.to_string().into_bytes());
        }
        let limit = asked.number("limit");
        if limit > PAGE_MAX {
            let told = String::from_utf8(recorded!("err_limit.txt").to_vec()).unwrap();
            return (400, TEXT, told.replace("5000", &PAGE_MAX.to_string()).into_bytes());
        }
        let range = asked.number("start")..asked.number("end");
        let mut held: Vec<(usize, u64)> = times_ns.iter().copied().enumerate().collect();
        held.reverse();
        let page = held.into_iter().filter(|(_, at)| range.contains(at)).take(limit as usize);
        // Two streams, as they are: each with its own lines.
        let mut streams = [Vec::new(), Vec::new()];
        for (n, at) in page {
            streams[n % 2].push(serde_json::json!([at.to_string(), format!("line {}", n / 2)]));
        }
        let named = streams.iter().enumerate().filter(|(_, values)| !values.is_empty());
        let result: Vec<serde_json::Value> = named
            .map(|(n, values)| {
                serde_json::json!({ "stream": { "service_name": format!("s{n}") }, "values": values })
            })
            .collect();
        let body =
            serde_json::json!({ "status": "success", "data": { "resultType": "streams", "result": result } });
        (200, JSON, body.to_string().into_bytes())
    }
}

/// Nanoseconds, within the window.
const fn moments(mut at: [u64; 12]) -> [u64; 12] {
    let mut n = 0;
    while n < at.len() {
        at[n] += 1_795_349_150_000_000_000;
        n += 1;
    }
    at
}

fn told(answer: &LogAnswer) -> Vec<String> {
    let told = |line: &LogLine| format!("{} {}", line.labels.get("service").unwrap(), line.line);
    answer.lines.iter().map(told).collect()
}

#[tokio::test]
async fn pages_join_without_loss_or_repetition_where_lines_share_a_moment() {
    // Twelve lines in five moments, of which three fall on a page's edge.
    const TIMES: [u64; 12] = moments([0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 4]);
    let (url, asked) = server(holding(&TIMES)).await;
    let answer = loki(&url, |_| {}).search(&query(100)).await.unwrap();
    let mut lines = told(&answer);
    assert_eq!((lines.len(), answer.dropped), (12, 0));
    assert!(answer.lines.is_sorted_by_key(|line| line.at));
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 12, "each once");
    assert_eq!(asked.lock().unwrap()[0].number("limit"), 100, "what Loki allows is learned from its answer");

    let newest = loki(&url, |_| {}).search(&query(3)).await.unwrap();
    assert_eq!((newest.lines.len(), newest.dropped), (3, 9), "the newest are kept, the others counted");
    let few = loki(&url, |config| config.requests_max = 2).search(&query(100)).await.unwrap();
    assert_eq!((few.lines.len() as u64 + few.dropped, few.dropped > 0), (12, true), "it stops and says so");
}

#[tokio::test]
async fn more_lines_of_one_moment_than_a_page_are_counted_and_do_not_stop_the_search() {
    const TIMES: [u64; 12] = moments([0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3]);
    let (url, _) = server(holding(&TIMES)).await;
    let answer = loki(&url, |config| config.page_entries_max = 5).search(&query(100)).await.unwrap();
    let mut lines = told(&answer);
    assert!(lines.contains(&"s0 line 0".to_owned()), "the search went on behind them: {lines:?}");
    assert!((8..12).contains(&lines.len()), "{lines:?}");
    lines.sort();
    let all = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), all, "none twice");
}

#[tokio::test]
async fn every_way_of_saying_no_has_its_code() {
    let gigantic = gzip(&vec![b' '; 3 << 20]);
    let matrix = recorded!("query_range_matrix.json").to_vec();
    let cases: [(Said, &str); 9] = [
        ((400, TEXT, recorded!("err_parse.txt").to_vec()), "LOKI_BAD_QUERY"),
        ((400, TEXT, recorded!("err_empty_matcher.txt").to_vec()), "LOKI_BAD_QUERY"),
        ((401, TEXT, b"no org id\n".to_vec()), "LOKI_DENIED"),
        ((404, TEXT, b"404 page not found".to_vec()), "LOKI_NOT_AN_API"),
        ((503, TEXT, b"empty ring\x1b[2J".to_vec()), "LOKI_UNAVAILABLE"),
        ((200, "text/html", b"<html>log in</html>".to_vec()), "LOKI_NOT_AN_API"),
        ((200, JSON, matrix), "LOKI_NOT_AN_API"),
        ((200, JSON, b"\x1f\x8bgarbage".to_vec()), "LOKI_NOT_AN_API"),
        ((200, JSON, gigantic), "LOKI_TOO_MUCH"),
    ];
    for (said, code) in cases {
        let shown = format!("{said:?}").chars().take(120).collect::<String>();
        let (url, asked) = server(move |_| said.clone()).await;
        let loki = loki(&url, |config| config.response_bytes_max = 1 << 20);
        let fault = loki.search(&query(100_000)).await.unwrap_err();
        assert_eq!(fault.code, code, "{shown}: {fault}");
        assert!(!fault.message.contains('\u{1b}'));
        assert!(asked.lock().unwrap().len() <= 12);
    }
}

#[tokio::test]
async fn silence_is_a_timeout_and_absence_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = loki(&url, |config| config.timeout_ms = 50);
    assert_eq!(silent.search(&query(1)).await.unwrap_err().code, "LOKI_TIMEOUT");
    drop(listener);
    assert_eq!(silent.search(&query(1)).await.unwrap_err().code, "LOKI_UNREACHABLE");
}

#[tokio::test]
async fn services_are_the_labels_values_and_a_wrong_label_is_told() {
    let say = |asked: &Asked| match asked.path.as_str() {
        "label/service_name/values" => (200, JSON, recorded!("label_values.json").to_vec()),
        "label/app/values" => (200, JSON, br#"{"status":"success"}"#.to_vec()),
        "labels" => (200, JSON, recorded!("labels.json").to_vec()),
        "series" => (200, JSON, recorded!("series.json").to_vec()),
        other => panic!("{other}"),
    };
    let (url, asked) = server(say).await;
    assert_eq!(loki(&url, |_| {}).services(WINDOW).await.unwrap(), ["cart", "db", "payment"]);
    let narrowed = loki(&url, |config| config.matchers = "job=\"shop\"".to_owned());
    assert_eq!(narrowed.services(WINDOW).await.unwrap(), ["cart", "db", "payment"]);
    assert_eq!(asked.lock().unwrap()[1].parameters["match[]"], r#"{job="shop"}"#);
    let fault =
        loki(&url, |config| config.service_label = "app".to_owned()).services(WINDOW).await.unwrap_err();
    assert_eq!(fault.code, "LOKI_NO_SUCH_LABEL");
    assert!(fault.message.contains("job, service, service_name"), "{fault}");
}

#[test]
fn a_configuration_that_cannot_work_is_named() {
    let config = |change: fn(&mut LokiConfig)| {
        let mut config: LokiConfig = serde_json::from_str(r#"{"url":"http://127.0.0.1:3100"}"#).unwrap();
        change(&mut config);
        config.problem()
    };
    assert_eq!(config(|_| {}), None);
    for change in [
        (|config| config.service_label = "app}".to_owned()) as fn(&mut LokiConfig),
        |config| config.page_entries_max = 5_001,
        |config| config.requests_max = 0,
    ] {
        assert!(config(change).is_some_and(|problem| problem.contains("logs.loki")));
    }
    assert!(
        serde_json::from_str::<LokiConfig>(r#"{"url":"x","tennant":"y"}"#).is_err(),
        "unknown keys are refused"
    );
}
