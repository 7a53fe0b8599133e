//! Query tools: arguments, rights, endpoints.

use medic_core::permit::Ground;
use medic_core::{Fault, FaultKind};
use medic_host::Host;
use medic_ports::ToolHost;
use medic_ports::tools::ToolOutput;

use crate::support::guest::Guest;
use crate::support::server::{Manner, Server};
use crate::support::{Setup, TOKEN, permit};

async fn ask(host: &Host, args: &str) -> Result<ToolOutput, Fault> {
    host.invoke(&permit(host, "ask", args, Ground::Invoke)).await
}

fn plain() -> Guest {
    let mut guest = Guest::new("query", "ask");
    guest.invoke("");
    guest
}

#[tokio::test]
async fn a_query_runs_on_checked_arguments() {
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &plain().build(), "");
    let host = setup.open().await;
    assert_eq!(ask(&host, r#"{ "n": "5" }"#).await.unwrap().summary, r#"{"n":5}"#);
    let fault = ask(&host, r#"{"n":5,"force":true}"#).await.unwrap_err();
    assert_eq!((fault.kind, fault.code.as_str()), (FaultKind::InvalidArguments, "INVALID_ARGUMENTS"));
    assert!(fault.message.contains("/force"), "{fault}");
    assert!(host.take_host_calls().is_empty());
}

#[tokio::test]
async fn text_of_a_tool_cannot_act_on_a_screen() {
    let mut guest = Guest::new("query", "ask");
    guest.invoke_saying("\u{1b}[2J\u{1b}]0;owned\u{7}all \u{202e}fine");
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &guest.build(), "");
    assert_eq!(ask(&setup.open().await, "{}").await.unwrap().summary, "all fine");
}

#[tokio::test]
async fn a_function_inside_the_ceiling_but_not_granted_answers_denied_and_is_audited() {
    let mut guest = Guest::new("query", "ask");
    let code = guest.metrics_query("up");
    guest.invoke(&code);
    let bytes = guest.build();
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &bytes, "");
    let host = setup.open().await;
    let fault = ask(&host, "{}").await.unwrap_err();
    assert_eq!(fault.code, "NOT_GRANTED");
    let calls = host.take_host_calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].function.as_str(), calls[0].subject.as_str(), calls[0].allowed),
        ("metrics.query", "up", false)
    );
    assert_eq!((calls[0].plugin.as_str(), calls[0].rule.as_str()), ("ask", "function-not-granted"));

    let mut setup = Setup::new();
    setup.plugin("ask", "query", &bytes, "functions = [\"metrics.query\"]");
    setup.metrics.value("up", 1.0);
    let host = setup.open().await;
    ask(&host, "{}").await.unwrap();
    assert_eq!(host.take_host_calls()[0].rule, "grant.metrics");
}

async fn get(server: &Server, path: &str) -> (Result<ToolOutput, Fault>, Vec<String>) {
    let mut guest = Guest::new("query", "ask");
    let code = guest.http_get("shop", path);
    guest.invoke(&code);
    let mut setup = Setup::new();
    setup.toml(&server.endpoint("shop", ""));
    setup.plugin(
        "ask",
        "query",
        &guest.build(),
        "functions = [\"http-read.send\"]\n[[plugin.ask.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\"]\n\
         paths = [\"/config\", \"/echo\", \"/away\", \"/operations/{key}\"]",
    );
    let host = setup.open().await;
    let answer = ask(&host, "{}").await;
    (answer, host.take_host_calls().into_iter().map(|call| call.rule).collect())
}

#[tokio::test]
async fn an_endpoint_is_read_with_a_credential_the_guest_never_sees() {
    let server = Server::start(Manner::Honest).await;
    let (answer, rules) = get(&server, "/config").await;
    assert_eq!(answer.unwrap().summary, server.config());
    assert_eq!(rules, ["grant.http.shop[0]"]);
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(server.requests()[0].authorization.as_deref(), Some(bearer.as_str()));
    let (answer, _) = get(&server, "/echo").await;
    assert_eq!(answer.unwrap().summary, "you are Bearer [redacted]");
}

#[tokio::test]
async fn paths_outside_the_grant_never_leave_the_host() {
    let server = Server::start(Manner::Honest).await;
    for (path, code) in [
        ("/secrets", "PATH_NOT_GRANTED"),
        ("/operations/a/b", "PATH_NOT_GRANTED"),
        ("/operations/../secrets", "PATH_MALFORMED"),
        ("/operations/%2e%2e/secrets", "PATH_MALFORMED"),
        ("/operations/a%2fb", "PATH_MALFORMED"),
        ("/config?admin=1", "PATH_MALFORMED"),
        ("http://169.254.169.254/latest", "PATH_MALFORMED"),
        ("//evil.example/config", "PATH_MALFORMED"),
    ] {
        let (answer, _) = get(&server, path).await;
        assert_eq!(answer.unwrap_err().code, code, "{path}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::start(Manner::Honest).await;
    let (answer, _) = get(&server, "/away").await;
    assert_eq!(answer.unwrap().summary, "");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_loopback_endpoint_needs_the_operators_word() {
    let server = Server::start(Manner::Honest).await;
    let mut guest = Guest::new("query", "ask");
    let code = guest.http_get("shop", "/config");
    guest.invoke(&code);
    let bytes = guest.build();
    for base in [server.base.clone(), server.base.replace("127.0.0.1", "localhost")] {
        let mut setup = Setup::new();
        setup.toml(&format!("[endpoint.shop]\nbase = \"{base}\"\n"));
        setup.plugin(
            "ask",
            "query",
            &bytes,
            "functions = [\"http-read.send\"]\n[[plugin.ask.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\"]\npaths = [\"/config\"]",
        );
        assert_eq!(ask(&setup.open().await, "{}").await.unwrap_err().code, "ADDRESS_REFUSED", "{base}");
    }
    assert!(server.requests().is_empty());
}

/// Shakes hands with whoever connects, by a certificate that nobody has to trust.
async fn tls_server() -> std::net::SocketAddr {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
    let fixture = |name: &str| {
        std::fs::read(format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(fixture("localhost.key.der")));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(fixture("localhost.cert.der"))], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

#[tokio::test]
async fn a_handshake_shows_a_certificate_that_no_request_would_be_trusted_to() {
    let address = tls_server().await;
    let mut guest = Guest::new("diagnostic", "ask");
    let code = guest.probe("tls", "shop");
    guest.invoke(&code);
    let mut setup = Setup::new();
    setup
        .toml(&format!("[endpoint.shop]\nbase = \"https://localhost:{}\"\nprivate = true\n", address.port()));
    setup.plugin(
        "ask",
        "diagnostic",
        &guest.build(),
        "functions = [\"probe.tls\"]\n[[plugin.ask.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\"]\npaths = [\"/\"]",
    );
    let answer = ask(&setup.open().await, "{}").await.unwrap().summary;
    let seen: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
    assert_eq!(
        (&seen["verified"], &seen["protocol"]),
        (&serde_json::json!(false), &serde_json::json!("TLSv1_3"))
    );
    assert!(!seen["error"].as_str().unwrap().is_empty());
    let certificate = &seen["certificates"][0];
    assert_eq!(certificate["subject"], "CN=localhost");
    assert_eq!(certificate["names"], serde_json::json!(["localhost", "127.0.0.1"]));
    let (before, after) =
        (certificate["not_before_ms"].as_u64().unwrap(), certificate["not_after_ms"].as_u64().unwrap());
    assert_eq!(after - before, 3650 * 24 * 3600 * 1000);
}

#[tokio::test]
async fn a_permit_for_other_bytes_or_another_purpose_is_refused() {
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &plain().build(), "");
    let host = setup.open().await;
    let old = permit(&host, "ask", "{}", Ground::Invoke);
    let prepare = permit(&host, "ask", "{}", Ground::Prepare);
    assert_eq!(host.invoke(&prepare).await.unwrap_err().code, "PERMIT_GROUND");
    assert_eq!(host.plan(&old).await.unwrap_err().code, "PERMIT_GROUND");

    let mut changed = Guest::new("query", "ask");
    changed.invoke_saying("other bytes");
    let mut next = Setup::new();
    next.plugin("ask", "query", &changed.build(), "");
    let other = next.open().await;
    assert_eq!(other.invoke(&old).await.unwrap_err().code, "COMPONENT_CHANGED");
}
