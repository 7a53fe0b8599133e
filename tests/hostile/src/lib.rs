//! Guests that lie, grab and spin, each with the verdict it gets. Everything is in the tests; this crate gives nothing.
