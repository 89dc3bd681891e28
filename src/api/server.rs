//! Server: turns accepted connections into requests, within bounds, until it is told to stop.
//!
//! Owns the accept loop, the connections' tasks, their bound and the graceful end. Never looks into a request. axum's own
//! `serve` has neither a bound on connections nor a time-out for slow headers.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{ApiState, connection, routes};

/// The rest after an accept failed for want of descriptors or memory, as in every accept loop.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `shutdown`: then it accepts no more, lets running requests finish, closes
/// sockets with a reason, and ends within the grace of the options, whatever clients do.
///
/// # Errors
/// When the listener is unusable from the start.
pub async fn serve(listener: TcpListener, state: ApiState, shutdown: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    let app = routes::router(state.clone());
    let room = Arc::new(Semaphore::new(state.options().max_connections));
    let mut open = JoinSet::new();
    tracing::info!(%address, "api listens");
    loop {
        let stream = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = open.join_next() => {
                report(ended);
                continue;
            }
            accepted = accept(&listener, &room) => accepted,
        };
        match stream {
            Ok((stream, place)) => {
                open.spawn(connection::serve(stream, place, app.clone(), state.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(ACCEPT_REST) => {}
                }
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
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}
