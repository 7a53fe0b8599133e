//! Many guests at once: none of them delays what is not a guest.

use std::time::{Duration, Instant};

use medic_core::permit::Ground;
use medic_ports::ToolHost;

use crate::support::guest::Guest;
use crate::support::{Setup, permit};

/// 32 guests on two threads: 8 plugins of 4 calls each, as many as the sandbox lets run side by side.
const PLUGINS: usize = 8;
const CALLS: usize = 4;

#[tokio::test(flavor = "current_thread")]
async fn under_32_spinning_guests_no_timer_is_late_and_a_quick_tool_answers() {
    let mut setup = Setup::new();
    for number in 0..PLUGINS {
        let mut guest = Guest::new("query", &format!("spin_{number}"));
        guest.invoke("(loop (br 0))");
        setup.plugin(
            &format!("spin-{number}"),
            "query",
            &guest.build(),
            "limits = { cpu-ms = 2000, wall-ms = 2500 }",
        );
    }
    let mut quick = Guest::new("diagnostic", "quick");
    quick.invoke("");
    setup.plugin("quick", "diagnostic", &quick.build(), "");
    let host = setup.open().await;
    let spins: Vec<_> = (0..PLUGINS * CALLS)
        .map(|number| permit(&host, &format!("spin_{}", number % PLUGINS), "{}", Ground::Invoke))
        .collect();
    let quick = permit(&host, "quick", "{}", Ground::Invoke);
    let spinning = futures::future::join_all(spins.iter().map(|spin| host.invoke(spin)));
    let watching = async {
        let (mut late, started) = (Vec::new(), Instant::now());
        while started.elapsed() < Duration::from_millis(1500) {
            let due = Instant::now() + Duration::from_millis(10);
            tokio::time::sleep_until(due.into()).await;
            late.push(due.elapsed());
        }
        late.sort();
        late
    };
    let answering = async {
        let asked = Instant::now();
        let answer = host.invoke(&quick).await;
        (answer, asked.elapsed())
    };
    let (spun, late, (answer, waited)) = tokio::join!(spinning, watching, answering);
    for fault in spun.into_iter().map(Result::unwrap_err) {
        // On two threads 32 of them do not all come to their processor time within the wall time.
        assert!(["SANDBOX_CPU", "SANDBOX_WALL"].contains(&fault.code.as_str()), "{fault}");
    }
    assert_eq!(answer.unwrap().summary, "{}");
    assert!(
        waited < Duration::from_millis(2500),
        "the quick tool waited {waited:?}, as long as those that spin"
    );
    // The median is the sandbox's doing; single outliers are the machine's.
    let median = late[late.len() / 2];
    assert!(
        late.len() > 50 && median < Duration::from_millis(15),
        "of {} timers half are {median:?} late",
        late.len()
    );
}
