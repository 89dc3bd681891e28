//! Connection: one accepted connection until its end.
//!
//! Owns its place under the bound on connections, how slowly its peer may read, and the threads it is served on. An
//! answer that goes on for hours gives the place back and counts as a socket instead, as an upgrade does by itself.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body};
use hyper::{header, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{ApiState, server::report, socket, stall::Unstalled};
use crate::lock::lock;

/// Bytes that the system may hold for a client that does not read them; Linux takes twice as much for its own needs.
/// Left alone it would grow to megabytes, and thousands of deaf clients would take the memory of everybody's sockets.
const UNREAD: usize = 64 * 1024;

/// The connection a request came on, for a handler whose answer goes on for hours.
#[derive(Clone)]
pub struct Line(Arc<Inner>);

struct Inner {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    moves: Notify,
}

impl Line {
    fn new(place: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Inner { place: Mutex::new(Some(place)), moves: Notify::new() }))
    }

    /// Gives back the place among the connections. The answer has to be the last one on this line: see `LAST`.
    pub fn leave(&self) {
        lock(&self.0.place).take();
    }

    /// Goes on in the gallery.
    pub fn move_to_gallery(&self) {
        self.0.moves.notify_one();
    }
}

/// The header of an answer that is the last one on its line.
pub const LAST: (header::HeaderName, &str) = (header::CONNECTION, "close");

/// Serves a connection until its end. A WebSocket leaves it with the upgrade and lives on in axum's own task.
pub async fn serve(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    app: Router,
    state: ApiState,
    shutdown: CancellationToken,
) {
    let line = Line::new(place);
    let gallery = state.gallery().clone();
    let mut serving = Box::pin(converse(stream, line.clone(), app, state, shutdown));
    let moved = tokio::select! {
        biased;
        () = line.0.moves.notified() => true,
        () = serving.as_mut() => false,
    };
    if moved {
        // Not detached: it ends with this task.
        let mut there = JoinSet::new();
        there.spawn_on(serving, &gallery);
        if let Some(ended) = there.join_next().await {
            report(ended);
        }
    }
    line.leave();
}

async fn converse(stream: TcpStream, line: Line, app: Router, state: ApiState, shutdown: CancellationToken) {
    // Frames and answers are small and wanted at once. A failure of either costs only latency, or memory.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(UNREAD);
    let stream = Unstalled::new(stream, socket::longest_write(state.options()));
    let service = TowerToHyperService::new(app.map_request(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(line.clone());
        request.map(Body::new)
    }));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.options().header_timeout)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}
