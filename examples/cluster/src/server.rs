//! The server: tokens, faults, the audit log, and what a test or a person puts there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::audit::Seen;
use crate::objects::{Key, Objects};
use crate::rbac::Role;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::verbs::{self, Answer, Body};
use crate::workload;

/// 3 MiB: what the real one takes.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What the server does with the next request that changes something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    #[default]
    Honest,
    /// Carries it out, and closes the connection instead of answering.
    LosesAnswer,
    /// Closes the connection and does nothing.
    LosesRequest,
    /// Answers this status and does nothing.
    Fails(u16),
    /// Somebody else touches the object first.
    Overtaken,
}

/// A running server. Clones are the same one.
#[derive(Clone)]
pub struct Cluster {
    state: Arc<Mutex<Inner>>,
    address: SocketAddr,
}

#[derive(Default)]
struct Inner {
    objects: Objects,
    tokens: BTreeMap<String, (String, Role)>,
    seen: Vec<Seen>,
    manner: Manner,
    /// Before 1.22: evictions are `policy/v1beta1`.
    old: bool,
}

impl Cluster {
    /// Listens on a free port of this machine. Empty, and nobody may do anything.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start() -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// # Errors
    /// The address is taken.
    pub async fn listen(address: SocketAddr) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let cluster = Self { state: Arc::default(), address: listener.local_addr()? };
        let app = Router::new().fallback(serve).with_state(cluster.clone());
        #[allow(
            clippy::disallowed_methods,
            reason = "it serves until the process or the runtime ends; nobody waits for it"
        )]
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(cluster)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who presents `token` is `user` with `role`.
    pub fn let_in(&self, token: &str, user: &str, role: Role) -> &Self {
        self.inner().tokens.insert(token.to_owned(), (user.to_owned(), role));
        self
    }

    /// A Deployment with its ReplicaSet and pods, labelled `app=<name>`.
    pub fn deployment(&self, namespace: &str, name: &str, replicas: u64, image: &str) -> &Self {
        let labels = json!({ "app": name });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "labels": labels, "annotations": {}, "generation": 1,
                "managedFields": [{ "manager": "kubectl-create", "operation": "Update", "fieldsV1": { "f:spec": {} } }],
            },
            "spec": {
                "replicas": replicas, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "creationTimestamp": null, "labels": labels },
                    "spec": { "containers": [{ "name": "main", "image": image }] },
                },
            },
        });
        let key = Key::new("apps", "deployments", Some(namespace), name);
        let mut inner = self.inner();
        inner.objects.create(key.clone(), deployment);
        workload::settle(&mut inner.objects, &key);
        drop(inner);
        self
    }

    /// A disruption budget for the pods of `app=<name>`.
    pub fn budget(&self, namespace: &str, name: &str, min_available: u64) -> &Self {
        self.object(
            "policy/v1",
            "PodDisruptionBudget",
            "poddisruptionbudgets",
            Some(namespace),
            name,
            json!({
                "spec": { "minAvailable": min_available, "selector": { "matchLabels": { "app": name } } },
            }),
        )
    }

    /// Any object.
    pub fn object(
        &self,
        api_version: &str,
        kind: &str,
        plural: &str,
        namespace: Option<&str>,
        name: &str,
        rest: Value,
    ) -> &Self {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let mut object = json!({ "apiVersion": api_version, "kind": kind });
        crate::patch::merge(&mut object, &rest);
        self.inner().objects.create(Key::new(group, plural, namespace, name), object);
        self
    }

    /// What there is of an object now.
    pub fn get(&self, group: &str, plural: &str, namespace: Option<&str>, name: &str) -> Option<Value> {
        self.inner().objects.get(&Key::new(group, plural, namespace, name)).cloned()
    }

    /// Names of all objects of a kind in a namespace.
    pub fn names(&self, group: &str, plural: &str, namespace: Option<&str>) -> Vec<String> {
        self.inner().objects.list(group, plural, namespace).map(|(key, _)| key.name.clone()).collect()
    }

    /// Changes an object behind everybody's back.
    pub fn touch(&self, group: &str, plural: &str, namespace: Option<&str>, name: &str, merge_patch: &Value) {
        let key = Key::new(group, plural, namespace, name);
        let mut inner = self.inner();
        if let Some(mut object) = inner.objects.get(&key).cloned() {
            crate::patch::merge(&mut object, merge_patch);
            inner.objects.update(&key, object);
            if plural == "deployments" {
                workload::settle(&mut inner.objects, &key);
            }
        }
    }

    /// How the next request that changes something is dealt with; those after it honestly.
    pub fn behave(&self, manner: Manner) {
        self.inner().manner = manner;
    }

    /// As servers before 1.22 know evictions.
    pub fn be_old(&self) {
        self.inner().old = true;
    }

    /// The audit log so far.
    pub fn audit(&self) -> Vec<Seen> {
        self.inner().seen.clone()
    }

    /// [`Seen::line`] of each request since the last time, and forgets them.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().seen).iter().map(Seen::line).collect()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig whose one context, `name`, presents `token`.
    pub fn kubeconfig(&self, name: &str, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\ncontexts:\n- name: {name}\n  context: {{cluster: {name}, user: {name}}}\n\
             clusters:\n- name: {name}\n  cluster: {{server: \"{}\"}}\nusers:\n- name: {name}\n  user: {{token: {token}}}\n",
            self.url()
        )
    }
}

async fn serve(State(cluster): State<Cluster>, request: HttpRequest) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: header::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let body = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
    let mut inner = cluster.inner();
    let token = header(header::AUTHORIZATION);
    let known = inner.tokens.get(token.trim_start_matches("Bearer ")).cloned();
    let Some((user, role)) = known else { return refused(&Refusal::unauthorized()) };
    let query = parts.uri.query().unwrap_or_default();
    let request = match Request::read(&parts.method, parts.uri.path(), query) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    let resource = request.resource();
    let (namespace, name) = (request.namespace.as_deref(), request.name.as_deref());
    let mut seen = Seen {
        user: user.clone(),
        verb: request.verb,
        resource: resource.clone(),
        namespace: request.namespace.clone(),
        name: request.name.clone(),
        dry_run: request.asks("dryRun") == Some("All"),
        query: query.to_owned(),
        user_agent: header(header::USER_AGENT),
        body: body.clone(),
        status: 0,
    };
    if !role.allows(request.verb, &request.group, &resource, namespace, name) {
        let refusal = Refusal::forbidden(&user, request.verb, &request.group, &resource, namespace, name);
        seen.status = refusal.status;
        inner.seen.push(seen);
        return refused(&refusal);
    }
    // Ends the connection's task without a word; the lock it poisons is read through.
    let hang_up = || -> Response { std::panic::resume_unwind(Box::new(())) };
    let manner = if seen.changes() { std::mem::take(&mut inner.manner) } else { Manner::Honest };
    match manner {
        Manner::LosesRequest => {
            inner.seen.push(seen);
            drop(inner);
            return hang_up();
        }
        Manner::Fails(status) => {
            let refusal = Refusal::unavailable(status);
            seen.status = status;
            inner.seen.push(seen);
            return refused(&refusal);
        }
        Manner::Overtaken => {
            let key = Key::new(&request.group, &request.plural, namespace, name.unwrap_or_default());
            if let Some(object) = inner.objects.get(&key).cloned() {
                inner.objects.update(&key, object);
            }
        }
        Manner::Honest | Manner::LosesAnswer => {}
    }
    let old = inner.old;
    let answer = verbs::answer(&mut inner.objects, &request, &header(header::CONTENT_TYPE), &body, old);
    seen.status = answer.as_ref().map_or_else(|refusal| refusal.status, |answer| answer.status);
    inner.seen.push(seen);
    drop(inner);
    if manner == Manner::LosesAnswer {
        return hang_up();
    }
    match answer {
        Ok(Answer { status, body: Body::Json(body) }) => reply(status, &body),
        Ok(Answer { body: Body::Text(text), .. }) => text.into_response(),
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Response {
    reply(refusal.status, &refusal.body)
}

fn reply(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
