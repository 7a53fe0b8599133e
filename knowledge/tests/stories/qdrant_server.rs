//! A protocol-compatible test server: Qdrant's gRPC services over an in-memory map. It speaks the real wire format
//! and computes real cosines; it is not Qdrant, and what it does not serve it refuses as unimplemented.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::{self, query, vector, vector_input, vectors_config};
use tonic::{Response, Status};

#[derive(Default)]
pub struct State {
    pub collections: BTreeMap<String, Collection>,
    /// Answers every call with this while set.
    pub refusing: Option<Status>,
    pub api_keys: Vec<String>,
}

pub struct Collection {
    config: qdrant::VectorsConfig,
    pub points: BTreeMap<u64, Point>,
}

pub struct Point {
    pub payload: HashMap<String, qdrant::Value>,
    vectors: HashMap<String, Vec<f32>>,
}

#[derive(Clone, Default)]
pub struct Server {
    state: Arc<Mutex<State>>,
}

impl Server {
    /// Listens on a free port of the loopback until the runtime ends.
    pub async fn start() -> (Self, SocketAddr) {
        let server = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let noted = server.clone();
        let note = move |request: tonic::Request<()>| {
            let key = request.metadata().get("api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
            noted.state().api_keys.push(key.to_owned());
            Ok(request)
        };
        let router = tonic::transport::Server::builder()
            .layer(tonic::service::InterceptorLayer::new(note))
            .add_service(CollectionsServer::new(server.clone()))
            .add_service(PointsServer::new(server.clone()));
        tokio::spawn(router.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
        (server, address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn with<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Collection) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let mut state = self.state();
        if let Some(status) = &state.refusing {
            return Err(status.clone());
        }
        let missing = || Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"));
        work(state.collections.get_mut(name).ok_or_else(missing)?)
    }

    fn create(
        &self,
        request: qdrant::CreateCollection,
    ) -> Result<qdrant::CollectionOperationResponse, Status> {
        let mut state = self.state();
        if state.collections.contains_key(&request.collection_name) {
            return Err(Status::already_exists("collection exists"));
        }
        let config = request.vectors_config.ok_or_else(|| Status::invalid_argument("no vectors"))?;
        state.collections.insert(request.collection_name, Collection { config, points: BTreeMap::new() });
        Ok(qdrant::CollectionOperationResponse { result: true, time: 0.0 })
    }

    fn exists(
        &self,
        request: qdrant::CollectionExistsRequest,
    ) -> Result<qdrant::CollectionExistsResponse, Status> {
        let state = self.state();
        if let Some(status) = &state.refusing {
            return Err(status.clone());
        }
        let exists = state.collections.contains_key(&request.collection_name);
        Ok(qdrant::CollectionExistsResponse { result: Some(qdrant::CollectionExists { exists }), time: 0.0 })
    }

    fn info(
        &self,
        request: qdrant::GetCollectionInfoRequest,
    ) -> Result<qdrant::GetCollectionInfoResponse, Status> {
        self.with(&request.collection_name, |collection| {
            let params = qdrant::CollectionParams {
                vectors_config: Some(collection.config.clone()),
                ..Default::default()
            };
            let config = qdrant::CollectionConfig { params: Some(params), ..Default::default() };
            let info = qdrant::CollectionInfo { config: Some(config), ..Default::default() };
            Ok(qdrant::GetCollectionInfoResponse { result: Some(info), time: 0.0 })
        })
    }

    fn upsert_points(
        &self,
        request: qdrant::UpsertPoints,
    ) -> Result<qdrant::PointsOperationResponse, Status> {
        self.with(&request.collection_name, |collection| {
            for point in request.points {
                let id = number(point.id.as_ref())?;
                let named = match point.vectors.and_then(|vectors| vectors.vectors_options) {
                    Some(VectorsOptions::Vectors(named)) => named.vectors,
                    _ => return Err(Status::invalid_argument("the vectors have no names")),
                };
                let mut vectors = HashMap::new();
                for (name, value) in named {
                    let Some(vector::Vector::Dense(dense)) = value.vector else {
                        return Err(Status::invalid_argument("not a dense vector"));
                    };
                    let size = collection.size(&name)?;
                    if dense.data.len() as u64 != size {
                        return Err(Status::invalid_argument(format!(
                            "expected dim: {size}, got {}",
                            dense.data.len()
                        )));
                    }
                    vectors.insert(name, dense.data);
                }
                collection.points.insert(id, Point { payload: point.payload, vectors });
            }
            Ok(done())
        })
    }

    fn delete_points(
        &self,
        request: qdrant::DeletePoints,
    ) -> Result<qdrant::PointsOperationResponse, Status> {
        self.with(&request.collection_name, |collection| {
            match request.points.and_then(|points| points.points_selector_one_of) {
                Some(PointsSelectorOneOf::Filter(filter)) => {
                    collection.points.retain(|_, point| !admits(&filter, &point.payload));
                }
                _ => return Err(Status::unimplemented("only by filter")),
            }
            Ok(done())
        })
    }

    fn count_points(&self, request: qdrant::CountPoints) -> Result<qdrant::CountResponse, Status> {
        self.with(&request.collection_name, |collection| {
            let filter = request.filter.unwrap_or_default();
            let count =
                collection.points.values().filter(|point| admits(&filter, &point.payload)).count() as u64;
            Ok(qdrant::CountResponse { result: Some(qdrant::CountResult { count }), time: 0.0, usage: None })
        })
    }

    fn query_points(&self, request: qdrant::QueryPoints) -> Result<qdrant::QueryResponse, Status> {
        self.with(&request.collection_name, |collection| {
            let Some(query::Variant::Nearest(input)) = request.query.and_then(|query| query.variant) else {
                return Err(Status::unimplemented("only nearest"));
            };
            let Some(vector_input::Variant::Dense(asked)) = input.variant else {
                return Err(Status::unimplemented("only a dense vector"));
            };
            let using = request.using.unwrap_or_default();
            if asked.data.len() as u64 != collection.size(&using)? {
                return Err(Status::invalid_argument("Vector dimension error"));
            }
            let filter = request.filter.unwrap_or_default();
            let mut result: Vec<qdrant::ScoredPoint> = collection
                .points
                .iter()
                .filter(|(_, point)| admits(&filter, &point.payload))
                .map(|(id, point)| qdrant::ScoredPoint {
                    id: Some((*id).into()),
                    score: cosine(&asked.data, &point.vectors[&using]),
                    ..Default::default()
                })
                .collect();
            result.sort_by(|a, b| b.score.total_cmp(&a.score));
            result.truncate(request.limit.unwrap_or(10) as usize);
            Ok(qdrant::QueryResponse { result, time: 0.0, usage: None })
        })
    }
}

impl Collection {
    fn size(&self, name: &str) -> Result<u64, Status> {
        match &self.config.config {
            Some(vectors_config::Config::ParamsMap(map)) => {
                map.map.get(name).map(|params| params.size).ok_or_else(|| {
                    Status::invalid_argument(format!("Not existing vector name error: {name}"))
                })
            }
            Some(vectors_config::Config::Params(params)) if name.is_empty() => Ok(params.size),
            _ => Err(Status::invalid_argument("Not existing vector name error")),
        }
    }
}

fn done() -> qdrant::PointsOperationResponse {
    let result = Some(qdrant::UpdateResult { operation_id: Some(1), status: 2 });
    qdrant::PointsOperationResponse { result, time: 0.0, usage: None }
}

fn number(id: Option<&qdrant::PointId>) -> Result<u64, Status> {
    match id.and_then(|id| id.point_id_options.as_ref()) {
        Some(PointIdOptions::Num(number)) => Ok(*number),
        _ => Err(Status::unimplemented("only numbers as ids")),
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { 0.0 } else { (dot(a, b) / lengths) as f32 }
}

/// must: all; should: at least one, if there are any; must_not: none.
fn admits(filter: &qdrant::Filter, payload: &HashMap<String, qdrant::Value>) -> bool {
    filter.must.iter().all(|condition| holds(condition, payload))
        && (filter.should.is_empty() || filter.should.iter().any(|condition| holds(condition, payload)))
        && !filter.must_not.iter().any(|condition| holds(condition, payload))
}

fn holds(condition: &qdrant::Condition, payload: &HashMap<String, qdrant::Value>) -> bool {
    match condition.condition_one_of.as_ref().unwrap() {
        ConditionOneOf::Filter(filter) => admits(filter, payload),
        ConditionOneOf::IsEmpty(field) => values(payload.get(&field.key)).is_empty(),
        ConditionOneOf::Field(field) => {
            if let Some(range) = &field.range {
                let inside = |value: &Kind| matches!(value, Kind::IntegerValue(value) if range.gte.is_none_or(|least| *value as f64 >= least));
                return values(payload.get(&field.key)).iter().any(inside);
            }
            let wanted = field.r#match.as_ref().and_then(|wanted| wanted.match_value.clone()).unwrap();
            values(payload.get(&field.key)).iter().any(|value| match (&wanted, value) {
                (MatchValue::Keyword(wanted), Kind::StringValue(value)) => wanted == value,
                (MatchValue::Integer(wanted), Kind::IntegerValue(value)) => wanted == value,
                (MatchValue::Boolean(wanted), Kind::BoolValue(value)) => wanted == value,
                _ => false,
            })
        }
        other => panic!("the test server has no condition {other:?}"),
    }
}

/// A field's values; a list matches as each of its members.
fn values(value: Option<&qdrant::Value>) -> Vec<Kind> {
    match value.and_then(|value| value.kind.clone()) {
        None | Some(Kind::NullValue(_)) => Vec::new(),
        Some(Kind::ListValue(list)) => list.values.iter().flat_map(|value| values(Some(value))).collect(),
        Some(kind) => vec![kind],
    }
}

/// Writes out a service: the methods that are served, and those that are refused.
macro_rules! service {
    ($service:ident
        served { $($name:ident($request:ident) -> $answer:ident = $handler:ident;)* }
        refused { $($refused:ident($refused_request:ident) -> $refused_answer:ident;)* }
    ) => {
        #[tonic::async_trait]
        impl $service for Server {
            $(async fn $name(
                &self,
                request: tonic::Request<qdrant::$request>,
            ) -> Result<Response<qdrant::$answer>, Status> {
                self.$handler(request.into_inner()).map(Response::new)
            })*
            $(async fn $refused(
                &self,
                _: tonic::Request<qdrant::$refused_request>,
            ) -> Result<Response<qdrant::$refused_answer>, Status> {
                Err(Status::unimplemented(stringify!($refused)))
            })*
        }
    };
}

service! { Collections served {
    get(GetCollectionInfoRequest) -> GetCollectionInfoResponse = info;
    create(CreateCollection) -> CollectionOperationResponse = create;
    collection_exists(CollectionExistsRequest) -> CollectionExistsResponse = exists;
} refused {
    list(ListCollectionsRequest) -> ListCollectionsResponse;
    update(UpdateCollection) -> CollectionOperationResponse;
    delete(DeleteCollection) -> CollectionOperationResponse;
    update_aliases(ChangeAliases) -> CollectionOperationResponse;
    list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
    list_aliases(ListAliasesRequest) -> ListAliasesResponse;
    collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
    update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
    create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
    delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
    list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
} }

impl Server {
    fn index_field(
        &self,
        request: qdrant::CreateFieldIndexCollection,
    ) -> Result<qdrant::PointsOperationResponse, Status> {
        self.with(&request.collection_name, |_| Ok(done()))
    }
}

service! { Points served {
    upsert(UpsertPoints) -> PointsOperationResponse = upsert_points;
    delete(DeletePoints) -> PointsOperationResponse = delete_points;
    create_field_index(CreateFieldIndexCollection) -> PointsOperationResponse = index_field;
    count(CountPoints) -> CountResponse = count_points;
    query(QueryPoints) -> QueryResponse = query_points;
} refused {
    get(GetPoints) -> GetResponse;
    update_vectors(UpdatePointVectors) -> PointsOperationResponse;
    delete_vectors(DeletePointVectors) -> PointsOperationResponse;
    set_payload(SetPayloadPoints) -> PointsOperationResponse;
    overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
    delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
    clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
    delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
    create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
    delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
    search(SearchPoints) -> SearchResponse;
    search_batch(SearchBatchPoints) -> SearchBatchResponse;
    search_groups(SearchPointGroups) -> SearchGroupsResponse;
    scroll(ScrollPoints) -> ScrollResponse;
    recommend(RecommendPoints) -> RecommendResponse;
    recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
    recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
    discover(DiscoverPoints) -> DiscoverResponse;
    discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
    update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
    query_batch(QueryBatchPoints) -> QueryBatchResponse;
    query_groups(QueryPointGroups) -> QueryGroupsResponse;
    facet(FacetCounts) -> FacetResponse;
    search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
    search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
} }
