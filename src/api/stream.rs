//! Stream: `GET /v1/stream`, the events of one order, of some, or of all, over a WebSocket.
//!
//! Owns what a client may ask of the events, here and in `sse`. A frame is a stored event; its `cursor` is what a
//! client resumes with (`since`).

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::Deserialize;
use tokio::runtime::Handle;
use utoipa::IntoParams;

use super::{
    ApiError, ApiState,
    body::Params,
    feed::Frame,
    follow::{Filter, Follow, Lost},
    openapi::{
        refusals::Streaming,
        tag,
        words::{EventName, TokenName, WalletAddress},
    },
    orders::{self, statuses, symbol, wallet},
    socket::{self, Source, Step, TRY_AGAIN, Upgrade},
};
use crate::domain::{ErrorCode, Order, OrderEvent, OrderId, Rules, Status};

/// Orders that one stream may name.
const MOST_ORDERS: usize = 100;

/// What is wanted: one order, or what passes every filter that is given.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StreamParams {
    /// One order, from its first event on, whenever the stream is opened. Goes with no filter.
    #[param(value_type = OrderId, required = false)]
    order_id: Option<String>,
    /// Only these orders, comma-separated, at most 100.
    #[param(value_type = Vec<OrderId>, style = Form, explode = false, required = false, max_items = 100)]
    order_ids: Option<String>,
    /// Only events with these names, comma-separated.
    #[param(value_type = Vec<EventName>, style = Form, explode = false, required = false)]
    event: Option<String>,
    /// Only events that leave the order in one of these, comma-separated.
    #[param(value_type = Vec<Status>, style = Form, explode = false, required = false)]
    status: Option<String>,
    /// Only orders that pay this.
    #[param(value_type = TokenName, required = false)]
    token_in: Option<String>,
    /// Only orders that receive this.
    #[param(value_type = TokenName, required = false)]
    token_out: Option<String>,
    /// Only orders between these two, in either direction: `SOL-USDC`.
    #[param(value_type = String, required = false, example = "SOL-USDC")]
    pair: Option<String>,
    /// Only orders that this address pays. An order that named no wallet has none until it is routed.
    #[param(value_type = WalletAddress, required = false)]
    wallet: Option<String>,
    /// Only events after this cursor, stored ones first; 400 when it is ahead of the newest one. Left out: one order from
    /// its beginning, others from now on.
    #[param(value_type = u64, required = false)]
    since: Option<u64>,
    /// The API key, from clients that cannot set headers.
    #[serde(rename = "token")]
    #[param(value_type = String, required = false)]
    _token: Option<String>,
}

impl StreamParams {
    /// The cursor to resume after.
    pub(super) const fn since(&self) -> Option<u64> {
        self.since
    }

    /// Reads what is wanted.
    ///
    /// # Errors
    /// When it makes no sense, or names an order that does not exist.
    pub(super) async fn wanted(&self, state: &ApiState) -> Result<Wanted, ApiError> {
        let filter = self.filter(state.intake().rules())?;
        let Some(text) = &self.order_id else { return Ok(Wanted::Matching(filter)) };
        if !filter.is_empty() {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "`orderId` cannot be combined with a filter"));
        }
        let id: OrderId = text.parse().map_err(|_| ApiError::no_order())?;
        Ok(Wanted::Order(Box::new(orders::find(state, id).await?)))
    }

    fn filter(&self, rules: &Rules) -> Result<Filter, ApiError> {
        let pair = |text: &String| {
            let (a, b) = text.split_once('-').ok_or_else(|| {
                ApiError::new(ErrorCode::InvalidRequest, "`pair` must be two tokens with a `-` between: SOL-USDC")
            })?;
            let token = |name| symbol(rules, "pair", Some(name)).map(Option::unwrap_or_default);
            Ok::<_, ApiError>([token(a)?, token(b)?])
        };
        Ok(Filter {
            orders: order_ids(self.order_ids.as_deref())?,
            events: event_names(self.event.as_deref())?,
            statuses: statuses(self.status.as_deref())?,
            token_in: symbol(rules, "tokenIn", self.token_in.as_deref())?,
            token_out: symbol(rules, "tokenOut", self.token_out.as_deref())?,
            pair: self.pair.as_ref().map(pair).transpose()?,
            wallet: self.wallet.as_deref().map(wallet).transpose()?,
        })
    }
}

fn order_ids(text: Option<&str>) -> Result<Vec<OrderId>, ApiError> {
    let ids: Result<Vec<_>, _> = names(text).map(str::parse).collect();
    ids.ok().filter(|ids| ids.len() <= MOST_ORDERS).ok_or_else(|| {
        let message = format!("`orderIds` must be at most {MOST_ORDERS} order ids with commas between them");
        ApiError::new(ErrorCode::InvalidRequest, message)
    })
}

fn event_names(text: Option<&str>) -> Result<Vec<String>, ApiError> {
    let known = |name: &str| {
        OrderEvent::NAMES.contains(&name).then(|| name.to_owned()).ok_or_else(|| {
            ApiError::new(ErrorCode::InvalidRequest, format!("`event` must be of {}", OrderEvent::NAMES.join(", ")))
        })
    };
    names(text).map(known).collect()
}

fn names(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').filter(|name| !name.is_empty())
}

/// Refuses to resume after an event that never was: the stream would be silent until there are as many. A client holds
/// such a cursor when the store was replaced.
///
/// # Errors
/// When there is no event with this cursor yet, or the store cannot say.
pub(super) async fn resumable(state: &ApiState, since: Option<u64>) -> Result<(), ApiError> {
    let Some(since) = since.filter(|since| !state.feed().has_passed(*since)) else { return Ok(()) };
    // This process may only be slower than the one that told the client.
    let newest = state.store().cursor().await?;
    if since > newest {
        let message = format!("`since` is ahead of the newest event, whose cursor is {newest}");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// What a stream tells.
pub(super) enum Wanted {
    /// One order.
    Order(Box<Order>),
    /// Whatever passes.
    Matching(Filter),
}

impl Wanted {
    /// Follows it, after `since`.
    pub(super) async fn follow(self, state: ApiState, since: Option<u64>) -> Follow {
        let (feed, store) = (state.feed().clone(), state.store().clone());
        match self {
            Self::Order(order) => Follow::order(feed, store, order.id, since.unwrap_or(0)).await,
            Self::Matching(filter) => Follow::matching(feed, store, filter, since).await,
        }
    }
}

/// `GET /v1/stream`: events over a WebSocket, stored ones first, then live ones.
///
/// Each text frame is one event. A text `ping` is answered with `{"type":"pong"}`. A reader that is too slow is closed
/// with code 1013, a daemon that stops closes with 1001; both reasons say which `since` to resume with.
#[utoipa::path(
    get, path = "/v1/stream", operation_id = "streamWebSocket", tag = tag::STREAMS, params(StreamParams),
    responses((status = 101, description = "The WebSocket is open; its frames are events"), Streaming)
)]
pub async fn stream(
    State(state): State<ApiState>,
    Params(params): Params<StreamParams>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let wanted = params.wanted(&state).await?;
    resumable(&state, params.since()).await?;
    // Whoever follows an order waits for it; whoever hears of all of them is one of many.
    let runtime = match wanted {
        Wanted::Order(_) => Handle::current(),
        Wanted::Matching(_) => state.gallery().clone(),
    };
    let follow = wanted.follow(state.clone(), params.since());
    socket::open_on(&runtime, &state, upgrade, async move { Events(follow.await) })
}

struct Events(Follow);

impl Source for Events {
    async fn next(&mut self) -> Step {
        step(self.0.next().await)
    }

    fn start(&self) -> Option<u64> {
        Some(self.0.told())
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
