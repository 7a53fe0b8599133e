//! Questions as people ask them, and the query that each is.

use super::*;

/// 2024-05-01T10:30:00Z, a Wednesday.
const NOW_MS: u64 = 1_714_559_400_000;

/// The question, the query as it is shown, and the words that are not understood.
const GOLDEN: [(&str, &str, &[&str]); 82] = [
    (
        "errors in checkout after 10:05 about the database",
        r#"level=error|fatal service=checkout from=2024-05-01T10:05:00Z text~"database" limit=100"#,
        &[],
    ),
    ("last 15 minutes", "from=2024-05-01T10:15:00Z to=2024-05-01T10:30:00.001Z limit=100", &[]),
    (
        "show me all warnings from the payments service between 9:00 and 9:30",
        "level=warn service=payments from=2024-05-01T09:00:00Z to=2024-05-01T09:30:00Z limit=100",
        &[],
    ),
    (
        "what did checkout-api and inventory say about timeouts or retries in the past hour?",
        r#"from=2024-05-01T09:30:00Z to=2024-05-01T10:30:00.001Z text~"timeout"|"retry" limit=100"#,
        &["checkout-api", "inventory"],
    ),
    ("warnings or worse in gateway", "level=warn|error|fatal service=gateway limit=100", &[]),
    (
        "database errors since yesterday 22:15",
        r#"level=error|fatal from=2024-04-30T22:15:00Z text~"database" limit=100"#,
        &[],
    ),
    (
        r#""connection refused" in store without health"#,
        r#"service=store text~"connection refused" not~"health" limit=100"#,
        &[],
    ),
    ("last 20 errors in checkout and payments", "level=error|fatal service=checkout|payments last=20", &[]),
    ("service=cart level=warn limit=5", "level=warn service=cart limit=5", &[]),
    ("lines like template 00c0ffee00c0ffee", "template=00c0ffee00c0ffee limit=100", &[]),
    (
        "errors around 10am",
        "level=error|fatal from=2024-05-01T09:55:00Z to=2024-05-01T10:05:00Z limit=100",
        &[],
    ),
    ("errors before 2024-05-01T08:00:00Z", "level=error|fatal to=2024-05-01T08:00:00Z limit=100", &[]),
    (
        "how many errors in checkout in the last hour",
        "show=count level=error|fatal service=checkout from=2024-05-01T09:30:00Z to=2024-05-01T10:30:00.001Z limit=100",
        &[],
    ),
    (
        "how many warnings were there yesterday",
        "show=count level=warn from=2024-04-30T00:00:00Z to=2024-05-01T00:00:00Z limit=100",
        &[],
    ),
    (
        "top 5 templates in payments today",
        "show=templates service=payments from=2024-05-01T00:00:00Z to=2024-05-01T10:30:00.001Z limit=5",
        &[],
    ),
    (
        "which services had errors since 9:00",
        "show=services level=error|fatal from=2024-05-01T09:00:00Z limit=100",
        &[],
    ),
    (r#"which services mention "deadlock""#, r#"show=services text~"deadlock" limit=100"#, &[]),
    (
        "errors by service in the last 2 hours",
        "show=services level=error|fatal from=2024-05-01T08:30:00Z to=2024-05-01T10:30:00.001Z limit=100",
        &[],
    ),
    (
        "errors per minute after 10:00",
        "show=timeline every=60s level=error|fatal from=2024-05-01T10:00:00Z limit=100",
        &[],
    ),
    (
        "warnings every 5 minutes today",
        "show=timeline every=300s level=warn from=2024-05-01T00:00:00Z to=2024-05-01T10:30:00.001Z limit=100",
        &[],
    ),
    ("most common messages in cart", "show=templates service=cart limit=100", &[]),
    (
        "count of fatal lines this morning",
        "show=count level=fatal from=2024-05-01T05:00:00Z to=2024-05-01T12:00:00Z limit=100",
        &[],
    ),
    (
        "errors on monday",
        "level=error|fatal from=2024-04-29T00:00:00Z to=2024-04-30T00:00:00Z limit=100",
        &[],
    ),
    (
        "errors on the 3rd",
        "level=error|fatal from=2024-04-03T00:00:00Z to=2024-04-04T00:00:00Z limit=100",
        &[],
    ),
    (
        "errors on april 3rd between 9 and 10",
        "level=error|fatal from=2024-04-03T09:00:00Z to=2024-04-03T10:00:00Z limit=100",
        &[],
    ),
    (
        "errors on 3 april 2023 at 10:05",
        "level=error|fatal from=2023-04-03T10:00:00Z to=2023-04-03T10:10:00Z limit=100",
        &[],
    ),
    ("errors after 10:05 on the 3rd", "level=error|fatal from=2024-04-03T10:05:00Z limit=100", &[]),
    (
        "errors between 9:00 and 9:30 yesterday",
        "level=error|fatal from=2024-04-30T09:00:00Z to=2024-04-30T09:30:00Z limit=100",
        &[],
    ),
    (
        "last monday in checkout",
        "service=checkout from=2024-04-29T00:00:00Z to=2024-04-30T00:00:00Z limit=100",
        &[],
    ),
    (
        "errors last night",
        "level=error|fatal from=2024-04-30T20:00:00Z to=2024-05-01T06:00:00Z limit=100",
        &[],
    ),
    (
        "logs from this morning in gateway",
        "service=gateway from=2024-05-01T05:00:00Z to=2024-05-01T12:00:00Z limit=100",
        &[],
    ),
    ("within 2 minutes of 10:05", "from=2024-05-01T10:03:00Z to=2024-05-01T10:07:00Z limit=100", &[]),
    ("10 minutes before 10:05", "from=2024-05-01T09:55:00Z to=2024-05-01T10:05:00Z limit=100", &[]),
    ("the hour after noon yesterday", "from=2024-04-30T12:00:00Z to=2024-04-30T13:00:00Z limit=100", &[]),
    ("since 30 minutes ago", "from=2024-05-01T10:00:00Z limit=100", &[]),
    ("until 9am", "to=2024-05-01T09:00:00Z limit=100", &[]),
    ("from 9:00 to 9:30", "from=2024-05-01T09:00:00Z to=2024-05-01T09:30:00Z limit=100", &[]),
    ("between 23:50 and 0:10", "from=2024-04-30T23:50:00Z to=2024-05-01T00:10:00Z limit=100", &[]),
    ("errors not in checkout", "level=error|fatal not.service=checkout limit=100", &[]),
    ("everything except debug", "not.level=debug limit=100", &[]),
    ("everything in cart except debug and info", "not.level=debug|info service=cart limit=100", &[]),
    ("errors without timeouts or retries", r#"level=error|fatal not~"timeout" not~"retry" limit=100"#, &[]),
    (r#"errors but not "health check""#, r#"level=error|fatal not~"health check" limit=100"#, &[]),
    ("lines that do not mention kafka", r#"not~"kafka" limit=100"#, &[]),
    (
        "errors from services other than payments service",
        "level=error|fatal not.service=payments limit=100",
        &[],
    ),
    ("request 4711 in checkout", r#"service=checkout text~"4711" limit=100"#, &[]),
    ("what happened to order ORD-9912", r#"text~"ORD-9912" limit=100"#, &[]),
    ("lines with 10.0.0.7", r#"text~"10.0.0.7" limit=100"#, &[]),
    ("for user bob42 since 10:00", r#"from=2024-05-01T10:00:00Z text~"bob42" limit=100"#, &[]),
    ("status 500 in gateway", r#"service=gateway text~"500" limit=100"#, &[]),
    ("trace 4bf92f3577b34da6a3ce929d0e0e4736", r#"text~"4bf92f3577b34da6a3ce929d0e0e4736" limit=100"#, &[]),
    ("user=bob level=error", "level=error field.user=bob limit=100", &[]),
    (
        "field.http.status=500 service=gateway|edge",
        "service=gateway|edge field.http.status=500 limit=100",
        &[],
    ),
    ("at least warn in cart", "level=warn|error|fatal service=cart limit=100", &[]),
    ("above info in cart", "level=warn|error|fatal service=cart limit=100", &[]),
    ("the latest error in payments", "level=error|fatal service=payments last=1", &[]),
    ("the first error after 10:05", "level=error|fatal from=2024-05-01T10:05:00Z limit=1", &[]),
    ("last 3 fatal errors", "level=fatal last=3", &[]),
    ("newest lines from cart", "service=cart last=100", &[]),
    ("give me ten lines about disk space", r#"text~"disk" text~"space" limit=10"#, &[]),
    ("info and warnings from scheduler", "level=info|warn service=scheduler limit=100", &[]),
    ("what went wrong in checkout", "level=warn|error|fatal service=checkout limit=100", &[]),
    (
        "problems in the search service today",
        "level=warn|error|fatal from=2024-05-01T00:00:00Z to=2024-05-01T10:30:00.001Z limit=100",
        &[],
    ),
    ("are there any panics in the worker pod", "level=fatal service=worker limit=100", &[]),
    ("connection lines from db-proxy", r#"service=db-proxy text~"connection" limit=100"#, &[]),
    ("logs related to certificates", r#"text~"certificate" limit=100"#, &[]),
    (
        r#""exact phrase here" and "another one""#,
        r#"text~"exact phrase here" text~"another one" limit=100"#,
        &[],
    ),
    ("`code quoted` in api", r#"service=api text~"code quoted" limit=100"#, &[]),
    (
        "errors over time in checkout",
        "show=timeline every=60s level=error|fatal service=checkout limit=100",
        &[],
    ),
    ("in which services did errors occur", "show=services level=error|fatal limit=100", &[]),
    (
        r#"how often did "pool exhausted" occur per hour yesterday"#,
        r#"show=timeline every=3600s from=2024-04-30T00:00:00Z to=2024-05-01T00:00:00Z text~"pool exhausted" limit=100"#,
        &[],
    ),
    ("group by level in cart", "show=levels service=cart limit=100", &[]),
    ("purple errors sideways", r#"level=error|fatal text~"purple" limit=100"#, &["sideways"]),
    ("frobnicate the widget", "limit=100", &["frobnicate", "widget"]),
    (
        "errors in checkout on the day before yesterday",
        "level=error|fatal service=checkout from=2024-04-29T00:00:00Z to=2024-04-30T00:00:00Z limit=100",
        &[],
    ),
    (
        "show=count level=error from=2024-05-01T09:00:00Z",
        "show=count level=error from=2024-05-01T09:00:00Z limit=100",
        &[],
    ),
    (r#"not.service=cart not~"a \"b\"" last=3"#, r#"not.service=cart not~"a \"b\"" last=3"#, &[]),
    (
        "errors during the last 10 min in payments and orders but not timeouts",
        r#"level=error|fatal service=payments|orders from=2024-05-01T10:20:00Z to=2024-05-01T10:30:00.001Z not~"timeout" limit=100"#,
        &[],
    ),
    ("a few minutes ago", "from=2024-05-01T10:20:00Z to=2024-05-01T10:30:00Z limit=100", &[]),
    ("since a couple of hours ago", "from=2024-05-01T08:30:00Z limit=100", &[]),
    ("error level=fatal", "level=error|fatal limit=100", &[]),
    (
        "errors 5 minutes ago",
        "level=error|fatal from=2024-05-01T10:20:00Z to=2024-05-01T10:30:00Z limit=100",
        &[],
    ),
];

#[test]
fn each_question_is_its_query_and_each_query_reads_back() {
    for (question, shown, not_understood) in GOLDEN {
        let query = translate(question, NOW_MS);
        assert_eq!(query.to_string(), shown, "{question:?}");
        assert_eq!(query.not_understood, not_understood, "{question:?}");
        // At another time: what is shown depends on no clock.
        let again = translate(shown, NOW_MS + 1_000_000_000);
        assert_eq!(again, TypedQuery { not_understood: Vec::new(), ..query }, "{shown:?}");
    }
}
