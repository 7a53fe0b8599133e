//! The engine behind Qdrant's API. A collection belongs to one index directory and holds the points of several
//! versions; each point carries its version, and a search asks for one: a half-written version is never seen.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    Condition, CountPointsBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder,
    DeletePointsBuilder, Distance, FieldType, Filter as PointFilter, PointStruct, Query, QueryPointsBuilder,
    Range, UpsertPointsBuilder, Value, VectorParamsBuilder, point_id::PointIdOptions,
};
use qdrant_client::{Payload, Qdrant, QdrantError};

use super::{Facets, Filter, Near, VectorIndex};
use crate::config::{QdrantConfig, Secret};
use crate::error::{Error, Result};

/// The vector's name in a point, so that another embedder's may later stand beside it.
const VECTOR: &str = "passage";
/// Points a request: at 4096 floats a vector some 4 MiB, below the server's limit of 32 MiB.
const POINTS_PER_REQUEST: usize = 256;
/// Bits of a point's id that number the chunk; the rest number the version.
const CHUNK_BITS: u32 = 32;

#[derive(Clone)]
pub(crate) struct QdrantStore {
    client: Qdrant,
    url: String,
    collection: String,
    timeout: Duration,
}

pub(crate) struct QdrantVectors {
    store: QdrantStore,
    version: u64,
}

impl QdrantStore {
    /// Makes a client. Connects to nothing yet.
    pub(crate) fn new(config: &QdrantConfig) -> Result<Self> {
        let timeout = Duration::from_millis(config.timeout_ms);
        let client = Qdrant::from_url(&config.url)
            .api_key(config.api_key.as_ref().map(Secret::reveal))
            .timeout(timeout)
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            // The check would block this thread and print to standard output.
            .skip_compatibility_check()
            .build()
            .map_err(|error| Error::Config { reason: format!("vectors.url: {error}") })?;
        Ok(Self { client, url: config.url.clone(), collection: config.collection.clone(), timeout })
    }

    pub(crate) fn version(&self, version: u64) -> QdrantVectors {
        QdrantVectors { store: self.clone(), version }
    }

    /// Makes the collection if it is missing; refuses one whose vectors have another length.
    pub(crate) async fn prepare(&self, dimension: usize) -> Result<()> {
        let wanted = dimension as u64;
        let exists =
            self.call("look for a collection", self.client.collection_exists(&self.collection)).await?;
        if !exists {
            let mut vectors = qdrant_client::qdrant::VectorsConfigBuilder::default();
            vectors.add_named_vector_params(VECTOR, VectorParamsBuilder::new(wanted, Distance::Cosine));
            let request = CreateCollectionBuilder::new(&self.collection).vectors_config(vectors);
            self.call("make a collection", self.client.create_collection(request)).await?;
            for (field, kind) in [
                ("version", FieldType::Integer),
                ("kind", FieldType::Keyword),
                ("services", FieldType::Keyword),
                ("source", FieldType::Keyword),
                ("day", FieldType::Integer),
                ("reviewed", FieldType::Bool),
            ] {
                let request =
                    CreateFieldIndexCollectionBuilder::new(&self.collection, field, kind).wait(true);
                self.call("index a payload field", self.client.create_field_index(request)).await?;
            }
            return Ok(());
        }
        let got = self.dimension().await?;
        if got != wanted {
            return Err(Error::CollectionDimension { collection: self.collection.clone(), got, wanted });
        }
        Ok(())
    }

    async fn dimension(&self) -> Result<u64> {
        let info = self.call("read a collection", self.client.collection_info(&self.collection)).await?;
        let config = info.result.and_then(|info| info.config?.params?.vectors_config?.config);
        let shape = |reason: &str| Error::CollectionShape {
            collection: self.collection.clone(),
            reason: reason.to_owned(),
        };
        match config {
            Some(Config::ParamsMap(map)) => map
                .map
                .get(VECTOR)
                .map(|params| params.size)
                .ok_or_else(|| shape("it has no vector named passage")),
            _ => Err(shape("its vector has no name, ours is named passage")),
        }
    }

    /// Writes all points of a version and waits until they can be found.
    pub(crate) async fn put(
        &self,
        version: u64,
        vectors: &[Vec<f32>],
        facets: &[Arc<Facets>],
        mut written: impl FnMut(usize) + Send,
    ) -> Result<()> {
        // An ingest that was killed may have left some under the same number.
        self.forget(version).await?;
        let mut done = 0;
        let rows: Vec<_> = vectors.iter().zip(facets).enumerate().collect();
        for batch in rows.chunks(POINTS_PER_REQUEST) {
            let points: Vec<PointStruct> = batch
                .iter()
                .map(|(chunk, (vector, facets))| point(version, *chunk, vector, facets))
                .collect();
            let request = UpsertPointsBuilder::new(&self.collection, points).wait(true);
            self.call("write points", self.client.upsert_points(request)).await?;
            done += batch.len();
            written(done);
        }
        Ok(())
    }

    /// Deletes the points of a version; of one that has none, does nothing.
    pub(crate) async fn forget(&self, version: u64) -> Result<()> {
        let request = DeletePointsBuilder::new(&self.collection)
            .points(PointFilter::must([of_version(version)]))
            .wait(true);
        self.call("delete points", self.client.delete_points(request)).await.map(|_| ())
    }

    /// How many points of a version there are; 0 when the collection is missing.
    pub(crate) async fn count(&self, version: u64) -> Result<u64> {
        if !self.call("look for a collection", self.client.collection_exists(&self.collection)).await? {
            return Ok(0);
        }
        let request = CountPointsBuilder::new(&self.collection)
            .filter(PointFilter::must([of_version(version)]))
            .exact(true);
        let counted = self.call("count points", self.client.count(request)).await?;
        Ok(counted.result.map_or(0, |result| result.count))
    }

    /// The client has a timeout a request and retries by itself: the whole is bounded here once more.
    async fn call<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = std::result::Result<T, QdrantError>>,
    ) -> Result<T> {
        let failed = |reason: String| Error::Qdrant { doing, url: self.url.clone(), reason };
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(QdrantError::ResponseError { status })) => {
                Err(failed(format!("{:?}: {}", status.code(), status.message())))
            }
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }
}

fn of_version(version: u64) -> Condition {
    Condition::matches("version", i64::try_from(version).unwrap_or(i64::MAX))
}

fn point(version: u64, chunk: usize, vector: &[f32], facets: &Facets) -> PointStruct {
    let mut payload = Payload::new();
    payload.insert("version", i64::try_from(version).unwrap_or(i64::MAX));
    payload.insert("kind", facets.kind.as_str());
    payload.insert("source", facets.source.as_str());
    payload.insert("reviewed", facets.reviewed);
    if let Some(day) = facets.day {
        payload.insert("day", i64::from(day));
    }
    let services: Vec<Value> = facets.services.iter().map(|service| Value::from(service.as_str())).collect();
    payload.insert("services", services);
    let vectors = HashMap::from([(VECTOR.to_owned(), vector.to_vec())]);
    PointStruct::new((version << CHUNK_BITS) | chunk as u64, vectors, payload)
}

#[async_trait]
impl VectorIndex for QdrantVectors {
    async fn search(&self, query: &[f32], filter: &Filter, limit: usize) -> Result<Vec<Near>> {
        let mut must = vec![of_version(self.version)];
        if let Some(kind) = filter.kind {
            must.push(Condition::matches("kind", kind.as_str().to_owned()));
        }
        if let Some(service) = &filter.service {
            let own = Condition::matches("services", service.clone());
            must.push(PointFilter::should([own, Condition::is_empty("services")]).into());
        }
        if let Some(source) = &filter.source {
            must.push(Condition::matches("source", source.clone()));
        }
        if let Some(since) = filter.since {
            let later = Condition::range("day", Range { gte: Some(f64::from(since)), ..Range::default() });
            must.push(PointFilter::should([later, Condition::is_empty("day")]).into());
        }
        if filter.reviewed_only {
            must.push(Condition::matches("reviewed", true));
        }
        let request = QueryPointsBuilder::new(&self.store.collection)
            .query(Query::new_nearest(query.to_vec()))
            .using(VECTOR)
            .filter(PointFilter::must(must))
            .limit(limit as u64)
            .with_payload(false);
        let answer = self.store.call("search", self.store.client.query(request)).await?;
        let mut near: Vec<Near> = answer
            .result
            .iter()
            .filter_map(|found| match found.id.as_ref()?.point_id_options.as_ref()? {
                PointIdOptions::Num(id) if id >> CHUNK_BITS == self.version => {
                    Some(Near { chunk: u32::try_from(id & u64::from(u32::MAX)).ok()?, cosine: found.score })
                }
                _ => None,
            })
            .collect();
        near.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.chunk.cmp(&b.chunk)));
        Ok(near)
    }
}
