//! What changes while the host runs: files, grants, signatures, and what was reviewed.

use std::path::PathBuf;

use medic_core::Digest;
use medic_core::permit::Ground;
use medic_host::{Host, Lock, install, survey};
use medic_ports::ToolHost;

use crate::support::guest::Guest;
use crate::support::{NOW, Setup, permit};

fn query(import: &str) -> Vec<u8> {
    let mut guest = Guest::new("query", "ask");
    let code = match import {
        "" => String::new(),
        "metrics" => guest.metrics_query("up"),
        _ => guest.http_get("shop", "/config"),
    };
    guest.invoke(&code);
    guest.build()
}

fn running(host: &Host) -> Vec<Digest> {
    host.list().into_iter().map(|tool| tool.digest).collect()
}

fn codes(host: &Host) -> Vec<String> {
    host.rejected().into_iter().map(|rejected| rejected.code).collect()
}

/// Two looks: what has changed must stand still for one.
async fn look(host: &Host) -> bool {
    let first = host.look().await;
    host.look().await || first
}

const ALL: &str = "functions = [\"metrics.query\", \"http-read.send\"]";

impl Setup {
    fn grants(&self) -> PathBuf {
        self.folder.path().join("grants.toml")
    }
    fn regrant(&self, from: &[u8], to: &[u8]) {
        let text = std::fs::read_to_string(self.grants()).unwrap();
        let (from, to) = (Digest::of_bytes(from), Digest::of_bytes(to));
        std::fs::write(self.grants(), text.replace(from.as_str(), to.as_str())).unwrap();
    }
}

#[tokio::test]
async fn files_come_change_and_go_without_a_restart() {
    let (first, second) = (query("metrics"), query(""));
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &first, ALL);
    let host = setup.open().await;
    assert!(!look(&host).await, "nothing has changed");
    let before = host.list();

    let mut other = Guest::new("query", "other");
    other.invoke("");
    setup.file("other", &other.build());
    assert!(look(&host).await);
    assert_eq!((host.list(), codes(&host)), (before.clone(), vec!["NO_GRANT".to_owned()]));

    // New bytes that nobody granted do not run, and take nothing away.
    setup.file("ask", &second);
    assert!(look(&host).await);
    assert_eq!(running(&host), [Digest::of_bytes(&first)]);
    assert!(codes(&host).contains(&"DIGEST_MISMATCH".to_owned()));
    host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();

    // Granted, they do: they import less than those before.
    setup.regrant(&first, &second);
    assert!(look(&host).await);
    assert_eq!(running(&host), [Digest::of_bytes(&second)]);

    std::fs::remove_file(setup.folder.path().join("plugins/ask.wasm")).unwrap();
    assert!(look(&host).await);
    assert!(host.list().is_empty(), "removed is unloaded");
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_left_alone() {
    let (first, second) = (query("metrics"), query(""));
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &first, ALL);
    let host = setup.open().await;
    setup.regrant(&first, &second);
    for end in [10, 100, second.len() / 2] {
        setup.file("ask", &second[..end]);
        assert!(!host.look().await, "it changes with every look");
    }
    assert_eq!(running(&host), [Digest::of_bytes(&first)]);
    setup.file("ask", &second);
    assert!(look(&host).await);
    assert_eq!(running(&host), [Digest::of_bytes(&second)]);
}

#[tokio::test]
async fn a_broken_grant_file_changes_nothing_and_is_shown() {
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &query(""), "");
    let host = setup.open().await;
    let good = std::fs::read(setup.grants()).unwrap();
    std::fs::write(setup.grants(), "[plugin").unwrap();
    assert!(look(&host).await);
    assert_eq!((host.list().len(), codes(&host)), (1, vec!["GRANTS_INVALID".to_owned()]));
    std::fs::write(setup.grants(), good).unwrap();
    assert!(look(&host).await);
    assert!(codes(&host).is_empty());
}

#[tokio::test]
async fn what_could_do_more_waits_for_review_and_the_old_version_runs_on_through_a_restart() {
    let (old, wider) = (query("metrics"), {
        let mut guest = Guest::new("query", "ask");
        let code = format!("{}{}", guest.metrics_query("up"), guest.http_get("shop", "/config"));
        guest.invoke(&code);
        guest.build()
    });
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &old, ALL);
    setup.metrics.value("up", 1.0);
    let host = setup.open().await;
    setup.file("ask", &wider);
    setup.regrant(&old, &wider);
    assert!(look(&host).await);
    assert_eq!(running(&host), [Digest::of_bytes(&old)]);
    let rejected = host.rejected();
    assert_eq!(rejected[0].code, "PENDING_REVIEW");
    assert!(
        rejected[0].reason.contains("it imports http-read.send") && rejected[0].reason.contains("goes on"),
        "{rejected:?}"
    );
    host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();

    let again = Host::open(setup.config(), setup.deps()).await.unwrap();
    assert_eq!(
        (running(&again), codes(&again)),
        (vec![Digest::of_bytes(&old)], vec!["PENDING_REVIEW".to_owned()])
    );

    // Accepted where it is installed, it takes over.
    let file = setup.folder.path().join("ask.wasm");
    std::fs::write(&file, &wider).unwrap();
    let config = setup.config();
    let refused = tokio::task::spawn_blocking(move || {
        let refused = install(&config, &file, false, NOW).unwrap_err();
        install(&config, &file, true, NOW).unwrap();
        refused
    });
    assert_eq!(refused.await.unwrap().code(), "PLUGIN_WIDENED");
    assert!(look(&again).await);
    assert_eq!((running(&again), codes(&again)), (vec![Digest::of_bytes(&wider)], vec![]));
}

#[tokio::test]
async fn a_changed_schema_is_a_widening_too() {
    let old = query("");
    let mut guest = Guest::new("query", "ask");
    guest.invoke("");
    guest.catalogue(r#"{"type":"object","additionalProperties":false,"properties":{"force":{"type":"boolean","description":"Force."}}}"#);
    let other = guest.build();
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &old, "");
    let host = setup.open().await;
    setup.file("ask", &other);
    setup.regrant(&old, &other);
    look(&host).await;
    assert_eq!(
        (running(&host), codes(&host)),
        (vec![Digest::of_bytes(&old)], vec!["PENDING_REVIEW".to_owned()])
    );
    assert!(host.rejected()[0].reason.contains("tool `ask`"), "{:?}", host.rejected());
}

#[tokio::test]
async fn a_tightened_grant_binds_the_version_that_runs_on() {
    let (old, wider) = (query("metrics"), query("http"));
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &old, ALL);
    setup.metrics.value("up", 1.0);
    let host = setup.open().await;
    setup.file("ask", &wider);
    setup.regrant(&old, &wider);
    let text = std::fs::read_to_string(setup.grants()).unwrap();
    std::fs::write(setup.grants(), text.replace(ALL, "functions = []")).unwrap();
    look(&host).await;
    assert_eq!(running(&host), [Digest::of_bytes(&old)]);
    let fault = host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap_err();
    assert_eq!(fault.code, "NOT_GRANTED", "the present grant holds, not the one it was loaded under");
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_begin() {
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &query(""), "");
    setup.try_open().await.unwrap();
    let mut config = setup.config();
    config.lock_file = Some("/proc/plugins.lock".into());
    let host = Host::open(config, setup.deps()).await.unwrap();
    assert_eq!((host.list().len(), codes(&host)), (0, vec!["PLUGIN_LOCK_UNWRITABLE".to_owned()]));
    std::fs::write(setup.folder.path().join("plugins.lock"), "version = 9").unwrap();
    assert_eq!(setup.try_open().await.err().unwrap().code(), "PLUGIN_LOCK_INVALID");
}

#[tokio::test]
async fn once_a_key_is_trusted_only_signed_bytes_run() {
    use ed25519_dalek::SigningKey;
    let bytes = query("");
    let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let hex: String = key.verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let trust = format!("[trust.release]\nkey = \"{hex}\"\n");
    let digest = Digest::of_bytes(&bytes);
    let setup = |more: &str, signed: Option<&SigningKey>| {
        let mut setup = Setup::new();
        setup.toml(&trust);
        setup.plugin("ask", "query", &bytes, more);
        if let Some(key) = signed {
            let path = setup.folder.path().join("plugins/ask.wasm.sig");
            std::fs::write(path, medic_host::sign(&digest, key)).unwrap();
        }
        setup
    };
    let check = async |setup: &Setup, code: &str| {
        let host = setup.try_open().await.unwrap();
        let found = codes(&host);
        assert_eq!(
            found,
            if code.is_empty() { vec![] } else { vec![code.to_owned()] },
            "{:?}",
            host.rejected()
        );
        host
    };
    check(&setup("", Some(&key)), "").await;
    check(&setup("", None), "SIGNATURE_MISSING").await;
    check(&setup("", Some(&other)), "SIGNATURE_UNTRUSTED").await;

    // Unsigned for a while, by name; when that is over it is unloaded without anybody's doing.
    let until = "1970-01-01T01:00:00Z";
    let word =
        format!("unsigned = {{ digest = \"{digest}\", until = {until}, reason = \"the key is lost\" }}");
    let let_run = setup(&word, None);
    let host = check(&let_run, "").await;
    assert!(!host.look().await);
    let_run.clock.advance(3_600_000);
    assert!(host.look().await);
    assert_eq!((host.list().len(), codes(&host)), (0, vec!["SIGNATURE_OVERRIDE".to_owned()]));

    // A key that is no longer trusted takes its plugin with it, also one that only goes on running.
    let signed = setup("", Some(&key));
    let host = check(&signed, "").await;
    let text = std::fs::read_to_string(signed.grants()).unwrap();
    let theirs: String = other.verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(signed.grants(), text.replace(&hex, &theirs)).unwrap();
    look(&host).await;
    assert_eq!((host.list().len(), codes(&host)), (0, vec!["SIGNATURE_UNTRUSTED".to_owned()]));
}

#[tokio::test]
async fn an_installed_plugin_is_whole_recorded_and_listed() {
    let mut setup = Setup::new();
    let bytes = query("metrics");
    setup.grant("ask", "query", &Digest::of_bytes(&bytes), ALL);
    let host = setup.try_open().await.unwrap();
    assert_eq!(codes(&host), ["FILE_MISSING"]);
    let file = setup.folder.path().join("ask.wasm");
    std::fs::write(&file, &bytes).unwrap();
    let (config, lying) = (setup.config(), setup.folder.path().join("liar.wasm"));
    let mut liar = Guest::new("query", "lie");
    let code = liar.http_delete("shop", "/x");
    liar.invoke(&code);
    std::fs::write(&lying, liar.build()).unwrap();
    let installed = tokio::task::spawn_blocking(move || {
        assert_eq!(install(&config, &lying, true, NOW).unwrap_err().code(), "IMPORT_OUTSIDE_CEILING");
        let installed = install(&config, &file, false, NOW).unwrap();
        (installed, survey(&config, NOW).unwrap())
    });
    let (installed, survey) = installed.await.unwrap();
    assert!(installed.granted && installed.difference.as_str() == "NEW");
    assert_eq!(std::fs::read(&installed.path).unwrap(), bytes);
    let lock = Lock::read(&setup.config().lock_path()).unwrap();
    assert_eq!(lock.get("ask"), Some(&installed.locked));
    assert!(lock.get("liar").is_none() && !setup.folder.path().join("plugins/liar.wasm").exists());
    assert_eq!(
        (survey.plugins.len(), survey.plugins[0].functions.clone()),
        (1, vec![("metrics.query".to_owned(), true)])
    );
    assert!(look(&host).await);
    assert_eq!(host.list().len(), 1, "a running host takes it in");
}

#[tokio::test]
async fn what_a_tool_kept_goes_when_it_is_uninstalled() {
    let mut guest = Guest::new("query", "ask");
    let code = guest.state_set("k", 8);
    guest.invoke(&code);
    let bytes = guest.build();
    let mut setup = Setup::new();
    setup.plugin("ask", "query", &bytes, "");
    let (config, deps) = (setup.config(), setup.deps());
    setup.try_open().await.unwrap();
    let state = deps.state.clone();
    let host = Host::open(config, deps).await.unwrap();
    host.invoke(&permit(&host, "ask", "{}", Ground::Invoke)).await.unwrap();
    let owner = medic_host::Owner { plugin: "ask".to_owned(), tool: "ask".to_owned() };
    assert!(state.get(&owner, "k", NOW).await.unwrap().is_some());
    std::fs::remove_file(setup.folder.path().join("plugins/ask.wasm")).unwrap();
    look(&host).await;
    assert!(state.get(&owner, "k", NOW).await.unwrap().is_some(), "its grant stands: it may come back");
    std::fs::write(setup.grants(), "").unwrap();
    look(&host).await;
    assert!(state.get(&owner, "k", NOW).await.unwrap().is_none());
}
