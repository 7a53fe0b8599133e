//! Who vouches for a component: detached Ed25519 signatures over its digest.
//!
//! A signature stands beside the component as `<plugin>.wasm.sig`, one JSON line of the public key and the signature, in
//! hex, over these bytes:
//!
//! ```text
//! medic-plugin-v1 LF  sha256:<64 hex digits of the component> LF
//! ```
//!
//! Owns the making and checking of signatures and the operator's policy about them. Never decides what a plugin may do:
//! a signature says who built it, the grant says what it may. Key files are those of the audit anchors: 64 hex digits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use medic_core::{Digest, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::load::LoadError;

/// How far ahead an override may reach. 30 days: an unsigned plugin is an exception with an end, not a state.
const OVERRIDE_MS_MAX: u64 = 30 * 24 * 3600 * 1000;

/// What stands in a `.sig` file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detached {
    key: String,
    signature: String,
}

/// The keys of `[trust.NAME]`. As soon as there is one, every plugin must be signed by one of them.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: BTreeMap<String, VerifyingKey>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSpec {
    /// 64 hex digits: the content of a `.pub` file of `medic plugin keygen`.
    key: String,
}

/// What a plugin's grant says about signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignaturePolicy {
    /// Names of trusted keys of which one must have signed; empty: any trusted key.
    pub signers: BTreeSet<String>,
    pub unsigned: Option<Override>,
}

/// The operator's word that certain bytes run unsigned for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub digest: Digest,
    pub until: TimestampMs,
    pub reason: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideSpec {
    digest: String,
    /// RFC 3339, as TOML writes it or in quotes.
    until: toml::Value,
    reason: String,
}

/// What is known of who built a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provenance {
    Signed {
        /// As the grant file names the key.
        name: String,
        key: String,
    },
    /// The operator lets exactly these bytes run until then.
    Overridden(Override),
    /// The grant file trusts no key, so that the digest in the grant alone is what vouches.
    DigestAlone,
}

impl Provenance {
    /// The public key, in hex, when it is signed.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Signed { key, .. } => Some(key),
            Self::Overridden(_) | Self::DigestAlone => None,
        }
    }
}

impl std::fmt::Display for Provenance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed { name, .. } => write!(f, "signed by {name}"),
            Self::Overridden(word) => write!(f, "UNSIGNED until {}: {}", when(word.until), word.reason),
            Self::DigestAlone => f.write_str("not signed; the grant's digest pins it"),
        }
    }
}

impl Trust {
    /// # Errors
    /// Which key is none.
    pub fn parse(specs: &BTreeMap<String, TrustSpec>) -> Result<Self, String> {
        let mut keys = BTreeMap::new();
        for (name, spec) in specs {
            let key = unhex::<32>(&spec.key).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
            let key = key.ok_or_else(|| {
                format!("trust.{name}: key is no Ed25519 public key in 64 hex digits; it is the content of the .pub file")
            })?;
            keys.insert(name.clone(), key);
        }
        Ok(Self { keys })
    }

    pub fn knows(&self, name: &str) -> bool {
        self.keys.contains_key(name)
    }

    /// Whether signatures are demanded at all.
    pub fn demands(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Judges bytes that were let run before. `key`: what had signed them then, checked at that time; it may have lost
    /// its trust since.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn judge_kept(
        &self,
        digest: &Digest,
        key: Option<&str>,
        policy: &SignaturePolicy,
        now: TimestampMs,
    ) -> Result<Provenance, LoadError> {
        let signer = key.and_then(|key| {
            let (name, _) = self.allowed(policy).find(|(_, trusted)| hex(trusted.as_bytes()) == key)?;
            Some(Provenance::Signed { name: name.clone(), key: key.to_owned() })
        });
        match signer {
            Some(provenance) => Ok(provenance),
            None => self.judge(digest, None, policy, now),
        }
    }

    fn allowed<'a>(
        &'a self,
        policy: &'a SignaturePolicy,
    ) -> impl Iterator<Item = (&'a String, &'a VerifyingKey)> {
        self.keys.iter().filter(|(name, _)| policy.signers.is_empty() || policy.signers.contains(*name))
    }

    /// Judges a component. `detached`: the content of its `.sig` file.
    ///
    /// # Errors
    /// `SIGNATURE_MISSING`, `SIGNATURE_INVALID`, `SIGNATURE_UNTRUSTED`, `SIGNATURE_OVERRIDE`.
    pub fn judge(
        &self,
        digest: &Digest,
        detached: Option<&str>,
        policy: &SignaturePolicy,
        now: TimestampMs,
    ) -> Result<Provenance, LoadError> {
        if !self.demands() {
            return Ok(Provenance::DigestAlone);
        }
        let signed = match detached {
            Some(detached) => self.verify(digest, detached, policy),
            None => Err(LoadError::new(
                "SIGNATURE_MISSING",
                "the grant file trusts signing keys, and there is no .sig file beside it; sign it with `medic plugin sign`",
            )),
        };
        let refused = match signed {
            Ok(provenance) => return Ok(provenance),
            Err(refused) => refused,
        };
        match &policy.unsigned {
            Some(word) if word.digest == *digest => match refuse_override(word, now) {
                Some(why) => Err(LoadError::new("SIGNATURE_OVERRIDE", why)),
                None => Ok(Provenance::Overridden(word.clone())),
            },
            // The word was for other bytes.
            Some(_) | None => Err(refused),
        }
    }

    fn verify(
        &self,
        digest: &Digest,
        detached: &str,
        policy: &SignaturePolicy,
    ) -> Result<Provenance, LoadError> {
        let invalid = |why: &str| {
            LoadError::new(
                "SIGNATURE_INVALID",
                format!("its .sig file {why}; sign exactly these bytes with `medic plugin sign`"),
            )
        };
        let Ok(Detached { key, signature }) = serde_json::from_str(detached.trim()) else {
            return Err(invalid("is no signature"));
        };
        let signature =
            unhex::<64>(&signature).ok_or_else(|| invalid("holds no signature of 128 hex digits"))?;
        let Some((name, trusted)) = self.allowed(policy).find(|(_, trusted)| hex(trusted.as_bytes()) == key)
        else {
            let names: Vec<&str> = self.allowed(policy).map(|(name, _)| name.as_str()).collect();
            return Err(LoadError::new(
                "SIGNATURE_UNTRUSTED",
                format!(
                    "it is signed by key {}, which is not among those trusted for it ({})",
                    crate::text::line(&key, 64),
                    names.join(", ")
                ),
            ));
        };
        trusted
            .verify_strict(&signed_bytes(digest), &ed25519_dalek::Signature::from_bytes(&signature))
            .map_err(|_| invalid("does not hold for these bytes"))?;
        Ok(Provenance::Signed { name: name.clone(), key })
    }
}

fn refuse_override(word: &Override, now: TimestampMs) -> Option<String> {
    if now >= word.until {
        return Some(format!(
            "its permission to run unsigned ended {}; have it signed, or renew `unsigned.until` in its grant",
            when(word.until)
        ));
    }
    (word.until.since_ms(now) > OVERRIDE_MS_MAX).then(|| {
        format!(
            "its permission to run unsigned reaches to {}, and 30 days ahead is the most; bring `unsigned.until` nearer",
            when(word.until)
        )
    })
}

impl OverrideSpec {
    /// # Errors
    /// The key that is not right.
    pub fn check(self) -> Result<Override, String> {
        let digest =
            Digest::parse(&self.digest).ok_or("unsigned.digest is not \"sha256:\" and 64 hex digits")?;
        let text = match &self.until {
            toml::Value::Datetime(at) => at.to_string(),
            toml::Value::String(text) => text.clone(),
            other => return Err(format!("unsigned.until is no point in time: {other}")),
        };
        let until: jiff::Timestamp = text.parse().map_err(|_| {
            format!("unsigned.until `{text}` is no point in time such as 2026-12-01T00:00:00Z")
        })?;
        let until = u64::try_from(until.as_millisecond()).map_err(|_| "unsigned.until is before 1970")?;
        if self.reason.trim().is_empty() {
            return Err("unsigned.reason is empty: whoever reads the log wants to know".to_owned());
        }
        Ok(Override { digest, until: TimestampMs(until), reason: crate::text::line(&self.reason, 256) })
    }
}

/// Signs a component's digest; what is answered is the content of its `.sig` file.
pub fn sign(digest: &Digest, key: &SigningKey) -> String {
    let detached = Detached {
        key: hex(key.verifying_key().as_bytes()),
        signature: hex(&key.sign(&signed_bytes(digest)).to_bytes()),
    };
    // Two strings: it always serialises.
    serde_json::to_string(&detached).unwrap_or_default() + "\n"
}

/// Holds a `.sig` file against a component's digest and keys given by hand.
///
/// # Errors
/// `SIGNATURE_INVALID`, `SIGNATURE_UNTRUSTED`.
pub fn verify(
    digest: &Digest,
    detached: &str,
    trusted: &BTreeMap<String, VerifyingKey>,
) -> Result<String, LoadError> {
    let trust = Trust { keys: trusted.clone() };
    match trust.verify(digest, detached, &SignaturePolicy::default())? {
        Provenance::Signed { name, .. } => Ok(name),
        Provenance::Overridden(_) | Provenance::DigestAlone => Ok(String::new()),
    }
}

/// Where a component's signature stands.
pub fn beside(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

fn signed_bytes(digest: &Digest) -> Vec<u8> {
    format!("medic-plugin-v1\n{digest}\n").into_bytes()
}

fn when(at: TimestampMs) -> String {
    let at = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn trust(names: &[(&str, u8)]) -> Trust {
        let specs = names
            .iter()
            .map(|(name, seed)| {
                ((*name).to_owned(), TrustSpec { key: hex(key(*seed).verifying_key().as_bytes()) })
            })
            .collect();
        Trust::parse(&specs).unwrap()
    }

    #[test]
    fn only_a_trusted_key_over_exactly_these_bytes_counts() {
        let (digest, other) = (Digest::of_bytes(b"a"), Digest::of_bytes(b"b"));
        let (trust, any) = (trust(&[("release", 1), ("lab", 2)]), SignaturePolicy::default());
        let signed = sign(&digest, &key(1));
        let code = |detached: Option<&str>, digest: &Digest, policy: &SignaturePolicy| {
            trust.judge(digest, detached, policy, NOW).map_or_else(|error| error.code, |_| "ok")
        };
        assert_eq!(trust.judge(&digest, Some(&signed), &any, NOW).unwrap().to_string(), "signed by release");
        assert_eq!(code(None, &digest, &any), "SIGNATURE_MISSING");
        assert_eq!(code(Some(&signed), &other, &any), "SIGNATURE_INVALID");
        assert_eq!(code(Some(&sign(&digest, &key(3))), &digest, &any), "SIGNATURE_UNTRUSTED");
        assert_eq!(code(Some("{}"), &digest, &any), "SIGNATURE_INVALID");
        let only_lab = SignaturePolicy { signers: BTreeSet::from(["lab".to_owned()]), unsigned: None };
        assert_eq!(
            code(Some(&signed), &digest, &only_lab),
            "SIGNATURE_UNTRUSTED",
            "trusted, and not for this one"
        );
        // The name of a trusted key over another's signature.
        let forged = sign(&digest, &key(3))
            .replace(&hex(key(3).verifying_key().as_bytes()), &hex(key(1).verifying_key().as_bytes()));
        assert_eq!(code(Some(&forged), &digest, &any), "SIGNATURE_INVALID");
        assert_eq!(Trust::default().judge(&digest, None, &any, NOW), Ok(Provenance::DigestAlone));
    }

    #[test]
    fn unsigned_bytes_run_only_by_name_and_for_a_while() {
        let (digest, trust) = (Digest::of_bytes(b"a"), trust(&[("release", 1)]));
        let word = |digest: &Digest, until: TimestampMs| SignaturePolicy {
            signers: BTreeSet::new(),
            unsigned: Some(Override {
                digest: digest.clone(),
                until,
                reason: "the key is on its way".into(),
            }),
        };
        let code = |policy: SignaturePolicy| {
            trust.judge(&digest, None, &policy, NOW).map_or_else(|error| error.code, |_| "ok")
        };
        assert_eq!(code(word(&digest, NOW.after_ms(1))), "ok");
        assert_eq!(code(word(&digest, NOW)), "SIGNATURE_OVERRIDE", "it has ended");
        assert_eq!(
            code(word(&digest, NOW.after_ms(OVERRIDE_MS_MAX + 1))),
            "SIGNATURE_OVERRIDE",
            "no end in sight"
        );
        assert_eq!(
            code(word(&Digest::of_bytes(b"b"), NOW.after_ms(1))),
            "SIGNATURE_MISSING",
            "for other bytes"
        );
    }

    #[test]
    fn an_override_says_until_when_and_why() {
        let digest = Digest::of_bytes(b"a");
        let parse = |until: &str, reason: &str| {
            let text = format!("digest = \"{digest}\"\nuntil = {until}\nreason = \"{reason}\"");
            toml::from_str::<OverrideSpec>(&text).unwrap().check()
        };
        let at = |text: &str| parse(text, "x").unwrap().until;
        assert_eq!(at("2026-12-01T00:00:00Z"), at("\"2026-12-01T01:00:00+01:00\""));
        assert!(parse("\"tomorrow\"", "x").is_err() && parse("12", "x").is_err());
        assert!(parse("2026-12-01T00:00:00Z", " ").unwrap_err().contains("reason"));
    }
}
