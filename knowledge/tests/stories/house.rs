//! What every story needs: an index, a few runbooks, a question.

use std::fs;
use std::path::{Path, PathBuf};

use medic_knowledge::{IngestReport, Knowledge, KnowledgeConfig, SearchAnswer, SearchQuery};
use tempfile::TempDir;

pub struct House {
    pub index: TempDir,
    pub runbooks: TempDir,
}

impl House {
    pub fn new() -> Self {
        Self { index: tempfile::tempdir().unwrap(), runbooks: tempfile::tempdir().unwrap() }
    }

    /// Three runbooks of three faults.
    pub fn furnished() -> Self {
        let house = Self::new();
        house.write(
            "disk.md",
            "---\ntitle: Disk full\nalerts: [DiskFull]\nservices: [store]\n---\n# Disk full\n\nThe filesystem has no free blocks.\n\n## Remedy\n\nDelete rotated logs.\n",
        );
        house.write(
            "certificate.md",
            "---\ntitle: Certificate expired\nalerts: [CertificateExpired]\n---\n# Certificate expired\n\nHandshakes fail since the TLS certificate ended.\n",
        );
        house.write(
            "leak.md",
            "---\ntitle: Memory leak\nkind: incident\nalerts: [MemoryGrowth]\nservices: [inventory]\n---\n# Memory leak\n\nResident memory grows without bound.\n",
        );
        house
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.runbooks.path().join(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.runbooks.path().join(name)).unwrap();
    }

    pub fn config(&self) -> KnowledgeConfig {
        KnowledgeConfig { index_dir: self.index.path().to_owned(), ..KnowledgeConfig::default() }
    }

    pub async fn open(&self) -> Knowledge {
        Knowledge::open(self.config()).await.unwrap()
    }

    pub async fn ingest(&self, knowledge: &Knowledge) -> IngestReport {
        knowledge.ingest_dir(self.runbooks.path(), &mut |_| {}).await.unwrap()
    }

    /// The directory of a published version.
    pub fn version_dir(&self, version: u64) -> PathBuf {
        self.index.path().join(format!("versions/v{version:08}"))
    }
}

pub async fn ask(knowledge: &Knowledge, text: &str) -> SearchAnswer {
    knowledge.search(&SearchQuery { text: text.to_owned(), ..SearchQuery::default() }).await.unwrap()
}

pub fn paths(answer: &SearchAnswer) -> Vec<&str> {
    answer.hits.iter().map(|hit| hit.path.as_str()).collect()
}

/// Every file below `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
