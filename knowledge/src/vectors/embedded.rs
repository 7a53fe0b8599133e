//! The engine in this process: every vector is compared. Exact search needs no tuning and misses nothing, its file is
//! a plain array that a checksum covers, and at the size of a house's runbooks (some thousand chunks of 2 KiB) it
//! takes about a millisecond. Time and memory grow with the corpus; where they hurt, Qdrant's graph index begins.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Facets, Filter, Near, VectorIndex};
use crate::error::{Error, Result, off_runtime};

/// First bytes of the file; the last two are its format.
const MAGIC: &[u8; 8] = b"MEDVEC01";
const HEADER_BYTES: usize = 16;

#[derive(Clone)]
pub(crate) struct EmbeddedVectors {
    inner: Arc<Inner>,
}

struct Inner {
    dimension: usize,
    /// Row after row, each of unit length.
    values: Vec<f32>,
    /// One a row.
    facets: Vec<Facets>,
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

    /// `facets`: one a chunk, in the order in which they were encoded. `Err` says what does not fit.
    pub(crate) fn decode(bytes: &[u8], facets: Vec<Facets>) -> std::result::Result<Self, String> {
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
        if count != facets.len() || dimension == 0 || Some(rest.len()) != count.checked_mul(dimension * 4) {
            return Err(format!("{count} vectors of {dimension} do not fit {} chunks", facets.len()));
        }
        let values = rest.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Self { inner: Arc::new(Inner { dimension, values, facets }) })
    }

    /// The vectors in the order of the chunks.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<f32>> + '_ {
        self.inner.values.chunks_exact(self.inner.dimension).map(<[f32]>::to_vec)
    }
}

impl Inner {
    fn nearest(&self, query: &[f32], filter: &Filter, limit: usize) -> Vec<Near> {
        let rows = self.values.chunks_exact(self.dimension).zip(&self.facets).enumerate();
        let mut near: Vec<Near> = rows
            .filter(|(_, (_, facets))| filter.admits(facets))
            .filter_map(|(row, (vector, _))| {
                Some(Near { chunk: u32::try_from(row).ok()?, cosine: dot(vector, query) })
            })
            .collect();
        let order = |a: &Near, b: &Near| b.cosine.total_cmp(&a.cosine).then(a.chunk.cmp(&b.chunk));
        if limit < near.len() {
            near.select_nth_unstable_by(limit, order);
            near.truncate(limit);
        }
        near.sort_unstable_by(order);
        near
    }
}

/// Eight sums side by side: the compiler may keep them in one register, which it may not do with one float sum.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
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
        off_runtime(move || Ok(inner.nearest(&query, &filter, limit))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Kind;

    fn facets(services: &[&str]) -> Facets {
        Facets { kind: Kind::Runbook, services: services.iter().map(|s| (*s).to_owned()).collect() }
    }

    #[tokio::test]
    async fn nearest_come_first_ties_in_order_and_the_filter_holds() {
        let rows = vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 0.0], vec![0.6, 0.8]];
        let bytes = EmbeddedVectors::encode(2, &rows).unwrap();
        let all = vec![facets(&["a"]), facets(&[]), facets(&["b"]), facets(&["b"])];
        let index = EmbeddedVectors::decode(&bytes, all).unwrap();
        let chunks = |found: Vec<Near>| found.iter().map(|near| near.chunk).collect::<Vec<_>>();
        let any = Filter::default();
        assert_eq!(chunks(index.search(&[1.0, 0.0], &any, 3).await.unwrap()), [0, 2, 3]);
        let only = Filter { service: Some("b".to_owned()), kind: None };
        assert_eq!(chunks(index.search(&[1.0, 0.0], &only, 9).await.unwrap()), [2, 3, 1]);
        let none = Filter { service: None, kind: Some(Kind::Incident) };
        assert!(index.search(&[1.0, 0.0], &none, 9).await.unwrap().is_empty());
        assert_eq!(index.search(&[1.0], &any, 1).await.unwrap_err().code(), "KNOWLEDGE_EMBEDDER_DIMENSION");
    }

    #[test]
    fn a_cut_or_foreign_file_is_refused() {
        let bytes = EmbeddedVectors::encode(2, &[vec![1.0, 0.0]]).unwrap();
        assert!(EmbeddedVectors::decode(&bytes, vec![facets(&[])]).is_ok());
        assert!(EmbeddedVectors::decode(&bytes[..bytes.len() - 1], vec![facets(&[])]).is_err());
        assert!(EmbeddedVectors::decode(&bytes, vec![]).is_err());
        assert!(EmbeddedVectors::decode(b"OTHER", vec![]).is_err());
    }
}
