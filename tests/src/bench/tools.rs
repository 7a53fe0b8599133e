//! What a call of a sandboxed tool costs beside the same round trip without one.

use crate::figures::Figure;
use medic_demo::{Person, Stage};
use medic_tests::load::{Caller, Samples, prometheus::KNOWN_SERVICE};
use serde_json::json;
use std::time::{Duration, Instant};

const CALLS_MAX: usize = 300;
const EACH_MAX: Duration = Duration::from_secs(3);
/// Calls before the measured ones: code is paged in, connections are made.
const WARM_UP: usize = 10;

/// # Errors
/// When a call is not answered with 200.
pub async fn overhead(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let caller = Caller::of(stage, Person::Alice);
    let execute =
        |tool: &str, args| caller.post("/execute", &json!({ "tool": tool, "args": args }).to_string());
    let asked = [
        ("round trip without a tool", caller.get("/healthz"), "GET /healthz"),
        (
            "query tool error_ratio",
            execute("error_ratio", json!({ "service": KNOWN_SERVICE, "window": "5m" })),
            "POST /execute, authenticated and audited; a new sandbox instance and two questions of the tool, answered at \
             once by a Prometheus in this process or from the daemon's cache of 2 s",
        ),
        (
            "query tool search_logs",
            execute("search_logs", json!({ "query": "nowhere-to-be-found", "minutes": 1 })),
            "POST /execute, authenticated and audited; a new sandbox instance and a search of the shop's log files, read \
             anew each time",
        ),
    ];
    let mut figures = Vec::new();
    for (what, request, how) in asked {
        let mut connection = caller.connect().await?;
        let (mut samples, started) = (Samples::default(), Instant::now());
        for call in 0..WARM_UP + CALLS_MAX {
            if started.elapsed() > EACH_MAX && samples.len() > WARM_UP {
                break;
            }
            let before = Instant::now();
            let answer = connection.ask(&request).await?;
            let took = before.elapsed();
            anyhow::ensure!(answer.status == 200, "{what}: {}", answer.text());
            if call >= WARM_UP {
                samples.push(took);
            }
        }
        let how = format!("{how}; one connection, one call at a time, after {WARM_UP} unmeasured ones");
        figures.push(Figure::new(what, samples.len(), how).percentiles(&samples));
    }
    Ok(figures)
}
