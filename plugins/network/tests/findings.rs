//! What is found, and what is no finding but a failure to look.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may be blunt"
)]

use medic_sdk::types::{HostError, HostErrorKind, ProbeOutcome};
use medic_sdk::{Value, json};
use medic_sdk_testkit::{Answer, Function, ScriptedHost};
use plugin_network::{check_certificate, dns_lookup};

const NOW_MS: u64 = 1_700_000_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

fn tls(ok: bool, detail: &str) -> ScriptedHost {
    let outcome = ProbeOutcome { ok, latency_us: 900, detail: detail.to_owned() };
    ScriptedHost::new().on(Function::ProbeTls, "shop", Answer::Outcome(outcome)).at_ms(NOW_MS)
}

fn presented(verified: bool, from_ms: u64, until_ms: u64) -> ScriptedHost {
    let error = (!verified).then_some("unknown issuer");
    let detail = json!({ "verified": verified, "error": error, "protocol": "TLSv1.3", "cipher": null, "certificates": [{
        "subject": "CN=shop", "issuer": "CN=ca", "serial": "01", "not_before_ms": from_ms, "not_after_ms": until_ms,
        "names": ["shop.internal"], "sha256": "00" }] });
    tls(verified, &detail.to_string())
}

fn finding(host: &ScriptedHost) -> (String, Value) {
    let output = host.diagnostic::<check_certificate>(json!({ "endpoint": "shop" })).unwrap();
    let data: Value = medic_sdk::serde_json::from_str(output.data_json.as_deref().unwrap()).unwrap();
    (output.summary, data["finding"].clone())
}

#[test]
fn a_certificate_is_judged_by_trust_and_time() {
    let good = presented(true, 0, NOW_MS + 30 * DAY_MS);
    assert_eq!(finding(&good).0, "shop: the certificate is trusted and in time, 30 days left");
    assert_eq!(finding(&presented(true, 0, NOW_MS + 3 * DAY_MS)).1, "ends_soon");
    assert_eq!(finding(&presented(false, 0, NOW_MS)).1, "expired");
    assert_eq!(finding(&presented(false, NOW_MS + 1, NOW_MS + DAY_MS)).1, "not_yet_valid");
    let untrusted = finding(&presented(false, 0, NOW_MS + 30 * DAY_MS));
    assert_eq!(untrusted.1, "untrusted");
    assert!(untrusted.0.ends_with("30 days left (unknown issuer)"), "{}", untrusted.0);
    assert_eq!(finding(&tls(false, "connection refused")).1, "no_handshake");
    good.assert_fails_honestly(|host| host.diagnostic::<check_certificate>(json!({ "endpoint": "shop" })));
    let torn = tls(true, "{}");
    assert!(
        torn.diagnostic::<check_certificate>(json!({ "endpoint": "shop" })).is_err(),
        "success without a certificate"
    );
}

#[test]
fn a_name_resolves_or_does_not() {
    let host = ScriptedHost::new().on(
        Function::ProbeDns,
        "shop",
        Answer::Texts(vec!["10.0.0.2".into(), "10.0.0.1".into(), "10.0.0.2".into()]),
    );
    let args = json!({ "name": "shop" });
    assert_eq!(
        host.diagnostic::<dns_lookup>(args.clone()).unwrap().summary,
        "shop resolves to 10.0.0.1, 10.0.0.2"
    );
    host.assert_fails_honestly(|host| host.diagnostic::<dns_lookup>(args.clone()));
    let missing = HostError {
        kind: HostErrorKind::NotFound,
        code: "DNS_FAILED".into(),
        message: "no such name".into(),
        retry_after_ms: None,
    };
    let gone = ScriptedHost::new().on(Function::ProbeDns, "shop", Answer::Error(missing));
    assert_eq!(
        gone.diagnostic::<dns_lookup>(args.clone()).unwrap().summary,
        "shop does not resolve: no such name"
    );
}
