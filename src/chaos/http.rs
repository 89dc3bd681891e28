//! Http: the JSON-RPC side of the proxy, connections and batches.
//!
//! Owns the accept loop and its connections, and the way from a request's body to calls and back. hyper is used without
//! axum's `serve`, because only so can a connection end in place of an answer. Never looks at a method.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    serve::Listener,
};
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, value::RawValue};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    call::{Call, Outcome},
    limits::TryIn,
    node::Reply,
    refusal,
};

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest request: what nodes accept, with room for large batches.
const BODY_BYTES: usize = 1024 * 1024;
/// A call without an answer is held at most this long, should its client have no time-out of its own.
const SILENCE: Duration = Duration::from_secs(300);

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault ends the connection")]
struct Closed;

/// Serves until `shutdown`; what is then going on is cut off.
pub(super) async fn serve(mut listener: TcpListener, shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => {}
            accepted = accept(&mut listener, &shared) => {
                if let Some((stream, room, refused)) = accepted {
                    let connection = connection(stream, shared.clone(), refused);
                    open.spawn(async move {
                        connection.await;
                        drop(room);
                    });
                }
            }
        }
    }
    open.shutdown().await;
}

/// A connection, its room, and how long its client should wait if the limits refuse it. Cancel-safe.
pub(super) async fn accept(
    listener: &mut TcpListener,
    shared: &Shared,
) -> Option<(TcpStream, OwnedSemaphorePermit, Option<TryIn>)> {
    let (stream, _) = Listener::accept(listener).await;
    // Faults that delay are the rules' business only; a failure costs latency.
    let _ = stream.set_nodelay(true);
    let room = shared.room.clone().try_acquire_owned().ok()?; // dropped: the client sees it closed
    let refused = shared.gate.connection(shared.open() - 1).err();
    if refused.is_some() {
        shared.counts.refused_connection();
    }
    Some((stream, room, refused))
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, refused: Option<TryIn>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move {
            match refused {
                Some(TryIn(seconds)) => Ok(respond(refusal::too_many(&Value::Null, Some(seconds)), true)),
                None => answer(&shared, request).await,
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Closed> {
    if request.method() != Method::POST {
        let reply = Reply { status: 405, retry_after: None, body: Bytes::from_static(b"JSON-RPC is a POST") };
        return Ok(respond(reply, false));
    }
    let body = to_bytes(Body::new(request.into_body()), BODY_BYTES);
    let Ok(Ok(body)) = tokio::time::timeout(BODY_TIMEOUT, body).await else { return Err(Closed) };
    let outcome = match serde_json::from_slice::<Vec<&RawValue>>(&body) {
        Ok(calls) if !calls.is_empty() => batch(shared, &calls).await,
        _ => match serde_json::from_slice::<Value>(&body) {
            Ok(call) => Call::new(&call, body).answer(shared).await,
            Err(_) => Outcome::Reply(refusal::error(&Value::Null, -32700, "Parse error", Value::Null)),
        },
    };
    match outcome {
        Outcome::Reply(reply) => Ok(respond(reply, false)),
        Outcome::Close => Err(Closed),
        Outcome::Silence => {
            tokio::time::sleep(SILENCE).await;
            Err(Closed)
        }
    }
}

/// Each call by itself, in order. One without an answer, or with an HTTP error, takes the whole batch with it.
async fn batch(shared: &Shared, calls: &[&RawValue]) -> Outcome {
    let mut answers = Vec::new();
    let mut instead = None;
    for raw in calls {
        let call: Value = serde_json::from_str(raw.get()).unwrap_or_default(); // raw is JSON already
        match Call::new(&call, Bytes::copy_from_slice(raw.get().as_bytes())).answer(shared).await {
            Outcome::Reply(reply) if reply.status == 200 => answers.push(reply.body),
            outcome => instead = instead.or(Some(outcome)),
        }
    }
    instead.unwrap_or_else(|| {
        let answers: Vec<&[u8]> =
            answers.iter().map(|answer| answer.trim_ascii()).filter(|it| !it.is_empty()).collect();
        let body = [b"[".as_slice(), &answers.join(b",".as_slice()), b"]"].concat();
        Outcome::Reply(Reply { status: 200, retry_after: None, body: Bytes::from(body) })
    })
}

fn respond(reply: Reply, last: bool) -> Response<Body> {
    let mut response = Response::builder().status(reply.status);
    if reply.status == 200 {
        response = response.header("content-type", "application/json");
    }
    if let Some(seconds) = reply.retry_after {
        response = response.header("retry-after", seconds);
    }
    if last {
        response = response.header("connection", "close");
    }
    response.body(Body::from(reply.body)).unwrap_or_default()
}
