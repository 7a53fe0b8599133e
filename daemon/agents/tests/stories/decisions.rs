//! What the supervisor keeps of its decisions is enough to make them again.

use crate::scene::Scene;
use medic_core::phase::PhaseName;
use medic_core::replay::Outcome;
use medic_core::{Digest, Incident, Policy, Step, step};
use medic_ports::journal::{Journal as _, Table};

/// Makes every decision again and holds it against what was kept; the incident that comes out.
fn again(scene: &Scene, id: &medic_core::IncidentId) -> (Incident, Vec<Outcome>) {
    let mut incident: Option<Incident> = None;
    let mut outcomes = Vec::new();
    let mut last_commit = 0;
    for (commit, decided) in scene.journal.decided(id, 0, 10_000).unwrap() {
        assert!(commit > last_commit, "in order of their commits");
        last_commit = commit;
        for decision in &decided.decisions {
            assert_eq!(decision.incident, *id);
            let text = scene.journal.document(Table::Policy, decision.policy.as_str()).unwrap().unwrap();
            assert_eq!(Digest::of_bytes(&text), decision.policy);
            let policy: Policy = serde_json::from_slice(&text).unwrap();
            if let Some(opening) = &decision.opens {
                assert!(incident.is_none(), "opened once");
                incident = Some(Incident::open(id.clone(), opening.clone(), decision.event.at));
            }
            let before = incident.take().expect("an incident to decide on");
            let (made, after) = match step(&before, &decision.event, &policy) {
                Step::Advanced(advance) => {
                    let made = Outcome::Advanced {
                        revision: advance.next.revision,
                        effects: Digest::of(&advance.effects),
                        records: Digest::of(&advance.records),
                    };
                    (made, advance.next)
                }
                Step::Unchanged => (Outcome::Unchanged, before),
                Step::Refused(refusal) => (Outcome::Refused { code: refusal.code().to_owned() }, before),
            };
            assert_eq!(made, decision.outcome);
            outcomes.push(made);
            incident = Some(after);
        }
        let incident = incident.as_ref().unwrap();
        assert_eq!((Digest::of(incident), incident.phase.name()), (decided.state, decided.phase));
    }
    (incident.expect("something was decided"), outcomes)
}

#[tokio::test(start_paused = true)]
async fn a_whole_story_can_be_decided_again_to_the_byte() {
    let scene = Scene::new().await;
    scene.break_checkout();
    let id = scene.alert("HighErrorRate", "checkout").await;
    scene.reach(&id, PhaseName::AwaitingDecision).await;
    // A word that is refused, a retry that changes nothing, and a life in between are part of the story.
    assert!(scene.approve_digest(&id, "token:alice", "another plan").await.is_err());
    let scene = scene.crash().await;
    scene.heal_on_deed();
    scene.approve(&id, "token:alice").await.unwrap();
    let end = scene.reach(&id, PhaseName::Resolved).await;
    let (made, outcomes) = again(&scene, &id);
    assert_eq!(made, end);
    let revisions: Vec<u64> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Advanced { revision, .. } => Some(*revision),
            _ => None,
        })
        .collect();
    assert_eq!(revisions, (1..=end.revision).collect::<Vec<_>>(), "no revision without its decision");
    assert!(outcomes.contains(&Outcome::Refused { code: "WRONG_PLAN".to_owned() }), "{outcomes:?}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_policy_in_force_is_kept_once_and_every_decision_names_it() {
    let scene = Scene::new().await;
    let first = scene.alert("SomethingOdd", "checkout").await;
    scene.reach(&first, PhaseName::Escalated).await;
    let key = Digest::of(&Policy::default());
    assert!(scene.journal.document(Table::Policy, key.as_str()).unwrap().is_some());
    let decided = scene.journal.decided(&first, 0, 100).unwrap();
    assert!(decided.iter().flat_map(|(_, d)| &d.decisions).all(|decision| decision.policy == key));
    scene.stop().await;
}
