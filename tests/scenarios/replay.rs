//! Recorded deliveries of a real Alertmanager, in any order and twice.

use crate::{alone, until_quiet};
use medic_demo::{LabKind, Person, Stage, StageOptions};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::Path,
};

/// Deliveries that only say what fires.
const FIRING: [&str; 5] = [
    "firing_single",
    "firing_grouped_3",
    "firing_for_3s",
    "firing_503_attempt1",
    "firing_truncated_max2_of5",
];

/// And those that also, or only, say what ended; some of it long ago, some of it never heard of.
const MIXED: [&str; 6] = [
    "mixed_1_resolved_2_firing",
    "firing_with_stale_resolved",
    "five_alerts_mixed_redelivery",
    "resolved_single",
    "resolved_grouped_3",
    "resolved_truncated",
];

/// Of orders that are tried. A failing one prints its seed.
const SEEDS: [u64; 3] = [1, 2, 3];

/// A group, and the episodes (fingerprint, start) of one incident in it.
type Incident = (String, BTreeSet<(String, u64)>);

fn delivery(name: &str) -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/alertmanager").join(format!("{name}.json"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every delivery twice, in an order of the seed's. Seed 0: as they were recorded.
fn shuffled(names: &[&'static str], seed: u64) -> Vec<&'static str> {
    let mut order: Vec<&str> = names.iter().flat_map(|name| [*name, *name]).collect();
    let mut state = seed;
    for place in (1..order.len()).rev() {
        if seed == 0 {
            break;
        }
        // Knuth's constants for a 64-bit linear congruential generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(place, (state >> 33) as usize % (place + 1));
    }
    order
}

/// Delivers to a fresh daemon whose Prometheus takes questions and never answers, so that every incident stays open as
/// long as this takes.
async fn incidents_of(names: &[&str]) -> Vec<Incident> {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let prometheus_url = Some(format!("http://{}", silent.local_addr().unwrap()));
    let options = StageOptions { lab: LabKind::Absent, prometheus_url, ..StageOptions::default() };
    let stage = Stage::start(options).await.unwrap();
    let webhook = stage.client(Person::Webhook).unwrap();
    for name in names {
        webhook.deliver(delivery(name)).await.unwrap();
    }
    until_quiet(&stage).await;
    let mut incidents = Vec::new();
    for summary in stage.incidents().await.unwrap() {
        let incident = stage.incident(&summary.id).await.unwrap();
        let episodes =
            incident.alerts.iter().map(|alert| (alert.fingerprint.clone(), alert.starts_at_ms)).collect();
        incidents.push((incident.group, episodes));
    }
    incidents.sort();
    incidents
}

#[tokio::test]
async fn what_fires_becomes_the_same_incidents_in_any_order_and_twice() {
    let _alone = alone().await;
    let expected = incidents_of(&FIRING).await;
    let episodes: usize = expected.iter().map(|(_, episodes)| episodes.len()).sum();
    // 1 + 3 + 1 + 1 of the lab's cluster in one incident; the flood, of which two were sent, in another.
    assert_eq!((expected.len(), episodes), (2, 8), "{expected:#?}");
    for seed in SEEDS {
        let order = shuffled(&FIRING, seed);
        assert_eq!(incidents_of(&order).await, expected, "seed {seed}: {order:?}");
    }
}

/// What has ended may close an incident early, and where an end arrives before its beginning the incident stays open; so
/// how many there are depends on the order. That no episode is lost or counted twice does not.
#[tokio::test]
async fn no_episode_is_lost_or_in_two_incidents_whatever_ends_in_between() {
    let _alone = alone().await;
    let all: Vec<&str> = FIRING.into_iter().chain(MIXED).collect();
    let alerts_of = |incidents: &[Incident]| {
        let mut alerts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (group, episodes) in incidents {
            let known = alerts.entry(group.clone()).or_default();
            known.extend(episodes.iter().map(|(fingerprint, _)| fingerprint.clone()));
        }
        alerts
    };
    let expected = alerts_of(&incidents_of(&shuffled(&all, 0)).await);
    for seed in SEEDS {
        let order = shuffled(&all, seed);
        let incidents = incidents_of(&order).await;
        let episodes: Vec<_> = incidents.iter().flat_map(|(_, episodes)| episodes).collect();
        let distinct: BTreeSet<_> = episodes.iter().collect();
        assert_eq!(episodes.len(), distinct.len(), "seed {seed}: {incidents:#?}");
        assert_eq!(alerts_of(&incidents), expected, "seed {seed}: {order:?}");
    }
}
