//! SSE: `GET /v1/events`, the same events as `/v1/stream` as Server-Sent Events, for browsers and for `curl`.
//!
//! Owns the way an event is written there and when such a stream ends. An event's `id` is its cursor, so a browser
//! that was cut off resumes by itself where it was. A peer that stops reading is cut off by `stall`.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::{Stream, stream};
use serde_json::json;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    ApiError, ApiState,
    body::Params,
    connection::{LAST, Line},
    follow::Follow,
    openapi::{LastEventId, refusals::Streaming, tag},
    socket::Counted,
    stream::{StreamParams, Wanted, farewell, resumable},
};
use crate::domain::{ErrorCode, OrderEvent, StoredEvent};

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The name of the event that says why a stream ends before its time. No order's event has it.
const CLOSED: &str = "closed";

/// `GET /v1/events`: events as Server-Sent Events, stored ones first, then live ones.
///
/// `id` is the event's cursor, `event` its name, `data` its JSON. Comments keep the connection open and its id fresh.
/// The stream of one order ends with the event that ends the order; asked for again after that, it is answered 204,
/// which tells a browser to stop. An event `closed` says why a stream ends before its time: a reader that is too slow,
/// a daemon that stops. An id ahead of the newest event, as after the store was replaced, is answered 400, which also
/// tells a browser to stop: its page begins anew.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "streamEvents", tag = tag::STREAMS, params(StreamParams, LastEventId),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = String),
        (status = 204, description = "The order has ended and nothing of it is left to tell"),
        Streaming,
    )
)]
pub async fn events(
    State(state): State<ApiState>,
    Params(params): Params<StreamParams>,
    headers: HeaderMap,
    Extension(line): Extension<Line>,
) -> Result<Response, ApiError> {
    // A browser repeats the address it was given: what it has heard since is in the header.
    let since = last_event_id(&headers)?.or(params.since());
    let wanted = params.wanted(&state).await?;
    resumable(&state, since).await?;
    let follows_one = matches!(wanted, Wanted::Order(_));
    if let Wanted::Order(order) = &wanted
        && order.status.name().is_terminal()
    {
        let history = state.store().history(order.id, 0).await?;
        if history.last().map(|event| event.cursor) <= since {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let room = state.socket_room()?;
    let follow = wanted.follow(state.clone(), since).await;
    // From here on it counts as a socket only: thousands that listen must not keep those out who trade.
    line.leave();
    if !follows_one {
        line.move_to_gallery();
    }
    let events = Events::new(&state, follow, follows_one, room).stream();
    // Proxies that gather an answer before they pass it on are told not to.
    Ok(([LAST, (X_ACCEL_BUFFERING, "no")], Sse::new(events)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let cursor = value.to_str().ok().and_then(|text| text.parse().ok());
    cursor.map(Some).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidRequest, "`Last-Event-ID` must be the id of an event of this stream")
    })
}

/// One reader's stream.
struct Events {
    follow: Follow,
    follows_one: bool,
    heartbeats: Interval,
    settle_wait: Duration,
    closing: CancellationToken,
    place: Place,
    _room: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Where a stream is.
enum Place {
    /// Nothing has been written.
    Begin,
    /// Events are being written.
    Amid,
    /// The order has ended; its amounts may still come, until then.
    Settling(Instant),
    /// Everything has been written.
    End,
}

impl Events {
    fn new(state: &ApiState, follow: Follow, follows_one: bool, room: OwnedSemaphorePermit) -> Self {
        let every = state.options().ping_interval;
        let mut heartbeats = interval_at(Instant::now() + every, every);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            follow,
            follows_one,
            heartbeats,
            settle_wait: state.options().settle_wait,
            closing: state.closing().clone(),
            place: Place::Begin,
            _room: room,
            _counted: Counted::new(),
        }
    }

    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut events| events.next().await.map(|event| (Ok(event), events)))
    }

    async fn next(&mut self) -> Option<Event> {
        let settled = match self.place {
            Place::Begin => {
                self.place = Place::Amid;
                return Some(self.mark("open"));
            }
            Place::Amid => None,
            Place::Settling(until) => Some(until),
            Place::End => return None,
        };
        tokio::select! {
            () = self.closing.cancelled() => Some(self.close("the daemon is shutting down")),
            next = self.follow.next() => Some(match next {
                Ok(frame) => {
                    self.settle(&frame.event);
                    let event = Event::default().id(frame.event.cursor.to_string()).event(frame.event.event.name());
                    event.data(frame.text.as_str())
                }
                Err(lost) => self.close(farewell(&lost)),
            }),
            _ = self.heartbeats.tick() => Some(self.mark("alive")),
            () = sleep_until(settled.unwrap_or_else(Instant::now)), if settled.is_some() => None,
        }
    }

    /// After the event that ends the one order, so does the stream. Amounts that were not known then are waited for.
    fn settle(&mut self, event: &StoredEvent) {
        if self.follows_one && event.status.is_terminal() {
            self.place = match event.event {
                OrderEvent::Landed { fill: None, .. } => Place::Settling(Instant::now() + self.settle_wait),
                _ => Place::End,
            };
        }
    }

    /// A comment, with the id to resume with: a browser takes it over without telling its page.
    fn mark(&self, comment: &str) -> Event {
        Event::default().comment(comment).id(self.follow.told().to_string())
    }

    fn close(&mut self, reason: &str) -> Event {
        self.place = Place::End;
        Event::default().event(CLOSED).data(json!({ "reason": reason, "since": self.follow.told() }).to_string())
    }
}
