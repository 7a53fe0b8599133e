//! The knowledge base from outside: one binary, a file a story.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

mod corpus;
mod durability;
mod history;
mod house;
mod kinds;
mod openai;
mod qdrant;
mod qdrant_server;
mod search;
mod wikis;
