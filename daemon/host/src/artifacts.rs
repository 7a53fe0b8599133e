//! Large output of tools, kept beside the answer instead of in it.
//!
//! Owns a bounded store in memory: the oldest go when room is needed. The name a tool gives is a label, never a path.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use medic_core::Digest;

/// 128 MiB for all plugins: two diagnostic calls at their own limit.
const BYTES_MAX: usize = 128 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// `artifact:<digest>`; same bytes, same id.
    pub id: String,
    pub plugin: String,
    /// The tool's words.
    pub name: String,
    pub media_type: String,
    pub data: Arc<Vec<u8>>,
}

#[derive(Default)]
pub struct Artifacts {
    kept: Mutex<VecDeque<Artifact>>,
}

impl Artifacts {
    /// Keeps `data` and answers its id.
    pub fn put(&self, plugin: &str, name: &str, media_type: &str, data: Vec<u8>) -> String {
        let id = format!("artifact:{}", Digest::of_bytes(&data).as_str().trim_start_matches("sha256:"));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|artifact| artifact.id == id) {
            return id;
        }
        kept.push_back(Artifact {
            id: id.clone(),
            plugin: plugin.to_owned(),
            name: crate::text::line(name, 128),
            media_type: crate::text::line(media_type, 128),
            data: Arc::new(data),
        });
        while kept.len() > 1 && kept.iter().map(|artifact| artifact.data.len()).sum::<usize>() > BYTES_MAX {
            kept.pop_front();
        }
        id
    }

    pub fn get(&self, id: &str) -> Option<Artifact> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|artifact| artifact.id == id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_bytes_are_kept_once_and_the_oldest_go_first() {
        let artifacts = Artifacts::default();
        let first = artifacts.put("p", "a\u{1b}[1m", "text/plain", vec![1; BYTES_MAX / 2]);
        assert_eq!(artifacts.put("p", "b", "text/plain", vec![1; BYTES_MAX / 2]), first);
        assert_eq!(artifacts.get(&first).unwrap().name, "a");
        let second = artifacts.put("p", "c", "text/plain", vec![2; BYTES_MAX / 2 + 1]);
        assert!(artifacts.get(&first).is_none() && artifacts.get(&second).is_some());
    }
}
