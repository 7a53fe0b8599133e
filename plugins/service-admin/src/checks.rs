//! Owns the PromQL that tells whether a service is well. The daemon evaluates it, beside the alert's own expression.

use medic_sdk::args::Window;
use medic_sdk::promql;

/// Failed share that a healthy service stays below: single errors are noise, one request in twenty is not.
const FAILED_RATIO_MAX: f64 = 0.05;

/// Requests per second below which a ratio is not computed from noise; also keeps an idle service from dividing by zero.
const RATE_MIN: f64 = 0.001;

/// Every scrape of the service succeeds.
pub fn is_scraped(service: &str) -> String {
    promql!("min(up{service=$service}) == bool 1")
}

/// The service answers nearly all requests without a server error. An idle service does.
pub fn answers_well(service: &str, window: Window) -> String {
    promql!(
        r#"(sum(rate(http_requests_total{service=$service,code=~"5.."}[$window])) or vector(0)) / clamp_min(sum(rate(http_requests_total{service=$service}[$window])) or vector(0), $rate_min) < bool $ratio_max"#,
        rate_min = RATE_MIN,
        ratio_max = FAILED_RATIO_MAX
    )
}

/// Those who call the service get an answer nearly always. What is not a status from 1xx to 4xx (a refused connection, a
/// timeout) counts as failed. A service nobody calls is reached well.
pub fn is_reached_well(service: &str, window: Window) -> String {
    promql!(
        r#"(sum(rate(http_client_requests_total{peer=$service,code!~"[1-4].."}[$window])) or vector(0)) / clamp_min(sum(rate(http_client_requests_total{peer=$service}[$window])) or vector(0), $rate_min) < bool $ratio_max"#,
        rate_min = RATE_MIN,
        ratio_max = FAILED_RATIO_MAX
    )
}

/// The process was started anew within `window`.
pub fn was_restarted(service: &str, window: Window) -> String {
    promql!("max(changes(process_start_time_seconds{service=$service}[$window])) >= bool 1")
}

/// The pool has this many workers.
pub fn has_workers(service: &str, workers: u32) -> String {
    promql!("max(worker_pool_size{service=$service}) == bool $workers")
}

/// What holds for every service that is well. 30 s: two scrapes at the usual 15 s, and short enough that a remedy shows
/// before people lose patience.
pub fn is_well(service: &str) -> Vec<String> {
    let mut checks = vec![is_scraped(service)];
    if let Some(window) = Window::parse("30s") {
        checks.extend([answers_well(service, window), is_reached_well(service, window)]);
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_boolean_and_about_the_service() {
        let checks = is_well("checkout");
        assert_eq!(checks.len(), 3);
        for check in checks.iter().chain(&[was_restarted("checkout", Window::parse("5m").unwrap())]) {
            assert!(check.contains("bool ") && check.contains("\"checkout\""), "{check}");
        }
        assert_eq!(has_workers("checkout", 16), r#"max(worker_pool_size{service="checkout"}) == bool 16"#);
        assert_eq!(
            checks[1],
            "(sum(rate(http_requests_total{service=\"checkout\",code=~\"5..\"}[30s])) or vector(0)) / \
             clamp_min(sum(rate(http_requests_total{service=\"checkout\"}[30s])) or vector(0), 0.001) < bool 0.05"
        );
    }
}
