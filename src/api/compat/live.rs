//! Live: the older engines' WebSockets that tell an order.
//!
//! Every socket is told the order's whole story from its first frame, whenever it connects, in the order's own
//! dialect. Owns the wait for the amounts of a landed swap and the close after the last frame. No heartbeat frames:
//! those clients take every frame for a status.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    pair::{self, Pair},
    plain::Plain,
    story::{Moment, Story},
    taking::Taking,
    typed::{self, Typed},
    words::{self, Words},
};
use crate::{
    api::{
        ApiError, ApiState, Caller,
        body::Params,
        feed::Frame,
        follow::{Follow, Lost},
        orders::find,
        socket::{self, NORMAL, POLICY, Source, Step, TRY_AGAIN, Upgrade},
        stream::farewell,
    },
    domain::{ErrorCode, Order, OrderId},
};

/// How long after the last frame a socket is closed, in the dialect that closes it.
const CLOSE_AFTER: Duration = Duration::from_millis(150);

/// What those sockets are opened with. Whatever else their clients put there is ignored.
#[derive(Debug, Deserialize)]
pub struct SocketParams {
    #[serde(rename = "orderId")]
    order_id: Option<String>,
}

/// `/ws?orderId=`.
pub async fn ws(
    State(state): State<ApiState>,
    Params(params): Params<SocketParams>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let Some(text) = params.order_id.filter(|text| !text.is_empty()) else {
        return refuse(&state, upgrade, None, "orderId is required");
    };
    match lookup(&state, &text).await? {
        Some(order) => tell(&state, upgrade, order, &Plain),
        None => refuse(&state, upgrade, None, "order not found"),
    }
}

/// `/api/orders/execute`: with `?orderId=` it tells that order, without it takes orders. Without an upgrade it is a GET
/// that makes no sense.
pub async fn execute(
    State(state): State<ApiState>,
    caller: Caller,
    Params(params): Params<SocketParams>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    if upgrade.is_err() {
        return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": "Use POST or WebSocket" }))).into_response());
    }
    match params.order_id.as_deref() {
        None => {
            let taking = Taking::new(state.clone(), caller);
            socket::open(&state, upgrade, async move { taking })
        }
        Some("") => refuse(&state, upgrade, Some(typed::no_order(None, "orderId missing")), "orderId missing"),
        Some(text) => match lookup(&state, text).await? {
            Some(order) => tell(&state, upgrade, order, &Typed),
            None => refuse(&state, upgrade, Some(typed::no_order(Some(text), "order not found")), "order not found"),
        },
    }
}

/// `/ws/orders/{id}`.
pub async fn ws_order(
    State(state): State<ApiState>,
    path: Result<Path<String>, PathRejection>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    // What is no text names no order either.
    let text = path.map_or_else(|_| String::new(), |Path(text)| text);
    match lookup(&state, &text).await? {
        Some(order) => tell(&state, upgrade, order, &Pair),
        None => refuse(&state, upgrade, Some(pair::connected(&text)), "order not found"),
    }
}

/// `/ws/ping`: says `pong` and stays open.
pub async fn ws_ping(State(state): State<ApiState>, upgrade: Upgrade) -> Result<Response, ApiError> {
    let pong = Step::Frame { text: "pong".into(), cursor: None };
    socket::open(&state, upgrade, async move { Said(VecDeque::from([pong])) })
}

async fn lookup(state: &ApiState, text: &str) -> Result<Option<Order>, ApiError> {
    let Ok(id) = text.parse::<OrderId>() else { return Ok(None) };
    match find(state, id).await {
        Ok(order) => Ok(Some(order)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the socket only to say why it is closed: those clients look at frames and close codes, not at statuses.
fn refuse(
    state: &ApiState,
    upgrade: Upgrade,
    frame: Option<Value>,
    reason: &'static str,
) -> Result<Response, ApiError> {
    let steps = frame.iter().map(say).chain([Step::Close { code: POLICY, reason: reason.into() }]).collect();
    socket::open(state, upgrade, async move { Said(steps) })
}

/// Steps that were decided beforehand.
struct Said(VecDeque<Step>);

impl Source for Said {
    async fn next(&mut self) -> Step {
        match self.0.pop_front() {
            Some(step) => step,
            None => std::future::pending().await,
        }
    }
}

/// Tells an order in its own words, or in those of the path when it is one of our own API.
fn tell(
    state: &ApiState,
    upgrade: Upgrade,
    order: Order,
    of_the_path: &'static dyn Words,
) -> Result<Response, ApiError> {
    let words = words::of(order.dialect).unwrap_or(of_the_path);
    let telling = Telling::start(state.clone(), order, words);
    socket::open(state, upgrade, telling)
}

/// An order being told.
pub struct Telling {
    follow: Follow,
    story: Story,
    words: &'static dyn Words,
    settle_wait: Duration,
    ready: VecDeque<Step>,
    /// When the wait for amounts, or for the close, is over.
    alarm: Option<Instant>,
}

impl Telling {
    /// Begins with the order's first event, whatever has happened since.
    pub async fn start(state: ApiState, order: Order, words: &'static dyn Words) -> Self {
        let follow = Follow::order(state.feed().clone(), state.store().clone(), order.id, 0).await;
        let story = Story::new(order);
        let ready = words.greeting(&story).iter().map(say).collect();
        Self { follow, story, words, settle_wait: state.options().settle_wait, ready, alarm: None }
    }

    /// Whether the last frame has been taken.
    pub fn is_over(&self) -> bool {
        self.story.has_ended() && self.ready.is_empty()
    }

    fn hear(&mut self, heard: Result<Arc<Frame>, Lost>) {
        match heard {
            Ok(frame) => match self.story.take(&frame.event) {
                Some(Moment::Landed) => self.alarm = Some(Instant::now() + self.settle_wait),
                Some(moment) => self.say(moment),
                None => {}
            },
            Err(lost) => self.ready.push_back(Step::Close { code: TRY_AGAIN, reason: farewell(&lost).into() }),
        }
    }

    fn say(&mut self, moment: Moment) {
        self.ready.extend(self.words.frames(&self.story, moment).iter().map(say));
        if self.story.has_ended() {
            self.alarm = self.words.ends_the_socket().then(|| Instant::now() + CLOSE_AFTER);
        }
    }

    fn ring(&mut self) {
        self.alarm = None;
        if self.story.has_ended() {
            self.ready.push_back(Step::Close { code: NORMAL, reason: "the order has ended".into() });
        } else {
            // What was moved is still being read: the quoted amounts have to do.
            let moment = self.story.confirm();
            self.say(moment);
        }
    }
}

impl Source for Telling {
    async fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return step;
            }
            let alarm = self.alarm;
            tokio::select! {
                heard = self.follow.next() => self.hear(heard),
                () = async { sleep_until(alarm.unwrap_or_else(Instant::now)).await }, if alarm.is_some() => self.ring(),
            }
        }
    }
}

fn say(frame: &Value) -> Step {
    Step::Frame { text: frame.to_string().into(), cursor: None }
}
