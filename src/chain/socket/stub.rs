//! A node's socket for tests: it takes subscriptions, and tells what it is given to tell.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    extract::{
        State as Extract,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    routing::any,
    serve::ListenerExt,
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// What a node does with subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// It takes them.
    AtOnce,
    /// It takes them later.
    Held,
    /// It takes so many on one connection, and refuses the others.
    First(usize),
    /// It does nothing at all.
    Silence,
}

/// A socket that listens.
pub struct Pubsub {
    /// Where.
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    answers: Answers,
    connected_at: Vec<Instant>,
    refusals: usize,
    /// The last connection's subscriptions by what they are about, those that wait for their answer, and where its frames
    /// are given.
    subscriptions: HashMap<String, u64>,
    held: HashMap<String, u64>,
    frames: Option<mpsc::UnboundedSender<Message>>,
}

impl Pubsub {
    /// One that answers so.
    pub async fn start(answers: Answers) -> Self {
        let state = State {
            answers,
            connected_at: Vec::new(),
            refusals: 0,
            subscriptions: HashMap::new(),
            held: HashMap::new(),
            frames: None,
        };
        let state = Arc::new(Mutex::new(state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let upgrade = |Extract(state): Extract<Arc<Mutex<State>>>, upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(|socket| serve(socket, state))
        };
        let app = Router::new().route("/", any(upgrade)).with_state(state.clone());
        // A frame that waits for the one before it to be acknowledged waits in real time, also where a test stops the clock.
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await }); // ends with the test's runtime
        Self { url, state }
    }

    /// How long it took from each connection to the next.
    pub fn rests(&self) -> Vec<Duration> {
        self.lock().connected_at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// How many subscriptions were refused.
    pub fn refusals(&self) -> usize {
        self.lock().refusals
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.lock().connected_at.len()
    }

    /// Whether the last connection subscribed to all of these.
    pub fn tells_of(&self, keys: &[impl ToString]) -> bool {
        let state = self.lock();
        keys.iter().all(|key| state.subscriptions.contains_key(&key.to_string()))
    }

    /// Whether the last connection asked for all of these, and waits for the answer.
    pub fn holds(&self, keys: &[impl ToString]) -> bool {
        let state = self.lock();
        keys.iter().all(|key| state.held.contains_key(&key.to_string()))
    }

    /// From now on, instead. What was held is taken if subscriptions are.
    pub fn now(&self, answers: Answers) {
        let mut state = self.lock();
        state.answers = answers;
        if answers == Answers::AtOnce {
            let held = std::mem::take(&mut state.held);
            held.into_iter().for_each(|(about, id)| state.take(about, id));
        }
    }

    /// Tells of something it has a subscription to.
    pub fn tell(&self, about: &impl ToString, result: &Value) {
        let state = self.lock();
        let params = json!({"result": result, "subscription": state.subscriptions[&about.to_string()]});
        state.send(&json!({"jsonrpc": "2.0", "method": "notification", "params": params}));
    }

    /// Ends the last connection.
    pub fn cut(&self) {
        self.lock().frames = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn take(&mut self, about: String, id: u64) {
        self.send(&json!({"jsonrpc": "2.0", "result": id, "id": id}));
        self.subscriptions.insert(about, id);
    }

    fn send(&self, frame: &Value) {
        if let Some(frames) = &self.frames {
            let _ = frames.send(Message::Text(frame.to_string().into())); // the other side may have gone
        }
    }

    fn hear(&mut self, request: &Value) {
        let (id, about) = (request["id"].as_u64().unwrap(), &request["params"][0]);
        if request["method"].as_str().unwrap().ends_with("Unsubscribe") {
            self.subscriptions.retain(|_, number| Some(*number) != about.as_u64());
            return self.send(&json!({"jsonrpc": "2.0", "result": true, "id": id}));
        }
        assert_eq!(request["params"][1]["commitment"], "confirmed");
        let about = about.as_str().or_else(|| about["mentions"][0].as_str()).unwrap().to_owned();
        match self.answers {
            Answers::AtOnce => self.take(about, id),
            Answers::Held => drop(self.held.insert(about, id)),
            Answers::First(most) if self.subscriptions.len() < most => self.take(about, id),
            Answers::First(_) => {
                self.refusals += 1;
                self.send(&json!({"jsonrpc": "2.0", "error": {"code": -32005, "message": "no"}, "id": id}));
            }
            Answers::Silence => {}
        }
    }
}

async fn serve(socket: WebSocket, state: Arc<Mutex<State>>) {
    let (sender, frames) = mpsc::unbounded_channel();
    let (number, answers) = {
        let mut state = state.lock().unwrap();
        state.connected_at.push(Instant::now());
        state.frames = Some(sender);
        (state.connected_at.len(), state.answers)
    };
    match answers {
        Answers::Silence => std::future::pending().await,
        _ => converse(socket, frames, &state).await,
    }
    let mut state = state.lock().unwrap();
    if state.connected_at.len() == number {
        state.subscriptions.clear();
        state.held.clear();
        state.frames = None;
    }
}

async fn converse(mut socket: WebSocket, mut frames: mpsc::UnboundedReceiver<Message>, state: &Mutex<State>) {
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame else { return }; // cut
                if socket.send(frame).await.is_err() {
                    return;
                }
            }
            request = socket.recv() => match request {
                Some(Ok(Message::Text(text))) => state.lock().unwrap().hear(&serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            }
        }
    }
}

/// Waits until it is so.
pub async fn eventually(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            sleep(Duration::from_millis(1)).await; // between looks; nothing relies on its length
        }
    };
    timeout(PATIENCE, holds).await.expect("it never came to that");
}
