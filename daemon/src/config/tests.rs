use super::*;
use std::fs;

fn read(toml: &str) -> Result<Config, ConfigError> {
    read_with(toml, &[])
}

fn read_with(toml: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), toml).unwrap();
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::load_with(Some(file.path()), environment)
}

fn refused(toml: &str) -> String {
    read(toml).unwrap_err().to_string()
}

#[test]
fn nothing_written_gives_a_daemon_on_loopback_that_acts_on_nothing() {
    let config = read("").unwrap();
    assert!(config.server.grpc.ip().is_loopback() && config.server.http.ip().is_loopback());
    assert!(config.policy.auto_approve.is_none() && config.tools.is_none() && config.model.is_none());
    let table = config.server.auth_table().unwrap();
    let (principal, role) = table.anonymous.unwrap();
    assert_eq!((principal.as_str(), role), ("local:operator", Role::Admin));
}

#[test]
fn example_configuration_is_valid() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/config/medicd.toml");
    let config = Config::load_with(Some(Path::new(example)), HashMap::new()).unwrap();
    assert!(config.policy.auto_approve.is_none(), "nobody gets unattended changes by copying the example");
    // What is commented out must be right as well: it is what people switch on.
    let text = fs::read_to_string(example).unwrap();
    let on: Vec<&str> = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let all = read(&on.join("\n")).unwrap();
    assert!(all.model.is_some() && all.notify.webhook.is_some() && all.policy.auto_approve.is_some());
    assert!(!all.server.tokens.is_empty() && all.server.tls.is_some());
}

#[test]
fn unknown_key_is_an_error_that_names_it() {
    for (toml, key) in [
        ("colour = 1", "colour"),
        ("[store]\ndirectory = \"x\"", "directory"),
        ("[policy]\napproval_lifetime = 5", "approval_lifetime"),
        ("[prometheus]\nulr = \"x\"", "ulr"),
        ("[[logs.file]]\nservice = \"a\"\npath = \"b\"\nglob = \"c\"", "glob"),
        ("[[server.tokens]]\nname = \"a\"\nrole = \"viewer\"\nsecret = { env = \"X\" }\nscope = 1", "scope"),
        ("[knowledge.vectors]\nengine = \"embedded\"\nurl = \"x\"", "url"),
        ("[policy.auto_approve]\ntools = []\nall = true", "all"),
    ] {
        let error = refused(toml);
        assert!(error.contains(key), "{toml}: {error}");
    }
}

#[test]
fn environment_overrides_the_file_and_its_unknown_keys_are_errors_too() {
    let toml = "shutdown_ms = 5\n[prometheus]\nurl = \"http://a:1\"\ntimeout_ms = 7";
    let environment = [
        ("MEDIC__SHUTDOWN_MS", "9"),
        ("MEDIC__PROMETHEUS__URL", "http://b:2"),
        ("MEDIC__SERVER__HTTP", "127.0.0.1:0"),
        ("MEDIC_TOKEN", "not ours"),
    ];
    let config = read_with(toml, &environment).unwrap();
    assert_eq!((config.shutdown_ms, config.prometheus.url.as_str()), (9, "http://b:2"));
    assert_eq!((config.prometheus.timeout_ms, config.server.http.port()), (7, 0));
    let error = read_with("", &[("MEDIC__PROMETHEUS__COLOUR", "red")]).unwrap_err().to_string();
    assert!(error.contains("colour"), "{error}");
}

#[test]
fn off_loopback_needs_tokens_and_tls() {
    let token = "[[server.tokens]]\nname = \"a\"\nrole = \"viewer\"\nsecret = { env = \"PATH\" }\n";
    let tls = "[server.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    let open = "[server]\nhttp = \"0.0.0.0:7641\"\n";
    for (toml, lacks) in [
        (open.to_owned(), Some("authentication and TLS")),
        (format!("{open}{tls}"), Some("without authentication")),
        (format!("{open}{token}"), Some("without TLS")),
        ("[server]\ngrpc = \"[::]:1\"\n".to_owned(), Some("gRPC")),
        (format!("{open}{tls}{token}"), None),
        ("[server]\nhttp = \"[::1]:0\"\ngrpc = \"127.8.8.8:0\"\n".to_owned(), None),
    ] {
        match (read(&toml), lacks) {
            (Ok(_), None) => {}
            (Err(error), Some(lacks)) => {
                assert_eq!(error.code(), "CONFIG_EXPOSED");
                assert!(error.to_string().contains(lacks), "{toml}: {error}");
            }
            (read, _) => panic!("{toml}: {read:?}"),
        }
    }
}

#[test]
fn secret_is_only_ever_a_reference_and_never_shown() {
    let inline = refused("[model]\nbase_url = \"http://m/v1\"\nmodel = \"m\"\napi_key = \"sk-123\"");
    assert!(!inline.contains("sk-123"), "not even in the error: {inline}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "hunter2\n").unwrap();
    let secret = SecretRef::File(path.clone()).resolve().unwrap();
    assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("hunter2", "[redacted]"));
    fs::write(&path, "\n").unwrap();
    assert!(matches!(SecretRef::File(path).resolve(), Err(SecretError::Empty)));
    assert!(matches!(SecretRef::Env("MEDIC_NO_SUCH".into()).resolve(), Err(SecretError::NotSet(_))));
}

#[test]
fn missing_secret_is_told_with_its_key_before_it_is_needed() {
    let toml = "[model]\nbase_url = \"http://m/v1\"\nmodel = \"m\"\napi_key = { env = \"MEDIC_NO_SUCH\" }";
    let error = read(toml).unwrap().check_secrets().unwrap_err();
    assert_eq!(error.code(), "CONFIG_SECRET");
    assert!(error.to_string().contains("model.api_key"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("MEDIC_NO_SUCH"), "{source}");
}

#[test]
fn tokens_become_people_who_can_be_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let token = |name: &str, content: &str| {
        let path = dir.path().join(format!("{name}-{content}"));
        fs::write(&path, content).unwrap();
        format!("[[server.tokens]]\nname = {name:?}\nrole = \"approver\"\nsecret = {{ file = {path:?} }}\n")
    };
    let two = read(&format!("{}{}", token("alice", "one"), token("bob", "two"))).unwrap();
    let table = two.server.auth_table().unwrap();
    assert_eq!(table.tokens.len(), 2);
    assert!(table.anonymous.is_none(), "with tokens nobody is anonymous");
    let shared = read(&format!("{}{}", token("alice", "same"), token("bob", "same"))).unwrap();
    assert!(shared.server.auth_table().unwrap_err().to_string().contains("two people"));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    for (toml, key) in [
        ("[policy]\nconfidence_min = 1.5", "confidence_min"),
        ("[policy]\napproval_lifetime_ms = 0", "approval_lifetime_ms"),
        ("shutdown_ms = 0", "shutdown_ms"),
        ("[prometheus]\ntimeout_ms = -1", "timeout_ms"),
    ] {
        let error = refused(toml);
        assert!(error.contains(key), "{toml}: {error}");
    }
}
