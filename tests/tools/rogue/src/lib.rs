//! Guests that ask for whatever their arguments say, one a category, under `examples/`.
//!
//! They check nothing on purpose: what stops them is the host, and the tests look that it does.

use medic_sdk::prelude::*;

/// An object as an argument names it, unchecked.
pub fn object(
    cluster: &str,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
) -> ResourceRef {
    medic_sdk::kubernetes::resource(cluster, api_version, kind, namespace, name)
}
