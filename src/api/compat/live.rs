//! Live: the older engines' WebSockets.
//!
//! Every socket is told the order's whole story from its first frame, whenever it connects, in the order's own
//! dialect. Owns the wait for the amounts of a landed swap and the close after the last frame. No heartbeat frames:
//! those clients take every frame for a status.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    s0, s3,
    story::{Moment, Story},
};
use crate::{
    api::{
        ApiError, ApiState,
        body::Params,
        feed::Frame,
        follow::{Follow, Lost},
        orders::find,
        socket::{self, NORMAL, POLICY, Source, Step, TRY_AGAIN, Upgrade},
        stream::farewell,
    },
    domain::{Dialect, Order, OrderId, Status},
};

/// How long after the last frame the S3 stream is closed.
const CLOSE_AFTER: Duration = Duration::from_millis(150);

/// What those sockets are opened with. Whatever else their clients put there is ignored.
#[derive(Debug, Deserialize)]
pub struct SocketParams {
    #[serde(rename = "orderId")]
    order_id: Option<String>,
}

/// `/ws?orderId=`: S0's socket. Stays open after the end.
pub async fn ws(
    State(state): State<ApiState>,
    Params(params): Params<SocketParams>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    let Some(text) = params.order_id.filter(|text| !text.is_empty()) else {
        return refuse(&state, upgrade, None, "orderId is required");
    };
    match lookup(&state, &text).await? {
        Some(order) => tell(&state, upgrade, order, Dialect::S0, AfterEnd::StayOpen),
        None => refuse(&state, upgrade, None, "order not found"),
    }
}

/// `/api/orders/execute?orderId=`: S3's socket. Without an upgrade it is a GET that makes no sense.
pub async fn execute(
    State(state): State<ApiState>,
    Params(params): Params<SocketParams>,
    upgrade: Upgrade,
) -> Result<Response, ApiError> {
    if upgrade.is_err() {
        return Ok((StatusCode::BAD_REQUEST, Json(json!({ "error": "Use POST or WebSocket" }))).into_response());
    }
    let Some(text) = params.order_id.filter(|text| !text.is_empty()) else {
        return refuse(&state, upgrade, Some(s3::no_order(None, "orderId missing")), "orderId missing");
    };
    match lookup(&state, &text).await? {
        Some(order) => tell(&state, upgrade, order, Dialect::S3, AfterEnd::Close),
        None => refuse(&state, upgrade, Some(s3::no_order(Some(&text), "order not found")), "order not found"),
    }
}

async fn lookup(state: &ApiState, text: &str) -> Result<Option<Order>, ApiError> {
    let Ok(id) = text.parse::<OrderId>() else { return Ok(None) };
    match find(state, id).await {
        Ok(order) => Ok(Some(order)),
        Err(error) if error.code() == crate::domain::ErrorCode::NotFound => Ok(None),
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
    let frame = frame.map(|frame| Step::Frame { text: frame.to_string().into(), cursor: None });
    let steps = frame.into_iter().chain([Step::Close { code: POLICY, reason: reason.into() }]).collect();
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

fn tell(
    state: &ApiState,
    upgrade: Upgrade,
    order: Order,
    of_the_path: Dialect,
    after_end: AfterEnd,
) -> Result<Response, ApiError> {
    // An order of our own API is told in the words of the path.
    let words = match order.dialect {
        Dialect::V1 => of_the_path,
        dialect => dialect,
    };
    let follow = Follow::order(state.feed().clone(), state.store().clone(), order.id, 0);
    let settle_wait = state.options().settle_wait;
    socket::open(state, upgrade, async move { Telling::new(order, words, after_end, settle_wait, follow.await) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterEnd {
    StayOpen,
    Close,
}

/// An order being told.
struct Telling {
    follow: Follow,
    story: Story,
    words: Dialect,
    after_end: AfterEnd,
    settle_wait: Duration,
    ready: VecDeque<Step>,
    /// When the wait for amounts, or for the close, is over.
    alarm: Option<Instant>,
}

impl Telling {
    fn new(order: Order, words: Dialect, after_end: AfterEnd, settle_wait: Duration, follow: Follow) -> Self {
        let first = match words {
            Dialect::S3 => Some(s3::pending(order.id)),
            Dialect::V1 | Dialect::S0 => (order.status.name() == Status::Pending).then(s0::pending),
        };
        let mut telling = Self {
            follow,
            story: Story::new(order),
            words,
            after_end,
            settle_wait,
            ready: VecDeque::new(),
            alarm: None,
        };
        telling.ready.extend(first.map(say));
        telling
    }

    fn hear(&mut self, heard: Result<Arc<Frame>, Lost>) {
        match heard {
            Ok(frame) => match self.story.take(&frame.event.event) {
                Some(Moment::Landed) => self.alarm = Some(Instant::now() + self.settle_wait),
                Some(moment) => self.say(moment),
                None => {}
            },
            Err(lost) => self.ready.push_back(Step::Close { code: TRY_AGAIN, reason: farewell(&lost).into() }),
        }
    }

    fn say(&mut self, moment: Moment) {
        let frame = match self.words {
            Dialect::S3 => s3::frame(&self.story, moment),
            Dialect::V1 | Dialect::S0 => s0::frame(&self.story, moment),
        };
        self.ready.push_back(say(frame));
        if self.story.has_ended() {
            self.alarm = match self.after_end {
                AfterEnd::Close => Some(Instant::now() + CLOSE_AFTER),
                AfterEnd::StayOpen => None,
            };
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

fn say(frame: Value) -> Step {
    Step::Frame { text: frame.to_string().into(), cursor: None }
}
