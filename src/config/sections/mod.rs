//! Sections: every key there is, with its default.

mod api;
mod chain;
mod engine;
mod orders;
mod state;
mod venues;
mod webhooks;

pub use self::{
    api::{Api, Metrics},
    chain::{Chain, Cluster, Limits, Localnet},
    engine::{Engine, Mode, Router, Simulate, Wallets},
    orders::{CapAmount, Caps, Control, Orders},
    state::{Events, Queue, Store},
    venues::{MeteoraMock, RaydiumCpmm, Token},
    webhooks::Webhooks,
};
