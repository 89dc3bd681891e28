//! Listener: hears the events of all orders over one socket, and goes on where it was when that is cut.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};
use tokio_util::sync::CancellationToken;

use super::{
    LoadError,
    client::Client,
    ledger::{Heard, Ledger, TOLD},
};

/// How long the handshake may take.
const OPENS_WITHIN: Duration = Duration::from_secs(10);
/// A daemon pings more often than this; a socket that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(90);
/// The rest after a socket that could not be opened; doubled each time, up to the longest.
const REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the stream of all events after `since`.
///
/// # Errors
/// When the daemon does not open it.
pub async fn open(client: &Client, since: u64) -> Result<Socket, LoadError> {
    let url = format!("{}/v1/stream?since={since}&event={TOLD}", client.base().replacen("http", "ws", 1));
    let mut request = url.into_client_request().map_err(|error| LoadError::Stream(Box::new(error)))?;
    if let Some(key) = client.key() {
        let key = HeaderValue::from_str(key).map_err(|_| LoadError::Key)?;
        request.headers_mut().insert("x-api-key", key);
    }
    let opened = timeout(OPENS_WITHIN, connect_async(request)).await.map_err(|_| LoadError::StreamTimedOut)?;
    Ok(opened.map_err(|error| LoadError::Stream(Box::new(error)))?.0)
}

/// Writes what it hears into the ledger until `stop`; how often the socket was cut.
pub async fn listen(client: Client, mut socket: Socket, ledger: Arc<Ledger>, stop: CancellationToken) -> u64 {
    let mut cuts = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return cuts,
            () = hear(&mut socket, &ledger) => {}
        }
        cuts += 1;
        let mut rest = REST;
        socket = loop {
            let since = ledger.book().cursor;
            tokio::select! {
                () = stop.cancelled() => return cuts,
                opened = open(&client, since) => match opened {
                    Ok(socket) => break socket,
                    Err(error) => tracing::debug!(%error, "the stream cannot be opened again yet"),
                },
            }
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
        };
    }
}

/// Until the socket ends, however.
async fn hear(socket: &mut Socket, ledger: &Ledger) {
    while let Ok(Some(Ok(message))) = timeout(SILENCE, socket.next()).await {
        match message {
            Message::Text(text) => match serde_json::from_str::<Heard<'_>>(&text) {
                Ok(heard) => ledger.heard(&heard),
                Err(error) => tracing::warn!(%error, "an event cannot be read"),
            },
            Message::Close(_) => return,
            _ => {}
        }
    }
}
