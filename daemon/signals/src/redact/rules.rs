//! What secrets look like.
//!
//! Owns the patterns. What is recognised by its own shape goes before what is recognised by the name before it. The
//! group `keep` stays in front of the mark, `after` behind it; `escaped`, `double`, `single` and `bare` hold a value
//! that may turn out to be innocent.

use super::Kind;

pub(super) const RULES: [(Kind, &str); 28] = [
    // To the end of the text if the block is cut off: half a key is a key.
    (
        Kind::PrivateKey,
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----(?s:.*?)(-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|\z)",
    ),
    // PuTTY's own format.
    (Kind::PrivateKey, r"(?P<keep>\bPrivate-Lines: [0-9]+\r?\n)(?:[A-Za-z0-9+/=]+\r?\n?)+"),
    (Kind::Jwt, r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){0,3}"),
    (Kind::Bearer, r"(?i)(?P<keep>\bbearer[ \t:=]+)[A-Za-z0-9._~+/=-]{8,}"),
    (
        Kind::Basic,
        r#"(?i)(?P<keep>\bauthorization\\?["']?[ \t]*[:=][ \t]*\\?["']?basic[ \t]+)[A-Za-z0-9+/=_-]{6,}"#,
    ),
    // The scheme stays where it is known to be one.
    (
        Kind::Authorization,
        r#"(?i)(?P<keep>\bauthorization\\?["']?[ \t]*[:=][ \t]*\\?["']?(?:token|apikey|api-key|digest|negotiate|ntlm|splunk|key|bot|aws4-hmac-sha256)[ \t]+)[^\s"'\[\\][^\r\n"'\\]*"#,
    ),
    (
        Kind::Authorization,
        r#"(?i)(?P<keep>\bauthorization\\?["']?[ \t]*[:=][ \t]*\\?["']?)[A-Za-z0-9._~+/=-]{20,}"#,
    ),
    (Kind::AwsKey, r"\b(AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    (
        Kind::ApiKey,
        concat!(
            // Stripe, OpenAI, Anthropic; GitHub, GitLab; Slack; Google; npm, PyPI, Docker, Hugging Face.
            r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)[-_][A-Za-z0-9_-]{10,}|\bsk-[A-Za-z0-9]{20,}|\bwhsec_[A-Za-z0-9+/=]{16,}",
            r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bgl(?:pat|rt|dt|ptt)-[A-Za-z0-9_-]{16,}",
            r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}",
            r"|\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{20,}|\bGOCSPX-[A-Za-z0-9_-]{20,}",
            r"|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{20,}|\bdckr_[po]at_[A-Za-z0-9_-]{20,}|\bhf_[A-Za-z0-9]{20,}",
            // Azure client secrets, Databricks, DigitalOcean, Shopify, Grafana, New Relic, Atlassian, Telegram.
            r"|\b[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}|\bdapi[a-f0-9]{32}\b|\bdo[opr]_v1_[a-f0-9]{40,}",
            r"|\bshp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|\bgl(?:sa|c)_[A-Za-z0-9_=+/]{20,}|\bNRAK-[A-Z0-9]{20,}",
            r"|\bATATT3[A-Za-z0-9_=-]{20,}|\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
            // SendGrid, Vault, age, Twilio, Tailscale, Square, Linear.
            r"|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|\bhv[sbr]\.[A-Za-z0-9_-]{20,}|\bAGE-SECRET-KEY-1[A-Z0-9]{40,}",
            r"|\bSK[a-f0-9]{32}\b|\btskey-[a-z]+-[A-Za-z0-9-]{10,}|\bsq0(?:atp|csp)-[A-Za-z0-9_-]{20,}|\blin_api_[A-Za-z0-9]{20,}",
        ),
    ),
    (
        Kind::ApiKey,
        r"(?P<keep>https://(?:hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/|[a-z0-9-]+\.webhook\.office\.com/webhookb2/))[A-Za-z0-9@/_-]{8,}",
    ),
    // What signs a URL: Azure's shared access signatures, AWS's and Google's presigned requests.
    (Kind::ApiKey, r"(?i)(?P<keep>[?&;]sig=)[A-Za-z0-9%/+=_-]{20,}"),
    (
        Kind::ApiKey,
        r#"(?i)(?P<keep>\bX-(?:Amz|Goog)-(?:Signature|Security-Token|Credential)=)[^&\s"'\[][^&\s"']*"#,
    ),
    (
        Kind::UrlPassword,
        r#"(?i)(?P<keep>\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|sqlserver|clickhouse|nats|ldaps?|s?ftp|smtps?)://[^\s:/@"']{0,256}:)[^\s"'<>@]+(?P<after>@)"#,
    ),
    // To the last @ of the authority: a password may hold one.
    (
        Kind::UrlPassword,
        r#"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s:/@?#"'<>\[]{0,256}:)[^\s/"'<>?]+(?P<after>@)"#,
    ),
    (Kind::ApiKey, r"(?P<keep>\bhttps?://)[A-Za-z0-9_-]{20,}(?P<after>@)"),
    // Before the general rule, so that all pairs of a cookie go, not only the first.
    (
        Kind::Cookie,
        r#"(?i)(?P<keep>\b(?:set-)?cookie\\?["']?[ \t]*[:=][ \t]*\\?["']?)[^\s"'\[\\][^\r\n"'\\]*"#,
    ),
    (
        Kind::Cookie,
        r#"(?i)(?P<keep>\b(?:jsessionid|phpsessid|asp\.net_sessionid|connect\.sid|sessionid|csrftoken|xsrf-token|laravel_session|__host-[a-z0-9_-]+|__secure-[a-z0-9_-]+)=)[^\s"';&,\[][^\s"';&,]*"#,
    ),
    // How Kubernetes writes an environment, in YAML and in JSON.
    (
        Kind::Password,
        concat!(
            r#"(?i)(?P<keep>\bname["']?[ \t]*:[ \t]*["']?[a-z0-9_]*(?:password|passwd|secret|token|api_?key|access_?key|private_?key)["']?[ \t]*,?\s*["']?value["']?[ \t]*:[ \t]*)"#,
            r#"(?:"(?P<double>(?:[^"\\]|\\.)+)"|'(?P<single>[^']+)'|(?P<bare>[^\s"'\[{}|>&*][^\s"'}]*))"#
        ),
    ),
    // A block of YAML: its first line.
    (
        Kind::Password,
        r#"(?i)(?P<keep>(?:\b|_|-)(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|credentials?):[ \t]*[|>][+-]?[ \t]*\r?\n[ \t]+)(?P<bare>[^\s\[][^\r\n]*)"#,
    ),
    // A name, a mark, a value in double quotes (perhaps escaped, as JSON in JSON), in single quotes, or bare.
    (
        Kind::Password,
        concat!(
            r#"(?P<keep>(?i:(?:\b|_|-)(?:passwords?|passwd|passphrase|pwd|secrets?|secret[_-]?key|api[_-]?keys?|apikey|x-api-key|access[_-]?key|access[_-]?key[_-]?id|secret[_-]?access[_-]?key|shared[_-]?access[_-]?key|account[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|id[_-]?token|session[_-]?token|bot[_-]?token|token|client[_-]?secret|private[_-]?key|encryption[_-]?key|signing[_-]?key|credentials?|pgpassword|(?:db|smtp|mysql|pg|redis|user|admin|root|ftp|mail|login)[_-]?pass)"#,
            // dbPassword, awsSecretKey: where the humps of a camel stand for the marks.
            r#"|(?-i:[a-z0-9](?:Password|Passwd|Passphrase|Secret|ApiKey|AccessKey|SecretKey|PrivateKey|AuthToken|AccessToken|RefreshToken|SessionToken)))"#,
            r#"\\*["']?[ \t]*(?:=>|:=|=|:)[ \t]*)"#,
            r#"(?:(?:\\+"(?P<escaped>[^"\\]+)\\+")|"(?P<double>(?:[^"\\]|\\.)+)"|'(?P<single>[^']+)'|(?P<bare>[^\s"'\\,;&)\]}<>\[{(|][^\s"',;&)\]}<>]*))"#
        ),
    ),
    (
        Kind::Password,
        r#"(?i)(?P<keep>(?:^|\s)--?(?:[a-z]+-){0,3}(?:password|passwd|pass|token|secret|api-key|access-key|secret-key)[ \t]+)(?:"(?P<double>[^"]+)"|'(?P<single>[^']+)'|(?P<bare>[^\s"'\[-][^\s"']*))"#,
    ),
    // Tools whose -p is glued to its value, or that are named for it.
    (
        Kind::Password,
        r#"(?P<keep>\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\b[^\r\n|;\[]{0,200}?\s-p)(?P<bare>[^\s"'\[-][^\s"']*)"#,
    ),
    (Kind::Password, r#"(?P<keep>\bsshpass[ \t]+-p[ \t]*["']?)(?P<bare>[^\s"'\[][^\s"']*)"#),
    (
        Kind::UserPassword,
        r#"(?P<keep>\s(?:-u|--user|--proxy-user)[ \t]+["']?[^\s:"'\[]{1,128}:)(?P<bare>[^\s"'\[][^\s"']*)"#,
    ),
    (
        Kind::Password,
        r"(?i)(?P<keep><(?:[a-z0-9]{1,16}:)?(?:password|passwd|secret|token|api-?key|client-?secret)>)(?P<bare>[^<\[\s][^<]*)",
    ),
    (Kind::Email, r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b"),
    (Kind::Iban, r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
    (Kind::Card, r"\b[3-6][0-9](?:[ -]?[0-9]){11,17}\b"),
];
