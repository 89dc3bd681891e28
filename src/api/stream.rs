//! Stream: `GET /v1/stream`, the events of one order, of some, or of all, over a WebSocket.
//!
//! Owns the words of that path. A frame is a stored event; its `cursor` is what a client resumes with (`since`).

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Deserialize;

use super::{
    ApiError, ApiState,
    body::Params,
    feed::Frame,
    follow::{Filter, Follow, Lost},
    orders::{self, statuses, symbol},
    socket::{self, Source, Step, TRY_AGAIN, Upgrade},
};
use crate::domain::{ErrorCode, OrderId};

/// What is wanted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StreamParams {
    order_id: Option<String>,
    status: Option<String>,
    token_in: Option<String>,
    token_out: Option<String>,
    since: Option<u64>,
    /// The key, read by `auth`.
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `GET /v1/stream`: stored events first (all of one order's, or those after `since`), then live ones.
pub async fn stream(
    State(state): State<ApiState>,
    Params(params): Params<StreamParams>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let rules = state.intake().rules();
    let filter = Filter {
        statuses: statuses(params.status.as_deref())?,
        token_in: symbol(rules, "tokenIn", params.token_in.as_deref())?,
        token_out: symbol(rules, "tokenOut", params.token_out.as_deref())?,
    };
    let (feed, store, since) = (state.feed().clone(), state.store().clone(), params.since);
    match params.order_id {
        Some(text) => {
            if !filter.is_empty() {
                return Err(ApiError::new(ErrorCode::InvalidRequest, "`orderId` cannot be combined with a filter"));
            }
            let id: OrderId = text.parse().map_err(|_| ApiError::no_order())?;
            orders::find(&state, id).await?;
            let follow = Follow::order(feed, store, id, since.unwrap_or(0));
            socket::open(&state, upgrade, async move { Events(follow.await) })
        }
        None => {
            let follow = Follow::matching(feed, store, filter, since);
            socket::open(&state, upgrade, async move { Events(follow.await) })
        }
    }
}

struct Events(Follow);

impl Source for Events {
    async fn next(&mut self) -> Step {
        step(self.0.next().await)
    }

    fn start(&self) -> Option<u64> {
        Some(self.0.seen())
    }
}

fn step(next: Result<Arc<Frame>, Lost>) -> Step {
    match next {
        Ok(frame) => Step::Frame { text: frame.text.clone(), cursor: Some(frame.event.cursor) },
        Err(lost) => Step::Close { code: TRY_AGAIN, reason: farewell(&lost).into() },
    }
}

/// What a client is told when its events end before their time.
pub fn farewell(lost: &Lost) -> &'static str {
    match lost {
        Lost::Behind => "too slow",
        Lost::Store(error) => {
            tracing::warn!(%error, "a socket is closed because its events cannot be read");
            "the events cannot be read now"
        }
        Lost::Closed => "the events have ended",
    }
}
