//! A library with scripted answers.

use super::script::{Reply, Script};
use crate::Knowledge;
use crate::knowledge::{KnowledgeAnswer, KnowledgeQuery, Passage};
use async_trait::async_trait;
use medic_core::{Digest, Fault};

/// What is not scripted is answered with "nothing that fits".
#[derive(Default)]
pub struct FakeKnowledge {
    /// Asked with the query's text.
    pub script: Script<KnowledgeAnswer>,
}

impl FakeKnowledge {
    pub fn new() -> Self {
        Self::default()
    }

    /// Searches that contain `needle` find one passage that treats `category`.
    pub fn passage(&self, needle: &str, title: &str, category: &str) {
        let text = format!("{title}: what to do about {category}");
        let passage = Passage {
            document: format!("{category}.md"),
            title: title.to_owned(),
            heading: "Remedy".to_owned(),
            digest: Digest::of_bytes(text.as_bytes()),
            text,
            category: Some(category.to_owned()),
            score: 1.0,
            matched: needle.to_owned(),
        };
        let answer =
            KnowledgeAnswer { passages: vec![passage], insufficient: None, version: "fake-1".to_owned() };
        self.script.on(needle, Reply::Answer(answer));
    }
}

#[async_trait]
impl Knowledge for FakeKnowledge {
    async fn search(&self, query: &KnowledgeQuery) -> Result<KnowledgeAnswer, Fault> {
        let mut answer = self.script.ask(&query.text).await?.unwrap_or_else(|| KnowledgeAnswer {
            passages: Vec::new(),
            insufficient: Some("no document is about this".to_owned()),
            version: "fake-1".to_owned(),
        });
        answer.passages.truncate(query.limit);
        Ok(answer)
    }
}
