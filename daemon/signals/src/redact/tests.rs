use super::*;

/// Text, kind, and what must not be left of it. The secrets are made up; some are assembled here, so that no
/// scanner takes this file for a leak.
fn must_redact() -> Vec<(String, &'static str, String)> {
    let case =
        |text: &str, kind: &'static str, secret: &str| (text.replace("{}", secret), kind, secret.to_owned());
    let github = format!("ghp_{}", "a1B2c3D4e5".repeat(4));
    let aws = format!("AKIA{}", "IOSFODNN7EXAMPLE");
    let slack = format!("xoxb-{}", "123456789012-abcdefABCDEF");
    let stripe = format!("sk_live_{}", "4eC39HqLyjWDarjtT1zdp7dc");
    let jwt =
        format!("eyJ{}.eyJ{}.{}", "hbGciOiJIUzI1NiJ9", "zdWIiOiIxMjM0NTY3ODkwIn0", "dozjgNryP4J3jVmNHl0w5N");
    vec![
        case("password=hunter2", "password", "hunter2"),
        case("password: hunter2 for bob", "password", "hunter2"),
        case(r#"{"user":"bob","password":"p@ss, word!"}"#, "password", "p@ss, word!"),
        case(r#"{\"password\":\"hunter2\"}"#, "password", "hunter2"),
        case("DB_PASSWORD='x y z1'", "password", "x y z1"),
        case("PGPASSWORD=s3cret psql -h db", "password", "s3cret"),
        case("login pwd=abc123&next=/home", "password", "abc123"),
        case("client_secret=Zm9vYmFy; Path=/", "password", "Zm9vYmFy"),
        case("api_key: 9f8e7d6c5b4a", "password", "9f8e7d6c5b4a"),
        case("X-Api-Key: 9f8e7d6c5b4a", "password", "9f8e7d6c5b4a"),
        case("curl 'https://h/x?token=9f8e7d6c5b4a&n=1'", "password", "9f8e7d6c5b4a"),
        case("refresh_token => 'r-1234567'", "password", "r-1234567"),
        case("mysql --password hunter22 -u root", "password", "hunter22"),
        case("postgres://app:s3cr3t@db.internal:5432/shop", "password", "s3cr3t"),
        case("redis://:s3cr3t@cache:6379", "password", "s3cr3t"),
        case("Authorization: Bearer abcdef0123456789", "bearer_token", "abcdef0123456789"),
        case(r#""authorization":"bearer abcdef0123456789""#, "bearer_token", "abcdef0123456789"),
        case("Authorization: Basic dXNlcjpwYXNz", "basic_auth", "dXNlcjpwYXNz"),
        case("got {} from header", "jwt", &jwt),
        case("key {} leaked", "aws_key", &aws),
        case(
            "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "password",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        ),
        case("using {}", "api_key", &github),
        case("slack {} posted", "api_key", &slack),
        case("charge with {}", "api_key", &stripe),
        case("Cookie: sid=abc123def; theme=dark", "cookie", "abc123def"),
        case("mail from ann.lee+ops@example.co.uk accepted", "email", "ann.lee+ops@example.co.uk"),
        case("card 4111 1111 1111 1111 declined", "card", "4111 1111 1111 1111"),
        case("pan=5555555555554444", "card", "5555555555554444"),
        case("amex 378282246310005", "card", "378282246310005"),
        case(
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----\nafter",
            "private_key",
            "MIIEow",
        ),
        case("-----BEGIN PRIVATE KEY-----\nMIIEow cut off", "private_key", "MIIEow"),
    ]
}

const MUST_KEEP: [&str; 40] = [
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "image registry.local/shop@sha256:e3b0c44298fc1c149afbf4c8996fb924 pulled",
    "request 550e8400-e29b-41d4-a716-446655440000 took 15 ms",
    "version 1.2.3-rc.4+build.5",
    "10.251.73.220:50010 and [::1]:8080 and 192.168.0.1",
    "2024-05-01T10:05:00.123456Z",
    "epoch 1714557900123 and 1714557900123456789",
    "max_tokens=4096 tokens=512 token_count=7",
    "Failed password for root from 1.2.3.4 port 22 ssh2",
    "password=",
    "password=null",
    "password: ******",
    r#"{"password":"[redacted:password]"}"#,
    "password=${DB_PASSWORD}",
    "token expired, secret missing",
    "token: expired",
    "the secret of the bearer of the ring",
    "Bearer realm=x",
    "https://prometheus:9090/graph?g0.expr=up",
    "http://host:8080/a@b",
    "block blk_3886504906413966055 terminating",
    "order 4111111111111112 failed the check digit",
    "snowflake 1234567890123456789",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
    "keyboard=us monkey=5 key=value",
    "primary_key=42",
    "cookies disabled",
    "user@10.0.0.1 connected",
    "@annotation and foo@bar",
    "BEGIN TRANSACTION; -- KEY",
    "-----BEGIN CERTIFICATE-----",
    "eyJ is how it begins",
    "AKIA is a prefix",
    "disk sk-1 and sk-learn",
    "secretary=ann",
    "passwordless login ok",
    "tokenizer=bert",
    "4111-1111 is short",
    "error code 0x80070005 at 0x7fff5fbff8c0",
];

#[test]
fn every_rule_compiles() {
    assert_eq!(PATTERNS.len(), RULES.len());
}

#[test]
fn secrets_go() {
    for (text, kind, secret) in must_redact() {
        let redacted = redact(&text);
        assert!(!redacted.text.contains(&secret), "{text:?} became {:?}", redacted.text);
        assert!(redacted.counts.contains_key(kind), "{text:?} counted as {:?}", redacted.counts);
        assert_eq!(redact(&redacted.text).text, redacted.text, "redacting twice changes nothing: {text:?}");
    }
}

#[test]
fn what_a_diagnosis_needs_stays() {
    for text in MUST_KEEP {
        let redacted = redact(text);
        assert_eq!(redacted.text, text);
        assert!(redacted.is_clean(), "{text:?}: {:?}", redacted.counts);
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    let text =
        r#"{"level":"error","db":"postgres://app:s3cr3t@db:5432/shop","password":"x1y2","ip":"10.0.0.1"}"#;
    let redacted = redact(text);
    assert_eq!(
        redacted.text,
        r#"{"level":"error","db":"postgres://app:[redacted:password]@db:5432/shop","password":"[redacted:password]","ip":"10.0.0.1"}"#
    );
    assert_eq!(redacted.counts, BTreeMap::from([("password", 2)]));
    let key = "a\n-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----\nb";
    assert_eq!(redact(key).text, "a\n[redacted:private_key]\nb");
}
