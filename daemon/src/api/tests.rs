//! Both doors over the real agents, with scripted twins of the world behind them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    reason = "a test may be blunt"
)]

mod keeping;

use super::auth::{Role, TokenEntry};
use super::*;
use futures::StreamExt as _;
use medic_agents::{Agents, AgentsConfig, Ports, RestartPolicy, Taxonomy};
use medic_core::grouping::GroupingPolicy;
use medic_core::{Labels, Policy, TimestampMs, ToolCategory};
use medic_ports::Clock as _;
use medic_ports::fake::clock::FakeClock;
use medic_ports::fake::journal::FakeJournal;
use medic_ports::fake::logs::FakeLogs;
use medic_ports::fake::metrics::{self, FakeMetrics};
use medic_ports::fake::notifier::FakeNotifier;
use medic_ports::fake::script::Reply;
use medic_ports::fake::tools::{FakeToolHost, tool};
use medic_proto::v1;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const START_MS: u64 = 1_795_345_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    serving: Option<Serving>,
    stop: signal::Sender<bool>,
    agents: Agents,
    journal: FakeJournal,
    clock: FakeClock,
    logs: Arc<FakeLogs>,
    metrics: Arc<FakeMetrics>,
    tools: Arc<FakeToolHost>,
    copies: Arc<keeping::Copies>,
    http: SocketAddr,
    grpc: SocketAddr,
    _time: JoinSet<()>,
}

fn tokens() -> AuthTable {
    let token = |name: &str, role| TokenEntry::new(name, role, &format!("{name}-secret"));
    AuthTable {
        tokens: vec![
            token("vera", Role::Viewer),
            token("hook", Role::Responder),
            token("alice", Role::Approver),
            token("bob", Role::Approver),
            token("root", Role::Admin),
        ],
        anonymous: None,
    }
}

impl House {
    async fn new() -> Self {
        Self::with(tokens()).await
    }

    async fn with(auth: AuthTable) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock = FakeClock::new(TimestampMs(START_MS));
        let kinds = [
            ("rollback_config", ToolCategory::Remediation),
            ("restart_service", ToolCategory::Remediation),
            ("purge_expired", ToolCategory::Destructive),
            ("error_ratio", ToolCategory::Query),
        ];
        let tools =
            Arc::new(FakeToolHost::new(Arc::new(clock.clone()), kinds.map(|(name, kind)| tool(name, kind))));
        let metrics = Arc::new(FakeMetrics::new());
        let world = tools.clone();
        metrics.instant.on(
            "error_ratio > 0.05",
            Reply::Compute(Arc::new(move |_| {
                let sick = vec![metrics::sample(Labels::from([("service", "checkout")]), 0.4)];
                Ok(if world.deeds().is_empty() { sick } else { Vec::new() })
            })),
        );
        let (journal, logs) = (FakeJournal::new(), Arc::new(FakeLogs::new()));
        let ports = Ports {
            journal: Arc::new(journal.clone()),
            clock: Arc::new(clock.clone()),
            metrics: metrics.clone(),
            logs: logs.clone(),
            tools: tools.clone(),
            notifier: Arc::new(FakeNotifier::new()),
            knowledge: None,
            model: None,
        };
        let config = AgentsConfig {
            policy: Policy::default(),
            grouping: GroupingPolicy::default(),
            restart: RestartPolicy::default(),
            taxonomy: Taxonomy::parse(medic_agents::taxonomy::DEFAULT).unwrap(),
        };
        let agents = medic_agents::start(config, ports).await.unwrap();
        let (stop, stopped) = signal::channel(false);
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let copies = Arc::new(keeping::Copies::default());
        let config = ApiConfig {
            grpc: free,
            http: free,
            tls: None,
            auth,
            librarian: None,
            custodian: Some(copies.clone()),
        };
        let serving = serve(config, agents.desk(), stopped).await.unwrap();
        // Ten seconds of the agents' time pass in one of ours.
        let mut time = JoinSet::new();
        let moved = clock.clone();
        time.spawn(async move {
            loop {
                moved.advance(50);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let (http, grpc) = (serving.http_addr(), serving.grpc_addr());
        Self {
            serving: Some(serving),
            stop,
            agents,
            journal,
            clock,
            logs,
            metrics,
            tools,
            copies,
            http,
            grpc,
            _time: time,
        }
    }

    fn break_checkout(&self) {
        let labels = || Labels::from([("service", "checkout")]);
        let start = self.clock.now().before_ms(120_000);
        let revision = (0..180).map(|s| if s < 108 { 1.0 } else { 2.0 });
        self.metrics.series("config_revision", vec![metrics::series(labels(), start, 1_000, revision)]);
        let errors = (0..180).map(|s| if s < 110 { 0.001 * f64::from(s % 3) } else { 0.4 });
        self.metrics
            .series("http_requests_total{code=~", vec![metrics::series(labels(), start, 1_000, errors)]);
    }

    fn delivery(&self) -> Value {
        let starts_at = jiff::Timestamp::from_millisecond(self.clock.now().0 as i64).unwrap().to_string();
        json!({ "version": "4", "groupKey": "{}:{}", "alerts": [{
            "status": "firing",
            "labels": { "alertname": "HighErrorRate", "service": "checkout", "severity": "critical" },
            "startsAt": starts_at,
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://p:9090/graph?g0.expr=error_ratio+%3E+0.05",
        }]})
    }

    async fn ask(
        &self,
        who: &str,
        method: Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let mut request = reqwest::Client::new()
            .request(method, format!("http://{}{path}", self.http))
            .body(body)
            .timeout(PATIENCE);
        if !who.is_empty() {
            request = request.bearer_auth(format!("{who}-secret"));
        }
        request.send().await.unwrap()
    }

    async fn get(&self, who: &str, path: &str) -> (StatusCode, Value) {
        said(self.ask(who, Method::GET, path, "").await).await
    }
    async fn post(&self, who: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        said(self.ask(who, Method::POST, path, body.to_string()).await).await
    }

    async fn until(&self, id: &str, phase: &str) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let (_, incident) = self.get("vera", &format!("/incidents/{id}")).await;
                if incident["phase"] == phase {
                    return incident;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{id} never became {phase}"))
    }

    async fn socket(&self, who: &str) -> impl futures::Stream<Item = Value> + Unpin + use<> {
        let mut request = format!("ws://{}/ws/incidents", self.http).into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {who}-secret").parse().unwrap());
        let tcp = tokio::net::TcpStream::connect(self.http).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
        Box::pin(socket.filter_map(|message| async {
            message.ok()?.into_text().ok().and_then(|text| serde_json::from_str(&text).ok())
        }))
    }

    async fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(format!("http://{}", self.grpc))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    async fn stop(mut self) {
        self.stop.send(true).unwrap();
        let joined = tokio::time::timeout(PATIENCE, self.serving.take().unwrap().join()).await;
        joined.expect("an open stream holds the door").unwrap();
        self.tools.release();
        self.metrics.release();
        self.agents.stop(1_000).await;
    }
}

async fn said(response: reqwest::Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// The next event of one kind.
async fn next_event(
    stream: &mut (impl futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
    seen: &mut String,
    kind: &str,
) -> (u64, Value) {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            while let Some((event, rest)) = seen.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned()))
            {
                *seen = rest;
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                        .map(str::to_owned)
                };
                if field("event").as_deref() == Some(kind) {
                    let data = serde_json::from_str(&field("data").unwrap()).unwrap();
                    return (field("id").unwrap().parse().unwrap(), data);
                }
            }
            let piece = stream.next().await.expect("the stream goes on").unwrap();
            seen.push_str(std::str::from_utf8(&piece).unwrap());
        }
    });
    found.await.unwrap_or_else(|_| panic!("no {kind} came; seen: {seen}"))
}

#[tokio::test]
async fn alert_to_remedy_through_webhook_socket_rest_and_events() {
    let house = House::new().await;
    house.break_checkout();
    let mut socket = house.socket("vera").await;
    let delivery = house.delivery();
    let (status, receipt) = house.post("hook", "/webhooks/alertmanager", &delivery).await;
    assert_eq!(
        (status, &receipt["alerts"], &receipt["duplicate"]),
        (StatusCode::OK, &json!(1), &json!(false))
    );
    let (_, again) = house.post("hook", "/webhooks/alertmanager", &delivery).await;
    assert_eq!(again["duplicate"], true);

    let asked = tokio::time::timeout(PATIENCE, async {
        loop {
            let update = socket.next().await.unwrap();
            if update["kind"] == "approval_request" {
                return update["incident"].clone();
            }
        }
    });
    let asked = asked.await.expect("the socket pushes the approval request");
    let id = asked["id"].as_str().unwrap().to_owned();
    let proposal = &asked["proposal"];
    assert_eq!(proposal["requirement"], "one_approver");
    assert_eq!(proposal["plan"]["items"][0]["tool"], "rollback_config");
    assert!(proposal["plan"]["items"][0]["args"].is_object(), "arguments are JSON, not text: {proposal}");
    assert!(!proposal["plan"]["blast_radius"]["components"].as_array().unwrap().is_empty());
    let (status, diagnosis) = house.get("vera", &format!("/diagnose?incident={id}")).await;
    assert_eq!(status, StatusCode::OK);
    let first = &diagnosis["diagnosis"]["hypotheses"][0];
    assert_eq!(first["component"], "checkout");
    let cited = &first["supporting"][0]["evidence_id"];
    assert!(diagnosis["evidence"].as_array().unwrap().iter().any(|evidence| evidence["id"] == *cited));

    // Consent: not by a lower role, not for another plan, not by a name in the body.
    let path = format!("/incidents/{id}/approve");
    let digest = proposal["plan_digest"].as_str().unwrap();
    let (status, problem) =
        house.post("hook", &path, &json!({ "plan_digest": digest, "principal": "token:alice" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("ROLE_TOO_LOW")));
    let other = format!("sha256:{}", "0".repeat(64));
    let (status, problem) = house.post("alice", &path, &json!({ "plan_digest": other })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("WRONG_PLAN")));
    let (status, problem) = house.post("alice", &path, &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_DIGEST")));
    assert!(house.tools.deeds().is_empty());

    let body = json!({ "plan_digest": digest, "request_id": "r1" });
    let (status, told) = house.post("alice", &path, &body).await;
    assert_eq!((status, &told["phase"]), (StatusCode::OK, &json!("EXECUTING")), "{told}");
    let (status, same) = house.post("alice", &path, &body).await;
    assert_eq!(
        (status, &same["revision"]),
        (StatusCode::OK, &told["revision"]),
        "a retry is answered as the first was"
    );

    let done = house.until(&id, "RESOLVED").await;
    assert_eq!(done["resolution"]["how"], "remedied");
    let action = &done["executed"][0];
    assert_eq!(action["tool"], "rollback_config");
    assert!(action["args"].is_object() && !action["approval_ids"][0].as_str().unwrap().is_empty());
    let history: Vec<&str> =
        done["history"].as_array().unwrap().iter().filter_map(|line| line["to"].as_str()).collect();
    for phase in ["GATHERING_INFO", "DIAGNOSING", "AWAITING_DECISION", "EXECUTING", "VERIFYING", "RESOLVED"] {
        assert!(history.contains(&phase), "{history:?}");
    }
    assert_eq!(house.tools.deeds().len(), 1);

    let (_, listed) = house.get("vera", "/incidents?phase=RESOLVED&limit=10").await;
    assert_eq!(listed["incidents"][0]["id"], *id);
    assert_eq!(house.get("vera", "/incidents?live_only=true").await.1["incidents"], json!([]));
    let (_, audit) = house.get("vera", "/audit?limit=3").await;
    assert_eq!(audit["records"].as_array().unwrap().len(), 3);
    assert_eq!(audit["next_seq"], 4);
    let (_, verified) = house.get("vera", "/audit/verify").await;
    assert_eq!(
        (&verified["intact"], verified["records"].as_u64() > Some(5)),
        (&json!(true), true),
        "{verified}"
    );
    house.stop().await;
}

#[tokio::test]
async fn events_begin_with_a_snapshot_and_go_on_from_the_last_one_seen() {
    let house = House::new().await;
    // Gathering waits, so that the incident is still open when a person speaks.
    house.metrics.hang("");
    let body =
        json!({ "title": "checkout is slow", "labels": { "service": "checkout" }, "request_id": "mine" });
    let (status, created) = house.post("hook", "/incidents", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let id = created["incident_id"].as_str().unwrap().to_owned();
    assert_eq!(
        house.post("hook", "/incidents", &body).await.1["incident_id"],
        *id,
        "sent twice, opened once"
    );
    let others = house.post("alice", "/incidents", &body).await.1;
    assert_ne!(others["incident_id"], *id, "one caller's request id does not find another's incident");

    let path = format!("/incidents/{id}/stream");
    let response = house.ask("vera", Method::GET, &path, "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut stream, mut seen) = (response.bytes_stream(), String::new());
    let (first, update) = next_event(&mut stream, &mut seen, "snapshot").await;
    assert_eq!(
        (update["kind"].as_str(), update["incident"]["id"].as_str()),
        (Some("snapshot"), Some(id.as_str()))
    );
    assert_eq!(update["incident"]["revision"], first);
    let (status, told) =
        house.post("hook", &format!("/incidents/{id}/escalate"), &json!({ "reason": "mine now" })).await;
    assert_eq!((status, &told["phase"]), (StatusCode::OK, &json!("ESCALATED")), "{told}");
    let mut last = first;
    loop {
        let (revision, update) = next_event(&mut stream, &mut seen, "change").await;
        assert!(revision > last, "{revision} after {last}");
        last = revision;
        if update["incident"]["phase"] == "ESCALATED" {
            assert_eq!(update["incident"]["escalation"]["code"], "HUMAN");
            break;
        }
    }

    // Who has seen it all is told nothing again; who has not gets a snapshot.
    let watch = |after: u64| {
        let request = reqwest::Client::new()
            .get(format!("http://{}{path}", house.http))
            .bearer_auth("vera-secret")
            .header("last-event-id", after);
        async move { request.send().await.unwrap().bytes_stream() }
    };
    let mut behind = watch(last - 1).await;
    next_event(&mut behind, &mut String::new(), "snapshot").await;
    let mut level = watch(last).await;
    let nothing = tokio::time::timeout(Duration::from_millis(200), level.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    // Three streams are open: stopping ends them.
    house.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_answered_with_what_is_wrong_and_nothing_is_stored() {
    let house = House::new().await;
    let hook = "/webhooks/alertmanager";
    let answer = |who: &'static str, method: Method, path: &'static str, body: Vec<u8>| {
        let house = &house;
        async move {
            let (status, problem) = said(house.ask(who, method, path, body).await).await;
            (status.as_u16(), problem["code"].as_str().unwrap_or_default().to_owned())
        }
    };
    let good = house.delivery().to_string().into_bytes();
    let deep = format!("{{\"alerts\":{}", "[".repeat(100_000)).into_bytes();
    let huge = vec![b' '; 5 * 1024 * 1024];
    let cases: [(&str, Method, &str, Vec<u8>, u16, &str); 16] = [
        ("", Method::POST, hook, good.clone(), 401, "UNAUTHENTICATED"),
        ("nobody", Method::POST, hook, good.clone(), 401, "UNAUTHENTICATED"),
        ("vera", Method::POST, hook, good, 403, "ROLE_TOO_LOW"),
        ("hook", Method::POST, hook, b"{".to_vec(), 400, "MALFORMED_JSON"),
        ("hook", Method::POST, hook, deep, 400, "MALFORMED_JSON"),
        ("hook", Method::POST, hook, huge, 413, "BODY_TOO_LARGE"),
        ("hook", Method::GET, hook, Vec::new(), 405, "WRONG_METHOD"),
        ("hook", Method::GET, "/nowhere", Vec::new(), 404, "NO_SUCH_ROUTE"),
        ("vera", Method::GET, "/incidents/01J", Vec::new(), 404, "NO_SUCH_INCIDENT"),
        ("vera", Method::GET, "/incidents/a%2Fb", Vec::new(), 400, "INVALID_ID"),
        ("vera", Method::GET, "/diagnose", Vec::new(), 400, "MISSING_FIELD"),
        ("vera", Method::GET, "/diagnose?incident=01J", Vec::new(), 404, "NO_SUCH_INCIDENT"),
        ("vera", Method::GET, "/incidents?limit=many", Vec::new(), 400, "INVALID_QUERY"),
        ("vera", Method::GET, "/ws/incidents", Vec::new(), 400, "NOT_A_WEBSOCKET"),
        ("hook", Method::POST, "/incidents", br#"{"title":5}"#.to_vec(), 400, "MALFORMED_JSON"),
        ("hook", Method::POST, "/execute", br#"{"tool":"none"}"#.to_vec(), 404, "NO_SUCH_TOOL"),
    ];
    for (who, method, path, body, status, code) in cases {
        assert_eq!(answer(who, method, path, body).await, (status, code.to_owned()), "{who} {path}");
    }
    assert_eq!(house.get("vera", "/incidents").await.1["incidents"], json!([]));

    // A disk that is nearly full: said to be worth a retry, and true.
    house.journal.set_low_space(true);
    let refused = house.ask("hook", Method::POST, hook, house.delivery().to_string()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(said(refused).await.1["code"], "STORE_LOW_SPACE");
    let (status, readiness) = house.get("", "/readyz").await;
    assert_eq!((status, &readiness["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
    house.journal.set_low_space(false);
    assert_eq!(house.get("vera", "/incidents").await.1["incidents"], json!([]));
    assert_eq!(house.get("", "/readyz").await.0, StatusCode::OK);
    assert_eq!(house.get("", "/healthz").await.0, StatusCode::OK);
    assert_eq!(house.get("", "/metrics").await.0, StatusCode::UNAUTHORIZED);

    let (_, page) = house.get("vera", "/metrics").await;
    let page = page.as_str().unwrap();
    for line in [
        "medic_deliveries_refused_total{code=\"STORE_LOW_SPACE\"} 1",
        "medic_deliveries_refused_total{code=\"UNAUTHENTICATED\"} 2",
        "medic_alerts_received_total 0",
        "medic_http_request_duration_seconds_count{method=\"GET\",route=\"/incidents/{id}\",status=\"404\"} 1",
        "medic_mailbox_envelopes{mailbox=\"monitor\"} 0",
        "medic_build_info{version=\"",
    ] {
        assert!(page.contains(line), "{line} is missing in\n{page}");
    }
    house.stop().await;
}

#[tokio::test]
async fn destruction_asked_for_by_one_needs_two_others() {
    let house = House::new().await;
    let request = json!({ "tool": "purge_expired", "args": { "service": "checkout" } });
    let (status, proposed) = house.post("alice", "/execute", &request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{proposed}");
    let id = proposed["proposed_incident_id"].as_str().unwrap().to_owned();
    let waiting = house.until(&id, "AWAITING_DECISION").await;
    assert_eq!(waiting["proposal"]["requirement"], "two_approvers");
    let approve = |who: &'static str| {
        let body = json!({ "plan_digest": waiting["proposal"]["plan_digest"] });
        let (house, path) = (&house, format!("/incidents/{id}/approve"));
        async move {
            let (status, answer) = house.post(who, &path, &body).await;
            (
                status.as_u16(),
                answer["code"].as_str().or(answer["phase"].as_str()).unwrap_or_default().to_owned(),
            )
        }
    };
    assert_eq!(approve("alice").await, (403, "REQUESTER_APPROVES".to_owned()));
    assert_eq!(approve("bob").await, (200, "AWAITING_DECISION".to_owned()));
    assert_eq!(approve("bob").await, (409, "DUPLICATE_APPROVER".to_owned()));
    assert!(house.tools.deeds().is_empty());
    assert_eq!(approve("root").await, (200, "EXECUTING".to_owned()));
    house.stop().await;
}

#[tokio::test]
async fn logs_and_tools_that_read_answer_at_once() {
    let house = House::new().await;
    let at = house.clock.now();
    house.logs.line(
        at.before_ms(60_000),
        "checkout",
        "ERROR cannot reach the database password=hunter2hunter2",
    );
    house.logs.line(at.before_ms(50_000), "payments", "ERROR cannot reach the database");
    house.logs.line(at.before_ms(40_000), "checkout", "INFO order placed");
    let question = json!({ "text": "errors in checkout about the database", "now": at.0 });
    let (status, answer) = house.post("vera", "/logs/query", &question).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let lines = answer["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{answer}");
    let line = lines[0]["line"].as_str().unwrap();
    assert!(line.contains("cannot reach the database") && !line.contains("hunter2"), "{line}");
    assert!(answer["query"].is_object());
    assert_eq!((&answer["matched"], &answer["model_note"]), (&json!(1), &json!(null)), "{answer}");
    let question = json!({ "text": "which services had errors in carrot", "now": at.0 });
    let (_, answer) = house.post("vera", "/logs/query", &question).await;
    assert_eq!(answer["notes"][0], "no source is called carrot; there are: checkout, payments", "{answer}");

    let log: String =
        (0..200).map(|n| format!("2026-11-22T10:00:{:02}Z INFO order {n} placed\n", n % 60)).collect();
    let (status, report) =
        said(house.ask("vera", Method::POST, "/logs/analyze?name=checkout", log).await).await;
    assert_eq!((status, &report["lines"]), (StatusCode::OK, &json!(200)), "{report}");
    assert!(report["report"]["templates"].is_array());
    let (usual, odd) =
        ("2026-11-22T10:00:00Z INFO order placed\n", "2026-11-22T10:01:00Z ERROR pool exhausted\n");
    let route = format!("/logs/analyze?baseline_bytes={}", usual.len() * 100);
    let body = usual.repeat(100) + &odd.repeat(9);
    let (status, report) = said(house.ask("vera", Method::POST, &route, body).await).await;
    assert_eq!(
        (status, &report["baseline_lines"], &report["lines"]),
        (StatusCode::OK, &json!(100), &json!(9))
    );
    assert_eq!(report["anomalies"][0]["kind"], "new_template", "{report}");

    let (status, ran) = house.post("hook", "/execute", &json!({ "tool": "error_ratio", "args": {} })).await;
    assert_eq!(status, StatusCode::OK, "{ran}");
    assert!(ran["output"].is_object() && ran["proposed_incident_id"].is_null());
    assert_eq!(
        house.post("vera", "/execute", &json!({ "tool": "error_ratio" })).await.0,
        StatusCode::FORBIDDEN
    );
    let (_, tools) = house.get("vera", "/tools").await;
    assert_eq!(tools["tools"].as_array().unwrap().len(), 4);
    let (status, problem) = house.post("vera", "/knowledge/search", &json!({ "text": "x" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("KNOWLEDGE_NOT_CONFIGURED")));
    house.stop().await;
}

type GrpcRequest<T> = tonic::Request<T>;

fn signed<T>(who: &str, message: T) -> GrpcRequest<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {who}-secret").parse().unwrap());
    request
}

#[tokio::test]
async fn grpc_speaks_of_the_same_incidents_with_the_same_rules() {
    let house = House::new().await;
    let channel = house.channel().await;
    let mut incidents = v1::incidents_client::IncidentsClient::new(channel.clone());
    let create = v1::CreateIncidentRequest {
        title: "slow".into(),
        labels: [("service".to_owned(), "checkout".to_owned())].into(),
        ..Default::default()
    };
    let nobody = incidents.create(create.clone()).await.unwrap_err();
    assert_eq!(nobody.code(), tonic::Code::Unauthenticated);
    let viewer = incidents.create(signed("vera", create.clone())).await.unwrap_err();
    assert_eq!(viewer.code(), tonic::Code::PermissionDenied);
    assert_eq!(viewer.metadata().get("medic-code").unwrap(), "ROLE_TOO_LOW");
    let id = incidents.create(signed("hook", create)).await.unwrap().into_inner().incident_id;

    let watch = v1::WatchIncidentsRequest { incident_id: id.clone(), after_revision: None };
    let mut updates = incidents.watch(signed("vera", watch)).await.unwrap().into_inner();
    let first = updates.message().await.unwrap().unwrap();
    assert_eq!(first.kind, "snapshot");
    let get = v1::GetIncidentRequest { incident_id: id.clone() };
    let grpc = incidents.get(signed("vera", get)).await.unwrap().into_inner();
    let (_, rest) = house.get("vera", &format!("/incidents/{id}")).await;
    assert_eq!(
        (rest["id"].as_str(), rest["title"].as_str()),
        (Some(grpc.id.as_str()), Some(grpc.title.as_str()))
    );

    let approve = v1::ApproveRequest {
        incident_id: id.clone(),
        plan_digest: format!("sha256:{}", "0".repeat(64)),
        request_id: None,
    };
    let early = incidents.approve(signed("alice", approve)).await.unwrap_err();
    assert_eq!(early.code(), tonic::Code::FailedPrecondition);
    assert_eq!(early.metadata().get("medic-code").unwrap(), "WRONG_PHASE");

    let mut audit = v1::audit_client::AuditClient::new(channel.clone());
    let list = v1::ListAuditRequest { from_seq: 0, limit: 0, incident_id: String::new() };
    let mut records = audit.list(signed("vera", list)).await.unwrap().into_inner();
    let mut verifier = medic_core::audit::ChainVerifier::default();
    let mut refusals = 0;
    while let Some(record) = records.message().await.unwrap() {
        verifier.push(&serde_json::from_str(&record.export_line).unwrap()).unwrap();
        refusals += u32::from(record.kind == "refusal");
    }
    assert_eq!(refusals, 1, "the refused approval is on record");
    let status = v1::status_client::StatusClient::new(channel.clone())
        .get(signed("alice", v1::GetStatusRequest {}))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.principal.as_str(), status.role.as_str()), ("token:alice", "approver"));
    assert!(status.ready, "{}", status.not_ready_because);

    let upload = futures::stream::iter((0..3).map(|n| v1::AnalyzeLogsRequest {
        chunk: format!("2026-11-22T10:00:0{n}Z ERROR it broke\n").into_bytes(),
        ..Default::default()
    }));
    let mut logs = v1::logs_client::LogsClient::new(channel.clone());
    let report = logs.analyze(signed("vera", upload)).await.unwrap().into_inner();
    assert_eq!(report.lines, 3);

    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let asked = tonic_health::pb::HealthCheckRequest { service: String::new() };
    assert_eq!(health.check(asked).await.unwrap().into_inner().status, 1, "health is open and serving");
    house.stop().await;
}

#[tokio::test]
async fn without_tokens_the_machine_is_the_operator_and_no_web_page_is() {
    let house = House::with(AuthTable::local_operator()).await;
    let (_, status) = house.get("", "/status").await;
    assert_eq!((&status["principal"], &status["role"]), (&json!("local:operator"), &json!("admin")));
    assert_eq!(
        house.get("alice", "/status").await.0,
        StatusCode::UNAUTHORIZED,
        "a wrong credential is not none"
    );
    let page = reqwest::Client::new()
        .post(format!("http://{}/incidents", house.http))
        .header("origin", "https://evil.example")
        .body("{}");
    assert_eq!(said(page.send().await.unwrap()).await.1["code"], "FOREIGN_ORIGIN");
    let mut request = format!("ws://{}/ws/incidents", house.http).into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let tcp = tokio::net::TcpStream::connect(house.http).await.unwrap();
    let refused = tokio_tungstenite::client_async(request, tcp).await.map(|(mut socket, _)| {
        drop(socket.close(None));
    });
    assert!(refused.is_err());
    house.stop().await;
}

#[tokio::test]
async fn open_address_without_tokens_and_tls_is_refused_before_listening() {
    let house = House::new().await;
    let open: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for (grpc, http, auth) in [
        (open, loopback, tokens()),
        (loopback, open, tokens()),
        (loopback, open, AuthTable::local_operator()),
    ] {
        let (_stop, stopped) = signal::channel(false);
        let config = ApiConfig { grpc, http, tls: None, auth, librarian: None, custodian: None };
        let refused = serve(config, house.agents.desk(), stopped).await.unwrap_err();
        assert_eq!(refused.code(), "OPEN_LISTENER", "{refused}");
    }
    let nobody = AuthTable { tokens: Vec::new(), anonymous: None };
    let (_stop, stopped) = signal::channel(false);
    let config = ApiConfig {
        grpc: loopback,
        http: loopback,
        tls: None,
        auth: nobody,
        librarian: None,
        custodian: None,
    };
    assert_eq!(serve(config, house.agents.desk(), stopped).await.unwrap_err().code(), "INVALID_TOKENS");
    house.stop().await;
}
