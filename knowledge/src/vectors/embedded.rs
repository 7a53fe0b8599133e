//! The engine in this process: every vector is compared. A search over all of them needs no tuning, misses nothing
//! because of a filter, and its file is a plain array that a checksum covers.
//!
//! Compared are vectors of one byte a value, a quarter of the floats: time is the time to read them from memory. The
//! nearest are then compared again by the floats, which stay in the file. What the rounding could lose is a passage at
//! the far end of the list that is asked for, where a place says nothing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Facets, Filter, Near, VectorIndex};
use crate::error::{Error, Result, off_runtime};

/// First bytes of the file; the last two are its format.
const MAGIC: &[u8; 8] = b"MEDVEC01";
const HEADER_BYTES: usize = 16;

/// Candidates that are compared again, for each wanted: rounding changes places by a few.
const CANDIDATES: usize = 2;

/// Values that one thread compares in about a millisecond; beyond it another thread is worth its start.
const VALUES_PER_THREAD: usize = 12_000_000;

#[derive(Clone)]
pub(crate) struct EmbeddedVectors {
    inner: Arc<Inner>,
}

struct Inner {
    dimension: usize,
    /// Row after row, each value as a share of its row's largest in [-127,127].
    codes: Vec<i8>,
    /// What a code of 1 stands for, one a row.
    scales: Vec<f32>,
    /// One a row.
    facets: Vec<Arc<Facets>>,
    /// The floats.
    file: File,
}

impl EmbeddedVectors {
    /// The bytes to keep: magic, dimension and count (u32), then the values (f32), all little-endian.
    pub(crate) fn encode(dimension: usize, vectors: &[Vec<f32>]) -> Result<Vec<u8>> {
        let narrow = |value: usize| {
            u32::try_from(value).map_err(|_| Error::Limit { what: "vectors", limit: u64::from(u32::MAX) })
        };
        let mut bytes = Vec::with_capacity(HEADER_BYTES + vectors.len() * dimension * 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&narrow(dimension)?.to_le_bytes());
        bytes.extend_from_slice(&narrow(vectors.len())?.to_le_bytes());
        for value in vectors.iter().flatten() {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        Ok(bytes)
    }

    /// `bytes`: those of the file at `path`, checked by their digest. `facets`: one a chunk, in the order in which they
    /// were encoded. `Err` says what does not fit.
    pub(crate) fn open(
        path: &Path,
        bytes: &[u8],
        facets: Vec<Arc<Facets>>,
    ) -> std::result::Result<Self, String> {
        let (dimension, values) = values(bytes, facets.len())?;
        let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let mut codes = Vec::with_capacity(values.len() / 4);
        let mut scales = Vec::with_capacity(facets.len());
        for row in values.chunks_exact(dimension * 4) {
            let row: Vec<f32> = floats(row).collect();
            scales.push(quantise(&row, &mut codes));
        }
        Ok(Self { inner: Arc::new(Inner { dimension, codes, scales, facets, file }) })
    }
}

/// The vectors of a file in the order of the chunks.
pub(crate) fn rows(
    bytes: &[u8],
    count: usize,
) -> std::result::Result<impl Iterator<Item = Vec<f32>> + '_, String> {
    let (dimension, values) = values(bytes, count)?;
    Ok(values.chunks_exact(dimension * 4).map(|row| floats(row).collect()))
}

fn values(bytes: &[u8], wanted: usize) -> std::result::Result<(usize, &[u8]), String> {
    let word = |from: usize| -> Option<usize> {
        let bytes: [u8; 4] = bytes.get(from..from + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let (Some(magic), Some(dimension), Some(count)) = (bytes.get(..8), word(8), word(12)) else {
        return Err("the file of vectors is cut off".to_owned());
    };
    if magic != MAGIC {
        return Err("the file of vectors has another format".to_owned());
    }
    let rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    if count != wanted || dimension == 0 || Some(rest.len()) != count.checked_mul(dimension * 4) {
        return Err(format!("{count} vectors of {dimension} do not fit {wanted} chunks"));
    }
    Ok((dimension, rest))
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four))
}

/// Adds the codes of `row` and returns what a code of 1 stands for.
fn quantise(row: &[f32], codes: &mut Vec<i8>) -> f32 {
    let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    codes.extend(row.iter().map(|value| (value / scale).round().clamp(-127.0, 127.0) as i8));
    scale
}

impl Inner {
    fn nearest(&self, query: &[f32], filter: &Filter, limit: usize) -> Result<Vec<Near>> {
        let mut codes = Vec::with_capacity(query.len());
        let query_scale = quantise(query, &mut codes);
        let workers = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(self.codes.len().div_ceil(VALUES_PER_THREAD))
            .max(1);
        let share = self.scales.len().div_ceil(workers).max(1);
        let candidates = limit.saturating_mul(CANDIDATES);
        let mut near: Vec<Near> = Vec::new();
        let codes: &[i8] = &codes;
        std::thread::scope(|scope| {
            let scan = |worker: usize| self.scan(worker * share, share, codes, filter, candidates);
            let running: Vec<_> = (1..workers).map(|worker| scope.spawn(move || scan(worker))).collect();
            near.extend(scan(0));
            for worker in running {
                near.extend(worker.join().unwrap_or_default());
            }
        });
        for one in &mut near {
            one.cosine *= query_scale;
        }
        keep_nearest(&mut near, candidates);
        let mut row = vec![0; self.dimension * 4];
        for one in &mut near {
            let at = HEADER_BYTES as u64 + u64::from(one.chunk) * row.len() as u64;
            self.file.read_exact_at(&mut row, at).map_err(Error::io("read the vectors in", "vectors.bin"))?;
            one.cosine = dot(query, floats(&row));
        }
        keep_nearest(&mut near, limit);
        Ok(near)
    }

    /// The nearest of the rows from `from` on, by their codes.
    fn scan(&self, from: usize, count: usize, query: &[i8], filter: &Filter, limit: usize) -> Vec<Near> {
        let all = *filter == Filter::default();
        let rows = self.codes.chunks_exact(self.dimension).zip(&self.scales).zip(&self.facets).enumerate();
        let mut near: Vec<Near> = rows
            .skip(from)
            .take(count)
            .filter(|(_, (_, facets))| all || filter.admits(facets))
            .filter_map(|(row, ((codes, scale), _))| {
                Some(Near { chunk: u32::try_from(row).ok()?, cosine: dot_codes(codes, query) as f32 * scale })
            })
            .collect();
        keep_nearest(&mut near, limit);
        near
    }
}

/// Nearest first; equal ones in the order of the chunks.
fn keep_nearest(near: &mut Vec<Near>, limit: usize) {
    let order = |a: &Near, b: &Near| b.cosine.total_cmp(&a.cosine).then(a.chunk.cmp(&b.chunk));
    if limit < near.len() {
        near.select_nth_unstable_by(limit, order);
        near.truncate(limit);
    }
    near.sort_unstable_by(order);
}

/// Sums of sixteen products fit 32 bits for rows of up to 65,000 values.
fn dot_codes(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(i16::from(*x) * i16::from(*y))).sum()
}

fn dot(a: &[f32], b: impl Iterator<Item = f32>) -> f32 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(y)).sum::<f64>() as f32
}

#[async_trait]
impl VectorIndex for EmbeddedVectors {
    async fn search(&self, query: &[f32], filter: &Filter, limit: usize) -> Result<Vec<Near>> {
        if query.len() != self.inner.dimension {
            return Err(Error::EmbedderDimension {
                embedder: "the question's embedder".to_owned(),
                got: query.len(),
                wanted: self.inner.dimension,
            });
        }
        let (inner, query, filter) = (Arc::clone(&self.inner), query.to_vec(), filter.clone());
        off_runtime(move || inner.nearest(&query, &filter, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Kind;

    fn facets(services: &[&str]) -> Arc<Facets> {
        let services = services.iter().map(|s| (*s).to_owned()).collect();
        Arc::new(Facets { kind: Kind::Runbook, services, source: "s".to_owned(), day: None, reviewed: true })
    }

    fn open(dimension: usize, rows: &[Vec<f32>], facets: Vec<Arc<Facets>>) -> EmbeddedVectors {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors.bin");
        let bytes = EmbeddedVectors::encode(dimension, rows).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        // The file is held open: it may go.
        EmbeddedVectors::open(&path, &bytes, facets).unwrap()
    }

    #[tokio::test]
    async fn nearest_come_first_ties_in_order_and_the_filter_holds() {
        let rows = vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 0.0], vec![0.6, 0.8]];
        let index = open(2, &rows, vec![facets(&["a"]), facets(&[]), facets(&["b"]), facets(&["b"])]);
        let chunks = |found: Vec<Near>| found.iter().map(|near| near.chunk).collect::<Vec<_>>();
        let any = Filter::default();
        assert_eq!(chunks(index.search(&[1.0, 0.0], &any, 3).await.unwrap()), [0, 2, 3]);
        let only = Filter { service: Some("b".to_owned()), ..Filter::default() };
        assert_eq!(chunks(index.search(&[1.0, 0.0], &only, 9).await.unwrap()), [2, 3, 1]);
        let none = Filter { kind: Some(Kind::Incident), ..Filter::default() };
        assert!(index.search(&[1.0, 0.0], &none, 9).await.unwrap().is_empty());
        assert_eq!(index.search(&[1.0], &any, 1).await.unwrap_err().code(), "KNOWLEDGE_EMBEDDER_DIMENSION");
    }

    /// Unit vectors that are no better apart than those of real passages.
    fn some_vectors(count: u64, dimension: u64) -> Vec<Vec<f32>> {
        let vector = |row: u64| {
            let value = |at: u64| {
                let mixed = (row * dimension + at).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
                ((mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 24) as f32) - 0.4
            };
            let mut vector: Vec<f32> = (0..dimension).map(value).collect();
            crate::embed::normalise(&mut vector);
            vector
        };
        (0..count).map(vector).collect()
    }

    #[tokio::test]
    async fn codes_find_what_the_floats_would_with_the_same_cosines() {
        let rows = some_vectors(3_000, 96);
        let index = open(96, &rows, vec![facets(&[]); rows.len()]);
        for query in rows.iter().step_by(701) {
            let mut exact: Vec<Near> = (0..)
                .zip(&rows)
                .map(|(chunk, row)| Near { chunk, cosine: dot(query, row.iter().copied()) })
                .collect();
            keep_nearest(&mut exact, 50);
            assert_eq!(index.search(query, &Filter::default(), 50).await.unwrap(), exact);
        }
    }

    #[test]
    fn a_cut_or_foreign_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vectors.bin");
        let bytes = EmbeddedVectors::encode(2, &[vec![1.0, 0.0]]).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let open = |bytes: &[u8], facets| EmbeddedVectors::open(&path, bytes, facets).is_ok();
        assert!(open(&bytes, vec![facets(&[])]));
        assert!(!open(&bytes[..bytes.len() - 1], vec![facets(&[])]));
        assert!(!open(&bytes, vec![]));
        assert!(!open(b"OTHER", vec![]));
    }
}
