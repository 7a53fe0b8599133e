//! The host functions of the contract, one module a capability.
//!
//! Each begins with [`Session::admit`](crate::session::Session::admit); none decides by itself.

mod ambient;
mod change;
mod http;
mod kubernetes;
mod logs;
mod metrics;
mod probe;

pub use change::http_target;

use crate::contract::{host, tool};
use crate::session::Session;

impl host::types::Host for Session {}
impl tool::Host for Session {}

/// Goes on with an inner `Ok`, or answers the guest with the inner error.
macro_rules! or_answer {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}
pub(crate) use or_answer;
