//! Server: turns accepted connections into requests, within bounds, until it is told to stop.
//!
//! Owns the accept loop, the connections' tasks, their bound and the graceful end. Never looks into a request. axum's own
//! `serve` has neither a bound on connections nor a time-out for slow headers.

use std::{io, sync::Arc};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{ApiState, connection, routes};

/// Serves the API on `listener` until `shutdown`: then it accepts no more, lets running requests finish, closes
/// sockets with a reason, and ends within the grace of the options, whatever clients do.
///
/// # Errors
/// When the listener is unusable from the start.
pub async fn serve(mut listener: TcpListener, state: ApiState, shutdown: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    let app = routes::router(state.clone());
    let room = Arc::new(Semaphore::new(state.options().max_connections));
    let mut open = JoinSet::new();
    tracing::info!(%address, "api listens");
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = open.join_next() => report(ended),
            (stream, place) = accept(&mut listener, &room) => {
                open.spawn(connection::serve(stream, place, app.clone(), state.clone(), shutdown.clone()));
            }
        }
    }
    drop(listener);
    state.close_sockets();
    let finished = timeout(state.options().shutdown_grace, async {
        while let Some(ended) = open.join_next().await {
            report(ended);
        }
        state.sockets_closed().await;
    });
    if finished.await.is_err() {
        tracing::warn!(connections = open.len(), "requests or sockets outlived the grace and are cut off");
    }
    open.shutdown().await;
    tracing::info!(%address, "api stopped");
    Ok(())
}

/// A handler that panics takes its connection with it, and nothing else.
pub(super) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended badly");
    }
}

/// Waits for room first: connections above the bound wait in the system's backlog. Cancel-safe.
async fn accept(listener: &mut TcpListener, room: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let place = room.clone().acquire_owned().await.expect("nobody closes it");
    // axum's own rests after an accept that failed for want of descriptors, and not after one whose peer has gone.
    let (stream, _) = Listener::accept(listener).await;
    (stream, place)
}
