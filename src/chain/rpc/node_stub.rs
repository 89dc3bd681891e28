//! A node for tests: it answers what a test tells it to, and remembers what it was asked.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

/// The longest a test waits for a question.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a node does with a question.
#[derive(Clone)]
pub enum Reply {
    /// An answer.
    Result(Value),
    /// A JSON-RPC error.
    Error(i64),
    /// An HTTP error, with `Retry-After` or without.
    Http(StatusCode, Option<&'static str>),
    /// Nothing, ever.
    Silence,
}

type Answers = Box<dyn FnMut(&str, &Value) -> Reply + Send>;

/// A node that listens.
pub struct Node {
    /// Where.
    pub url: String,
    state: Arc<NodeState>,
}

struct NodeState {
    answers: Mutex<Answers>,
    asked: watch::Sender<Vec<String>>,
}

impl Node {
    /// Answers each method and its parameters by `answers`.
    pub async fn start(answers: impl FnMut(&str, &Value) -> Reply + Send + 'static) -> Self {
        let state = Arc::new(NodeState { answers: Mutex::new(Box::new(answers)), asked: watch::Sender::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(handle)).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, app).await }); // ends with the test's runtime
        Self { url, state }
    }

    /// Always the same.
    pub async fn always(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone()).await
    }

    /// From now on, instead.
    pub fn now(&self, answers: impl FnMut(&str, &Value) -> Reply + Send + 'static) {
        *self.state.answers.lock().unwrap() = Box::new(answers);
    }

    /// The methods it was asked, in order.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.borrow().clone()
    }

    /// Waits until it was asked this often.
    pub async fn asked_times(&self, times: usize) {
        let mut asked = self.state.asked.subscribe();
        timeout(PATIENCE, asked.wait_for(|asked| asked.len() >= times)).await.expect("a question").expect("a node");
    }
}

async fn handle(State(node): State<Arc<NodeState>>, Json(request): Json<Value>) -> Response {
    let method = request["method"].as_str().unwrap().to_owned();
    let reply = (node.answers.lock().unwrap())(&method, &request["params"]);
    node.asked.send_modify(|asked| asked.push(method));
    let answer = |body: Value| Json(body).into_response();
    match reply {
        Reply::Result(result) => answer(json!({"jsonrpc": "2.0", "id": request["id"], "result": result})),
        Reply::Error(code) => answer(
            json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": "so says the stub"}}),
        ),
        Reply::Http(status, None) => status.into_response(),
        Reply::Http(status, Some(after)) => (status, [("retry-after", after)]).into_response(),
        Reply::Silence => std::future::pending().await,
    }
}

/// A pool over these nodes, in this order.
pub fn over(nodes: &[&Node], timeout: Duration) -> super::Rpc {
    super::Rpc::over(nodes.iter().map(|node| node.url.clone()).collect(), timeout, None)
}
