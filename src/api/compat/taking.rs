//! Taking: the socket on which orders are posted.
//!
//! A message is an order, in the words of the one dialect that did so; its frames come back on the same socket. Every
//! message is a request: its key is asked for again and counted. Owns the bound on orders that one socket follows. The
//! socket stays open after a refusal and after an order's end.

use axum::extract::ws::Utf8Bytes;
use futures_util::future::select_all;
use serde_json::json;
use tokio::time::timeout;

use super::{Fields, live::Telling, percent::Percent};
use crate::api::{
    ApiError, ApiState, Caller,
    socket::{Source, Step},
};

/// Orders of one socket that have not ended yet.
const MOST_ORDERS: usize = 64;

/// A socket's orders.
pub struct Taking {
    state: ApiState,
    caller: Caller,
    orders: Vec<Telling>,
}

impl Taking {
    /// A socket without orders so far.
    pub fn new(state: ApiState, caller: Caller) -> Self {
        Self { state, caller, orders: Vec::new() }
    }

    async fn take(&mut self, text: &str) -> Result<(), String> {
        // Asked with every message: a socket must not outlive its key, nor be a way around the bounds on requests.
        self.state.keys().again(&self.caller).map_err(sentence)?;
        let _room = self.state.request_room().map_err(sentence)?;
        let fields = Fields::read(text.as_bytes()).map_err(|_| "Invalid JSON")?;
        self.orders.retain(|order| !order.is_over());
        if self.orders.len() >= MOST_ORDERS {
            return Err(format!("{MOST_ORDERS} orders of this socket have not ended: wait, or open another one"));
        }
        let submitted = timeout(
            self.state.options().request_timeout,
            super::submit(&self.state, &self.caller, &Percent, &fields, None),
        );
        let accepted = submitted.await.unwrap_or_else(|_| Err(ApiError::timed_out())).map_err(sentence)?;
        self.orders.push(Telling::start(self.state.clone(), accepted.order, &Percent).await);
        Ok(())
    }
}

/// What a client of the one dialect is told of a refusal.
fn sentence(error: ApiError) -> String {
    tracing::debug!(code = error.code().as_str(), error = error.chain(), "order over a socket refused");
    error.message().to_owned()
}

impl Source for Taking {
    async fn next(&mut self) -> Step {
        self.orders.retain(|order| !order.is_over());
        if self.orders.is_empty() {
            return std::future::pending().await;
        }
        let (step, ..) = select_all(self.orders.iter_mut().map(|order| Box::pin(order.next()))).await;
        step
    }

    async fn hear(&mut self, text: &str) -> Option<Utf8Bytes> {
        let error = self.take(text).await.err()?;
        Some(json!({ "error": error }).to_string().into())
    }
}
