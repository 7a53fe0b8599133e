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
        case(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n-----END OPENSSH PRIVATE KEY-----",
            "private_key",
            "b3BlbnNza",
        ),
        case("Private-Lines: 2\nAAAAgQC1\nxyz=\nPrivate-MAC: 1", "private_key", "AAAAgQC1"),
        case(
            r#"{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n"}"#,
            "private_key",
            "MIIEvQ",
        ),
        case("using {}", "api_key", &format!("AIza{}", "SyD4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T")),
        case("refreshed {} ok", "api_key", &format!("ya29.{}", "a0AfH6SMBxYz0123456789abc")),
        case("client {} used", "api_key", &format!("GOCSPX-{}", "abcdefghij0123456789ABCD")),
        case("azure {} expires", "api_key", &format!("abc8Q~{}", "dEfGhIjKlMnOpQrStUvWxYz0123456789a")),
        case(
            "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=Zm9vYmFyYmF6cXV4==;EndpointSuffix=x",
            "password",
            "Zm9vYmFyYmF6cXV4",
        ),
        case(
            "Endpoint=sb://shop/;SharedAccessKeyName=root;SharedAccessKey=Zm9vYmFyYmF6",
            "password",
            "Zm9vYmFyYmF6",
        ),
        case(
            "GET https://s.blob/c?sv=2022&sig=Zm9vYmFyYmF6cXV4Zm9v%3D&se=1",
            "api_key",
            "Zm9vYmFyYmF6cXV4Zm9v",
        ),
        case(
            "GET https://b.s3/x?X-Amz-Credential=AKID%2F2024&X-Amz-Signature=0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "api_key",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        ),
        case("aws_session_token = FwoGZXIvYXdzEBYaD", "password", "FwoGZXIvYXdzEBYaD"),
        case("pat {} revoked", "api_key", &format!("github_pat_{}", "11ABCDEFG0123456789_abcdef")),
        case("ci {} used", "api_key", &format!("glpat-{}", "abcDEF0123456789abcd")),
        case("post to https://hooks.slack.com/services/{}", "api_key", "T000/B000/XXXXabcd"),
        case("app {} connected", "api_key", &format!("xapp-{}", "1-A012-345-abcdef")),
        case("webhook {} set", "api_key", &format!("whsec_{}", "abcdefghijKLMNOP1234")),
        case("twilio {} call", "api_key", &format!("SK{}", "0123456789abcdef0123456789abcdef")),
        case("bot {} polled", "api_key", &format!("123456789:AA{}", "abcdefghijklmnopqrstuvwxyz0123456")),
        case("git clone https://{}@git.local/x.git", "api_key", "0123456789abcdef01234567"),
        case("Authorization: Token 9f8e7d6c5b4a", "authorization", "9f8e7d6c5b4a"),
        case(r#"{"Authorization":"Digest username=ann, response=6629fae4"}"#, "authorization", "6629fae4"),
        case("authorization: 9f8e7d6c5b4a3f2e1d0c9b", "authorization", "9f8e7d6c5b4a3f2e1d0c9b"),
        case("Proxy-Authorization: Basic dXNlcjpwYXNz", "basic_auth", "dXNlcjpwYXNz"),
        case("https://ann:s3cr3t@registry.local/v2/", "password", "s3cr3t"),
        case("mongodb+srv://app:p/w+d=1@db.local/shop", "password", "p/w+d=1"),
        case("postgres://app:p@ss@db.internal/shop", "password", "p@ss"),
        case("amqp://guest:gu3st@mq:5672/%2f refused", "password", "gu3st"),
        case("Server=db;Database=shop;User Id=sa;Password=Str0ng!;Encrypt=True", "password", "Str0ng!"),
        case("jdbc:mysql://db/shop?user=app&password=s3cr3t&ssl=1", "password", "s3cr3t"),
        case("db:\n  user: app\n  password: s3cr3t\n", "password", "s3cr3t"),
        case("token: |\n  multi1ine\nnext: 1", "password", "multi1ine"),
        case("env:\n- name: DB_PASSWORD\n  value: s3cr3t\n", "password", "s3cr3t"),
        case(r#"{"name":"API_TOKEN","value":"s3cr3t"}"#, "password", "s3cr3t"),
        case("export GITHUB_TOKEN=abc123def", "password", "abc123def"),
        case("SMTP_PASS=abc123", "password", "abc123"),
        case(r#"dbPassword: "x1y2""#, "password", "x1y2"),
        case("awsSecretKey=wJalrXUtnFEMI", "password", "wJalrXUtnFEMI"),
        case("deploy --db-password 's3 cr3t' --force", "password", "s3 cr3t"),
        case("--token abc123 was given", "password", "abc123"),
        case("mysqldump -u root -ps3cr3t shop", "password", "s3cr3t"),
        case("sshpass -p s3cr3t ssh web", "password", "s3cr3t"),
        case("curl -u ann:s3cr3t https://h/", "password", "s3cr3t"),
        case("<wsse:Password>s3cr3t</wsse:Password>", "password", "s3cr3t"),
        case("Set-Cookie: session=abc123def; HttpOnly", "cookie", "abc123def"),
        case("POST /login;JSESSIONID=0A1B2C3D4E5F", "cookie", "0A1B2C3D4E5F"),
        case("connect.sid=s%3Aabc123; next", "cookie", "s%3Aabc123"),
        case("refund to DE89 3704 0044 0532 0130 00 failed", "iban", "3704 0044"),
        case("iban GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        case("paid from NL91ABNA0417164300 EUR", "iban", "NL91ABNA0417164300"),
        case("discover 6011111111111117 and jcb", "card", "6011111111111117"),
        case("4111-1111-1111-1111", "card", "4111-1111-1111-1111"),
    ]
}

const MUST_KEEP: [&str; 66] = [
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
    "docker run -u 1000:1000 shop",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "x-request-id: 0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "etag \"33a64df551425fcc55e4d42a148795d9f25f89d4\"",
    "DE89 3704 0044 0532 0130 01 has a wrong check",
    "XY12 3456 7890 1234 is of no country",
    "build v2.14.0-beta.3+sha.5114f85 of 2024.05.1",
    "fe80::1ff:fe23:4567:890a%eth0 and 2001:db8::1/64",
    "pod checkout-7f9c6d5b8-x2x4q on ip-10-0-1-17.eu-west-1.compute.internal",
    "arn:aws:iam::123456789012:role/shop",
    "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709 md5 d41d8cd98f00b204e9800998ecf8427e",
    "http://10.0.0.1:9090/api/v1/query?query=up",
    "redis://cache:6379/0 and postgres://db/shop",
    "secrets \"db-creds\" not found",
    "password_changed_at 2024-05-01",
    "token_type of bearer",
    "private_key_id 9fceb02d0ae598e9",
    "authorization: denied",
    "pass: 12 fail: 3",
    "-p 8080:80 and mysql -h db",
    "password: <redacted>",
    "<password>[redacted:password]</password>",
    "nextToken=5 and csrf check",
    "Cookie: [redacted:cookie]",
    "GET /sig/2024?a=1&b=2",
    "phone +49 30 901820 call 0800 1111 111",
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

#[test]
fn a_key_that_comes_line_by_line_goes_whole() {
    let mut lines = LineRedactor::default();
    let mut shown = Vec::new();
    for line in [
        "10:05:00 loading",
        "10:05:00 -----BEGIN RSA PRIVATE KEY-----",
        "10:05:00 Proc-Type: 4,ENCRYPTED",
        "10:05:00 MIIEowIBAAKCAQEA0123456789abcdefghijklmnopqrstuv+/ABCDEFGHIJKLMN",
        "aGk=",
        "-----END RSA PRIVATE KEY----- loaded",
        "MIIEowIBAAKCAQEA0123456789abcdefghijklmnopqrstuv is only a word here",
    ] {
        shown.push(lines.redact(line).text);
    }
    let mark = "[redacted:private_key]";
    assert_eq!(shown[0], "10:05:00 loading");
    assert_eq!(shown[1], format!("10:05:00 {mark}"));
    assert!(shown[2..5].iter().all(|line| line == mark), "{shown:?}");
    assert_eq!(shown[5], format!("{mark} loaded"));
    assert!(shown[6].starts_with("MIIE"));

    let mut cut = LineRedactor::default();
    cut.redact("-----BEGIN PRIVATE KEY-----");
    assert_eq!(
        cut.redact("request 7 took 15 ms").text,
        "request 7 took 15 ms",
        "a key cut off ends at words"
    );
    let mut endless = LineRedactor::default();
    endless.redact("-----BEGIN PRIVATE KEY-----");
    let hidden = (0..1000).filter(|_| !endless.redact("0123456789abcdef0123456789abcdef").is_clean()).count();
    assert_eq!(hidden, 256, "what is never closed is no key for ever");
}
