//! Who asks, and what that role may.
//!
//! Owns the table of credentials and the one comparison against it. A principal is made here and nowhere else, from the
//! credential alone; nothing in a request's body can name one. Never stores or prints a token: only its SHA-256.

use super::problem::{Problem, ProblemKind};
use base64::Engine as _;
use medic_core::Principal;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;

/// Bytes of an `Authorization` header that are looked at. 4 KiB: any token people use, and no work for an attacker.
const HEADER_BYTES_MAX: usize = 4 * 1024;
/// Characters of a token's name.
const NAME_CHARS_MAX: usize = 64;

/// Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Opens and escalates incidents, delivers alerts, runs tools that read, proposes changes.
    Responder,
    /// Approves and rejects.
    Approver,
    /// Changes what Medic knows.
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One bearer token.
#[derive(Clone)]
pub struct TokenEntry {
    /// The principal is `token:<name>`; one name is one person.
    pub name: String,
    pub role: Role,
    /// Of the token's bytes.
    pub sha256: [u8; 32],
}

impl TokenEntry {
    pub fn new(name: impl Into<String>, role: Role, token: &str) -> Self {
        Self { name: name.into(), role, sha256: Sha256::digest(token.as_bytes()).into() }
    }
}

impl fmt::Debug for TokenEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenEntry {{ name: {:?}, role: {}, sha256: [redacted] }}", self.name, self.role)
    }
}

#[derive(Clone, Debug, Default)]
pub struct AuthTable {
    pub tokens: Vec<TokenEntry>,
    /// Who a request without any credential is. Only for listeners on loopback.
    pub anonymous: Option<(Principal, Role)>,
}

/// Whoever may act, as its credential says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub principal: Principal,
    pub role: Role,
    /// No credential was shown: the request came to a loopback listener without tokens.
    pub anonymous: bool,
}

impl Caller {
    /// # Errors
    /// `ROLE_TOO_LOW`.
    pub fn needs(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let message = format!("{} is {}, this needs {role}", self.principal, self.role);
        Err(Problem::new(ProblemKind::Forbidden, "ROLE_TOO_LOW", message))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthTableError {
    #[error(
        "token name {0:?} is empty, too long or holds something else than letters, digits, '.', '_', '-', '@'"
    )]
    Name(String),
    #[error("two tokens are named {0:?}")]
    NameTwice(String),
    #[error("tokens {0:?} and {1:?} are the same: one credential would speak for two people")]
    TokenTwice(String, String),
    #[error("token {0:?} is empty")]
    Empty(String),
    #[error("neither a token nor an anonymous principal: nobody could ask anything")]
    Nobody,
}

impl AuthTable {
    /// The table of a loopback listener without tokens: everyone on this machine is the operator.
    pub fn local_operator() -> Self {
        Self { tokens: Vec::new(), anonymous: Some((Principal::new("local:operator"), Role::Admin)) }
    }

    /// Whether names and credentials tell people apart. Two approvals by two principals mean two people only then.
    pub fn check(&self) -> Result<(), AuthTableError> {
        let mut names = BTreeSet::new();
        let nothing: [u8; 32] = Sha256::digest(b"").into();
        for (index, token) in self.tokens.iter().enumerate() {
            let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
            if token.name.is_empty() || token.name.len() > NAME_CHARS_MAX || !token.name.chars().all(sound) {
                return Err(AuthTableError::Name(token.name.clone()));
            }
            if token.sha256 == nothing {
                return Err(AuthTableError::Empty(token.name.clone()));
            }
            if !names.insert(&token.name) {
                return Err(AuthTableError::NameTwice(token.name.clone()));
            }
            if let Some(other) = self.tokens.iter().take(index).find(|other| other.sha256 == token.sha256) {
                return Err(AuthTableError::TokenTwice(other.name.clone(), token.name.clone()));
            }
        }
        if self.tokens.is_empty() && self.anonymous.is_none() {
            return Err(AuthTableError::Nobody);
        }
        Ok(())
    }

    /// `header`: the `Authorization` header. A credential that is shown and wrong is never taken for none.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, without a word on what was wrong.
    pub fn authenticate(&self, header: Option<&[u8]>) -> Result<Caller, Problem> {
        let Some(header) = header else {
            let (principal, role) = self.anonymous.clone().ok_or_else(unauthenticated)?;
            return Ok(Caller { principal, role, anonymous: true });
        };
        let token = credential(header).ok_or_else(unauthenticated)?;
        let shown: [u8; 32] = Sha256::digest(&token).into();
        // Every entry is compared, whole: the time taken tells nothing of how near a guess came.
        let mut found = None;
        for entry in &self.tokens {
            let difference = entry.sha256.iter().zip(&shown).fold(0u8, |sum, (a, b)| sum | (a ^ b));
            if std::hint::black_box(difference) == 0 {
                found = Some(entry);
            }
        }
        let entry = found.ok_or_else(unauthenticated)?;
        Ok(Caller {
            principal: Principal::new(format!("token:{}", entry.name)),
            role: entry.role,
            anonymous: false,
        })
    }
}

fn unauthenticated() -> Problem {
    Problem::new(ProblemKind::Unauthenticated, "UNAUTHENTICATED", "a valid bearer token is needed")
}

/// The token of `Bearer <token>`, or the password of `Basic <base64>`, as Alertmanager's http_config can send.
fn credential(header: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(header.get(..HEADER_BYTES_MAX.min(header.len()))?).ok()?;
    let (scheme, rest) = text.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| rest.as_bytes().to_vec());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        return pair.get(colon + 1..).filter(|password| !password.is_empty()).map(<[u8]>::to_vec);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> AuthTable {
        AuthTable {
            tokens: vec![
                TokenEntry::new("alice", Role::Approver, "a-secret"),
                TokenEntry::new("alertmanager", Role::Responder, "hook"),
            ],
            anonymous: None,
        }
    }
    fn basic(pair: &str) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }

    #[test]
    fn principal_and_role_come_from_the_credential() {
        let alice = table().authenticate(Some(b"Bearer a-secret")).unwrap();
        assert_eq!((alice.principal.as_str(), alice.role), ("token:alice", Role::Approver));
        // The user name of basic auth names nobody.
        let hook = table().authenticate(Some(basic("alice:hook").as_bytes())).unwrap();
        assert_eq!((hook.principal.as_str(), hook.role), ("token:alertmanager", Role::Responder));
        assert!(table().authenticate(Some(b"bearer   hook")).is_ok());
    }

    #[test]
    fn anything_else_is_nobody() {
        let colonless = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("hook"));
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Bearer a-secre",
            "Bearer a-secret2",
            "a-secret",
            "Basic !!!",
            &colonless,
            &basic("hook:"),
            &basic("hook:wrong"),
            "Digest a-secret",
        ] {
            let problem = table().authenticate(Some(header.as_bytes())).unwrap_err();
            assert_eq!(problem.kind, ProblemKind::Unauthenticated, "{header:?}");
            assert!(!problem.message.contains("secret"), "{header:?}");
        }
        table().authenticate(None).unwrap_err();
        table().authenticate(Some(&[b'a'; 100_000])).unwrap_err();
        table().authenticate(Some(&[0xff, 0xfe])).unwrap_err();
    }

    #[test]
    fn wrong_credential_is_not_taken_for_none() {
        let open = AuthTable { anonymous: AuthTable::local_operator().anonymous, ..table() };
        assert_eq!(open.authenticate(None).unwrap().principal.as_str(), "local:operator");
        open.authenticate(Some(b"Bearer wrong")).unwrap_err();
    }

    #[test]
    fn roles_are_ordered_and_a_lower_one_is_refused_by_name() {
        let caller = Caller { principal: "token:bob".into(), role: Role::Responder, anonymous: false };
        caller.needs(Role::Viewer).unwrap();
        caller.needs(Role::Responder).unwrap();
        let problem = caller.needs(Role::Approver).unwrap_err();
        assert_eq!(problem.code, "ROLE_TOO_LOW");
        assert_eq!(problem.message, "token:bob is responder, this needs approver");
    }

    #[test]
    fn one_credential_never_speaks_for_two_people() {
        let check = |tokens: Vec<TokenEntry>| AuthTable { tokens, anonymous: None }.check();
        assert!(table().check().is_ok());
        let twice =
            vec![TokenEntry::new("a", Role::Approver, "x"), TokenEntry::new("b", Role::Approver, "x")];
        assert_eq!(check(twice), Err(AuthTableError::TokenTwice("a".into(), "b".into())));
        let named = vec![TokenEntry::new("a", Role::Approver, "x"), TokenEntry::new("a", Role::Viewer, "y")];
        assert_eq!(check(named), Err(AuthTableError::NameTwice("a".into())));
        assert_eq!(
            check(vec![TokenEntry::new("a", Role::Viewer, "")]),
            Err(AuthTableError::Empty("a".into()))
        );
        let spoof = vec![TokenEntry::new("a\nagent:medic", Role::Viewer, "x")];
        assert!(matches!(check(spoof), Err(AuthTableError::Name(_))));
        assert_eq!(check(Vec::new()), Err(AuthTableError::Nobody));
    }

    #[test]
    fn debug_prints_no_digest() {
        let printed = format!("{:?}", table());
        assert_eq!(printed.matches("[redacted]").count(), 2, "{printed}");
    }
}
