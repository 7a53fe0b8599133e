//! Owns what a script may answer, and what garbage looks like for each kind of answer.

use medic_sdk::types::{
    Attr, HostError, HttpResponse, KnowledgeHit, LogEntry, ProbeOutcome, Receipt, Sample, Series,
};

/// A way to fail that every tool must expect of every host function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The grant does not cover it.
    Denied,
    /// The system behind the host was too slow.
    Timeout,
    /// The system behind the host answered what makes no sense, in the right type.
    Garbage,
}

impl Failure {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Denied, Self::Timeout, Self::Garbage];
}

/// What a scripted host answers. The kind must fit the function.
#[derive(Debug, Clone)]
pub enum Answer {
    /// For metrics.
    Series(Vec<Series>),
    /// For log searches.
    Entries(Vec<LogEntry>),
    /// For HTTP reads.
    Response(HttpResponse),
    /// For one Kubernetes object, and for the logs of a pod.
    Text(String),
    /// For lists of Kubernetes objects, and for DNS.
    Texts(Vec<String>),
    /// For the knowledge base.
    Hits(Vec<KnowledgeHit>),
    /// For probes.
    Outcome(ProbeOutcome),
    /// For changes: a receipt, numbered by the host.
    Receipt,
    /// A way to fail.
    Fail(Failure),
    /// Any other error.
    Error(HostError),
}

/// The type that a host function answers with.
pub(crate) trait Answered: Sized {
    fn from_answer(answer: Answer, receipts: u64) -> Option<Self>;
    fn garbage() -> Self;
}

fn noise() -> String {
    "\u{0}\u{1b}[2J<html>{\"unterminated\": \u{fffd}".to_owned()
}

macro_rules! answered {
    ($($ty:ty = $variant:ident, $garbage:expr;)+) => { $(
        impl Answered for $ty {
            fn from_answer(answer: Answer, _: u64) -> Option<Self> {
                match answer {
                    Answer::$variant(value) => Some(value),
                    _ => None,
                }
            }

            fn garbage() -> Self {
                $garbage
            }
        }
    )+ };
}

answered! {
    Vec<Series> = Series, [f64::NAN, f64::NEG_INFINITY]
        .map(|value| Series {
            labels: vec![Attr { name: String::new(), value: noise() }],
            samples: vec![Sample { at_ms: u64::MAX, value }],
        })
        .to_vec();
    Vec<LogEntry> = Entries, vec![LogEntry { at_ms: u64::MAX, labels: Vec::new(), line: noise() }];
    HttpResponse = Response, HttpResponse { status: 200, headers: Vec::new(), body: noise().into_bytes(), truncated: false };
    String = Text, noise();
    Vec<String> = Texts, vec![noise()];
    Vec<KnowledgeHit> = Hits,
        vec![KnowledgeHit { source: noise(), title: noise(), text: noise(), score: f64::NAN }];
    ProbeOutcome = Outcome, ProbeOutcome { ok: false, latency_us: u64::MAX, detail: noise() };
}

impl Answered for Receipt {
    fn from_answer(answer: Answer, receipts: u64) -> Option<Self> {
        let receipt =
            Self { operation_id: receipts, snapshot_id: None, detail_json: "{\"status\":200}".to_owned() };
        matches!(answer, Answer::Receipt).then_some(receipt)
    }

    fn garbage() -> Self {
        Self { operation_id: u64::MAX, snapshot_id: None, detail_json: noise() }
    }
}
