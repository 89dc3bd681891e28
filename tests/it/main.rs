//! The integration tests: one binary.

mod postgres_server;
mod store_contract;
