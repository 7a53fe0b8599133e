//! From the receipt of an alert to a report that a person can read.

use crate::figures::Figure;
use medic_demo::{Person, Stage, account};
use medic_proto::v1;
use medic_tests::load::{Alerts, Caller, Samples};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const INCIDENTS: usize = 25;
const ONE_MAX: Duration = Duration::from_secs(10);
/// When a slow machine has enough of it.
const ALL_MAX: Duration = Duration::from_secs(15);
/// Fewer say nothing of a tail.
const INCIDENTS_MIN: usize = 5;
const LOOK: Duration = Duration::from_millis(2);

/// One incident after the other, each of a cluster of its own.
///
/// # Errors
/// When an alert is not accepted, or is without a diagnosis and without an escalation in time.
pub async fn receipt_to_report(stage: &Stage, alerts: &Alerts) -> anyhow::Result<Figure> {
    let caller = Caller::of(stage, Person::Webhook);
    let mut connection = caller.connect().await?;
    let client = stage.client(Person::Viewer)?;
    let (mut samples, mut concluded, mut seen, started) =
        (Samples::default(), 0, BTreeSet::new(), Instant::now());
    for number in 0..INCIDENTS {
        if started.elapsed() > ALL_MAX && samples.len() >= INCIDENTS_MIN {
            break;
        }
        let request = caller.post("/webhooks/alertmanager", &alerts.next(&format!("report-{number}")));
        let sent = Instant::now();
        let answer = connection.ask(&request).await?;
        anyhow::ensure!(answer.status == 200, "an alert was not accepted: {}", answer.text());
        let id = loop {
            let newest = client.incidents().await?.into_iter().find(|incident| !seen.contains(&incident.id));
            if let Some(newest) = newest {
                break newest.id;
            }
            anyhow::ensure!(sent.elapsed() < ONE_MAX, "no incident within {ONE_MAX:?}\n{}", stage.log_tail());
            tokio::time::sleep(LOOK).await;
        };
        let incident = loop {
            let incident = client.incident(&id).await?;
            if is_reported(&incident) {
                samples.push(sent.elapsed());
                break incident;
            }
            if sent.elapsed() > ONE_MAX {
                anyhow::bail!("no report within {ONE_MAX:?}\n{}{}", account(&incident), stage.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        };
        concluded += usize::from(incident.diagnoses.iter().any(|diagnosis| diagnosis.verdict == "concluded"));
        seen.insert(id);
    }
    let n = samples.len();
    let how = format!(
        "from sending one alert until its diagnosis is read over REST, looking every {} ms; one incident at a time, each \
         a group of its own; a Prometheus in this process answers every question at once with nothing, so {concluded} \
         concluded and {} abstained; runbooks and no model",
        LOOK.as_millis(),
        n - concluded
    );
    Ok(Figure::new("receipt of an alert to its report", n, how).percentiles(&samples))
}

/// It says what it found or that it does not know.
fn is_reported(incident: &v1::Incident) -> bool {
    !incident.diagnoses.is_empty() || incident.escalation.is_some()
}
