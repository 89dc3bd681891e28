//! Socket: one WebSocket's conversation, whatever it carries.
//!
//! Owns pings, the answer to a text `ping`, the bound on slow readers and the way a socket ends. Frames come from a
//! `Source`; what they mean is not known here.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Bytes,
    extract::{
        WebSocketUpgrade,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{ApiError, ApiState, Options};
use crate::{domain::ErrorCode, metrics as names};

/// Close code: the end everybody expected.
pub const NORMAL: u16 = 1000;
/// Close code: the daemon goes away.
pub const GOING_AWAY: u16 = 1001;
/// Close code: the request was not acceptable.
pub const POLICY: u16 = 1008;
/// Close code: come again later, with `since`.
pub const TRY_AGAIN: u16 = 1013;

/// The largest message taken from a client: `ping`, or an order.
const LARGEST_MESSAGE: usize = 4 * 1024;
/// Bytes kept for what a client says, as long as its socket lives. The library's 128 KiB are meant for peers that talk
/// much; thousands of clients that only listen would hold hundreds of megabytes.
const READ_BUFFER: usize = 4 * 1024;
/// Frames that are there already and go out together.
const FLUSH_AFTER: u32 = 32;
/// Bytes gathered before they are written, whether or not more frames are there.
const WRITE_BUFFER: usize = 8 * 1024;
/// How long a client may take to answer a close, so that it can read the reason.
const FAREWELL: Duration = Duration::from_secs(1);
/// Pings without an answer after which a peer is dead.
const PINGS_UNANSWERED: u32 = 2;

/// How long a socket may need for one write: a frame, and then the close that says why it was too slow.
pub fn longest_write(options: &Options) -> Duration {
    options.send_timeout + options.send_timeout.max(FAREWELL)
}

/// What a source wants done next.
#[derive(Debug)]
pub enum Step {
    /// Send this.
    Frame {
        /// The frame.
        text: Utf8Bytes,
        /// Where to resume after it, on sockets that can.
        cursor: Option<u64>,
    },
    /// End.
    Close {
        /// A WebSocket close code.
        code: u16,
        /// Why, in at most 123 bytes.
        reason: Cow<'static, str>,
    },
}

/// Where a socket's frames come from.
pub trait Source: Send {
    /// The next step. Has to be cancel-safe.
    fn next(&mut self) -> impl Future<Output = Step> + Send;

    /// Takes what the client said, other than `ping`, and may answer. Ends by itself in bounded time, and is not dropped
    /// before.
    fn hear(&mut self, _text: &str) -> impl Future<Output = Option<Utf8Bytes>> + Send {
        async { None }
    }

    /// Where a client can resume that has got nothing yet, on sockets that can.
    fn start(&self) -> Option<u64> {
        None
    }
}

/// A request to open a socket, judged.
pub type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Opens a socket and converses until its end, on the caller's runtime. `source` is made after the upgrade.
///
/// # Errors
/// When the request is no WebSocket handshake, or too many sockets are open.
pub fn open<S, F>(state: &ApiState, upgrade: Upgrade, source: F) -> Result<Response, ApiError>
where
    S: Source,
    F: Future<Output = S> + Send + 'static,
{
    open_on(&Handle::current(), state, upgrade, source)
}

/// The same on a runtime of the caller's choice.
///
/// # Errors
/// As `open`.
pub fn open_on<S, F>(runtime: &Handle, state: &ApiState, upgrade: Upgrade, source: F) -> Result<Response, ApiError>
where
    S: Source,
    F: Future<Output = S> + Send + 'static,
{
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::new(ErrorCode::InvalidRequest, format!("this path is a WebSocket: {}", rejection.body_text()))
    })?;
    let room = state.socket_room()?;
    let (state, runtime) = (state.clone(), runtime.clone());
    let upgrade =
        upgrade.max_message_size(LARGEST_MESSAGE).read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
    let conversation = async move |socket| {
        let _counted = Counted::new();
        let mut socket = Socket { socket, send_timeout: state.options().send_timeout };
        let closing = state.closing().clone();
        let source = tokio::select! {
            biased;
            () = closing.cancelled() => None,
            source = source => Some(source),
        };
        match source {
            Some(mut source) => socket.converse(&mut source, state.options().ping_interval, &closing).await,
            None => socket.close(GOING_AWAY, "the daemon is shutting down").await,
        }
        drop(room); // what the server's end waits for
    };
    Ok(upgrade.on_upgrade(async move |socket| drop(runtime.spawn(conversation(socket)))))
}

/// A socket or stream that is open, as long as this lives.
pub struct Counted(metrics::Gauge);

impl Counted {
    /// Counts one more.
    #[expect(clippy::new_without_default, reason = "it is counted, which a default should not be")]
    pub fn new() -> Self {
        let gauge = metrics::gauge!(names::SOCKETS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The step that is ready, else the next one. Cancel-safe like that.
async fn next(ready: &mut Option<Step>, source: &mut impl Source) -> Step {
    match ready.take() {
        Some(step) => step,
        None => source.next().await,
    }
}

struct Socket {
    socket: WebSocket,
    send_timeout: Duration,
}

impl Socket {
    async fn converse(&mut self, source: &mut impl Source, ping_interval: Duration, closing: &CancellationToken) {
        let mut resume = source.start();
        let mut unanswered = 0;
        let mut pings = interval_at(Instant::now() + ping_interval, ping_interval);
        // After a pause of this process, peers must still get the time to answer.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ready, mut unflushed) = (None, 0);
        let (code, reason) = loop {
            let (message, cursor) = tokio::select! {
                () = closing.cancelled() => break (GOING_AWAY, told(resume, "the daemon is shutting down")),
                step = next(&mut ready, source) => match step {
                    Step::Frame { text, cursor } => (Message::Text(text), cursor),
                    Step::Close { code: TRY_AGAIN, reason } => break (TRY_AGAIN, told(resume, &reason)),
                    Step::Close { code, reason } => break (code, reason.into_owned()),
                },
                message = self.socket.recv() => {
                    unanswered = 0;
                    match message {
                        Some(Ok(Message::Text(text))) if text.as_str().trim() == "ping" => {
                            (Message::Text(Utf8Bytes::from_static(r#"{"type":"pong"}"#)), None)
                        }
                        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                            match source.hear(&String::from_utf8_lossy(&message.into_data())).await {
                                Some(answer) => (Message::Text(answer), None),
                                None => continue,
                            }
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    }
                },
                _ = pings.tick() => {
                    if unanswered >= PINGS_UNANSWERED {
                        return; // nobody is there to read a reason
                    }
                    unanswered += 1;
                    (Message::Ping(Bytes::new()), None)
                }
            };
            // Once fed, a frame will be read before the close, however slow the reader: it counts as told.
            let fed = timeout(self.send_timeout, self.socket.feed(message)).await;
            if let Ok(Ok(())) = fed {
                resume = cursor.or(resume);
            }
            if fed.as_ref().is_ok_and(Result::is_ok) && unflushed < FLUSH_AFTER {
                // What is there already goes out together.
                ready = ready.or_else(|| source.next().now_or_never());
                if ready.is_some() {
                    unflushed += 1;
                    continue;
                }
            }
            unflushed = 0;
            let sent = match fed {
                Ok(Ok(())) => timeout(self.send_timeout, SinkExt::<Message>::flush(&mut self.socket)).await,
                other => other,
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return,
                Err(_) => break (TRY_AGAIN, told(resume, "too slow")),
            }
        };
        self.close(code, &reason).await;
    }

    /// Says why, and waits a little for the peer to read it: a connection dropped at once would lose the frame.
    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code, reason: reason.into() };
        let closed = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Both ways to run out of it are an end.
        let _ = timeout(self.send_timeout.max(FAREWELL), closed).await;
    }
}

/// A reason with where to go on.
fn told(resume: Option<u64>, reason: &str) -> String {
    match resume {
        Some(cursor) => format!("{reason}: resume with since={cursor}"),
        None => reason.to_owned(),
    }
}
