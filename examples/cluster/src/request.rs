//! What a path of the API means.

use axum::http::Method;

use crate::refusal::Refusal;

/// A request, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub verb: &'static str,
    /// `apps`, and nothing for the core group.
    pub group: String,
    pub version: String,
    pub namespace: Option<String>,
    pub plural: String,
    pub name: Option<String>,
    /// `scale`, `log`, `eviction`.
    pub sub: Option<String>,
    pub query: Vec<(String, String)>,
}

impl Request {
    pub fn read(method: &Method, path: &str, query: &str) -> Result<Self, Refusal> {
        let mut pieces = path.split('/').skip(1);
        let (group, version) = match pieces.next() {
            Some("api") => (String::new(), pieces.next()),
            Some("apis") => (pieces.next().unwrap_or_default().to_owned(), pieces.next()),
            _ => return Err(Refusal::no_such_path()),
        };
        let rest: Vec<&str> = pieces.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let owned = |at: usize| rest.get(at).map(|piece| (*piece).to_owned());
        let (Some(version), Some(plural)) = (version, owned(0)) else { return Err(Refusal::no_such_path()) };
        if rest.len() > 3 || rest.iter().any(|piece| piece.is_empty()) {
            return Err(Refusal::no_such_path());
        }
        let verb = match *method {
            Method::GET if rest.len() == 1 => "list",
            Method::GET => "get",
            Method::POST => "create",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => return Err(Refusal::no_such_path()),
        };
        Ok(Self {
            verb,
            group,
            version: version.to_owned(),
            namespace,
            plural,
            name: owned(1),
            sub: owned(2),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        })
    }

    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(asked, _)| asked == name).map(|(_, value)| value.as_str())
    }

    /// `deployments`, `pods/eviction`.
    pub fn resource(&self) -> String {
        match &self.sub {
            Some(sub) => format!("{}/{sub}", self.plural),
            None => self.plural.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart() {
        let read = |path: &str| Request::read(&Method::GET, path, "limit=3&labelSelector=app%3Dweb");
        let scale = read("/apis/apps/v1/namespaces/shop/deployments/web/scale").unwrap();
        assert_eq!(
            (scale.group.as_str(), scale.namespace.as_deref(), scale.verb),
            ("apps", Some("shop"), "get")
        );
        assert_eq!(scale.resource(), "deployments/scale");
        assert_eq!(scale.asks("labelSelector"), Some("app=web"));
        let list = read("/api/v1/namespaces/shop/pods").unwrap();
        assert_eq!((list.verb, list.name), ("list", None));
        assert_eq!(read("/api/v1/namespaces").unwrap().plural, "namespaces");
        assert_eq!(read("/api/v1/nodes/n1").unwrap().name.as_deref(), Some("n1"));
        for path in ["/", "/api", "/healthz", "/api/v1/namespaces/shop/pods/a/b/c", "/api/v1//pods"] {
            assert!(read(path).is_err(), "{path}");
        }
    }
}
