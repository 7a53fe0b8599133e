//! Named endpoints: where they are, and what a plugin may ask of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::Url;

use super::path::PathPattern;

/// Where an endpoint is and how it behaves, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AddressSpec {
    base: String,
    #[serde(default)]
    private: bool,
    credential: Option<String>,
    receipts: Option<PathPattern>,
    #[serde(default)]
    idempotent: bool,
}

/// An endpoint whose address has been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Scheme, host and port; path only `/`.
    pub base: Url,
    /// Whether loopback and private addresses may stand behind the name.
    pub private: bool,
    /// A name in the daemon's secrets.
    pub credential: Option<String>,
    /// Where the fate of an idempotency key can be asked.
    pub receipts: Option<PathPattern>,
    /// Whether it honours `Idempotency-Key`, so that the same call may be sent again.
    pub idempotent: bool,
}

/// What may be asked of which endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub endpoints: BTreeSet<String>,
    pub methods: BTreeSet<Method>,
    pub paths: Vec<PathPattern>,
    /// Names of query parameters; none unless written down.
    pub query: BTreeSet<String>,
    pub undo: Undo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

/// How a change made under a rule is taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// There is no way the operator vouches for.
    #[default]
    None,
    /// GET of the same path before a PUT or PATCH; PUT of what was read puts it back.
    PutBack,
    /// The operator states that the deed leaves nothing to put back: a restart.
    NotNeeded,
}

impl Undo {
    /// Whether a call of `method` under this rule has a way back.
    pub fn covers(self, method: Method) -> bool {
        match self {
            Self::None => false,
            Self::PutBack => self.puts_back(method),
            Self::NotNeeded => true,
        }
    }
    pub fn puts_back(self, method: Method) -> bool {
        self == Self::PutBack && matches!(method, Method::Put | Method::Patch)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndpointSpec {
    base: String,
    #[serde(default)]
    private: bool,
    credential: Option<String>,
    receipts: Option<PathPattern>,
    #[serde(default)]
    idempotent: bool,
    methods: BTreeSet<Method>,
    paths: Vec<PathPattern>,
    #[serde(default)]
    query: BTreeSet<String>,
    #[serde(default)]
    undo: Undo,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AllowSpec {
    pub endpoints: BTreeSet<String>,
    methods: BTreeSet<Method>,
    paths: Vec<PathPattern>,
    #[serde(default)]
    query: BTreeSet<String>,
    #[serde(default)]
    undo: Undo,
}

impl AddressSpec {
    pub fn check(self) -> Result<Address, String> {
        let base = Url::parse(&self.base).map_err(|error| format!("base `{}`: {error}", self.base))?;
        let plain = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
        if !plain || !base.username().is_empty() || base.password().is_some() {
            return Err(format!("base `{}` must be scheme, host and port alone", self.base));
        }
        match base.scheme() {
            "https" => {}
            "http" if self.private || self.credential.is_none() => {}
            "http" => {
                return Err("a credential goes over http only to a `private` endpoint; use https".to_owned());
            }
            scheme => return Err(format!("scheme `{scheme}` is neither http nor https")),
        }
        if base.host_str().is_none_or(str::is_empty) {
            return Err(format!("base `{}` names no host", self.base));
        }
        if self.receipts.as_ref().is_some_and(|receipts| receipts.wildcards() != 1) {
            return Err("receipts must have exactly one wildcard, for the key".to_owned());
        }
        Ok(Address {
            base,
            private: self.private,
            credential: self.credential,
            receipts: self.receipts,
            idempotent: self.idempotent,
        })
    }
}

impl EndpointSpec {
    pub fn check(self, name: &str) -> Result<(Address, Rule), String> {
        let Self { base, private, credential, receipts, idempotent, methods, paths, query, undo } = self;
        let address = AddressSpec { base, private, credential, receipts, idempotent }.check()?;
        let endpoints = BTreeSet::from([name.to_owned()]);
        Ok((address, AllowSpec { endpoints, methods, paths, query, undo }.check()?))
    }
}

impl AllowSpec {
    pub fn check(self) -> Result<Rule, String> {
        let Self { endpoints, methods, paths, query, undo } = self;
        for (what, empty) in [
            ("endpoints", endpoints.is_empty()),
            ("methods", methods.is_empty()),
            ("paths", paths.is_empty()),
        ] {
            if empty {
                return Err(format!("`{what}` is empty, so the rule allows nothing"));
            }
        }
        let reads_back = methods.contains(&Method::Get) && methods.contains(&Method::Put);
        if undo == Undo::PutBack && !reads_back {
            return Err(
                "undo = \"put-back\" needs GET to read what is there and PUT to put it back".to_owned()
            );
        }
        Ok(Rule { endpoints, methods, paths, query, undo })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, String> {
        toml::from_str::<AddressSpec>(text).map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn an_address_is_scheme_host_and_port_alone() {
        assert!(address("base = \"https://flags.internal\"").is_ok());
        assert!(address("base = \"http://127.0.0.1:8080\"\nprivate = true\ncredential = \"x\"").is_ok());
        for (text, word) in [
            ("base = \"https://flags.internal/v1\"", "alone"),
            ("base = \"https://user:pw@flags.internal\"", "alone"),
            ("base = \"https://flags.internal?x=1\"", "alone"),
            ("base = \"ftp://flags.internal\"", "scheme"),
            ("base = \"flags.internal\"", "base"),
            ("base = \"http://flags.example\"\ncredential = \"token\"", "https"),
            ("base = \"https://a\"\nreceipts = \"/ops\"", "wildcard"),
            ("base = \"https://a\"\ntimeout = 3", "timeout"),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn put_back_without_get_and_put_is_refused() {
        let rule = |methods: &str| {
            let text =
                format!("endpoints = [\"a\"]\nmethods = [{methods}]\npaths = [\"/x\"]\nundo = \"put-back\"");
            toml::from_str::<AllowSpec>(&text).unwrap().check()
        };
        assert!(rule("\"GET\", \"PUT\"").is_ok());
        assert!(rule("\"PUT\"").unwrap_err().contains("put-back"));
        assert!(rule("\"GET\", \"PATCH\"").is_err());
    }
}
