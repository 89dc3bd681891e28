//! What is known through a real socket, whose node says what a test tells it to.

use std::collections::HashMap;

use axum::{
    Router,
    extract::{
        State as Extract,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    routing::any,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const CLOCK: Pubkey = sysvar::clock::ID;

/// A node's socket. It takes subscriptions to accounts, and tells what it is given to tell.
struct Socket {
    url: String,
    shared: Arc<Mutex<Connections>>,
}

#[derive(Default)]
struct Connections {
    /// How many there were.
    count: usize,
    /// The last one's subscriptions, and where its frames are given.
    subscriptions: HashMap<String, u64>,
    frames: Option<mpsc::UnboundedSender<Message>>,
}

impl Socket {
    async fn start() -> Self {
        let shared = Arc::<Mutex<Connections>>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let upgrade = |Extract(shared): Extract<Arc<Mutex<Connections>>>, upgrade: WebSocketUpgrade| async move {
            upgrade.on_upgrade(|socket| serve(socket, shared))
        };
        let app = Router::new().route("/", any(upgrade)).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await }); // ends with the test's runtime
        Self { url, shared }
    }

    fn connections(&self) -> usize {
        self.shared.lock().unwrap().count
    }

    fn tells_of(&self, keys: &[Pubkey]) -> bool {
        let shared = self.shared.lock().unwrap();
        keys.iter().all(|key| shared.subscriptions.contains_key(&key.to_string()))
    }

    /// Tells what an account became in `slot`.
    fn tell(&self, key: &Pubkey, slot: u64, lamports: u64) {
        let shared = self.shared.lock().unwrap();
        let value = json!({"lamports": lamports, "data": ["", "base64"], "owner": Pubkey::default().to_string(),
            "executable": false, "rentEpoch": 0, "space": 0});
        let params = json!({"result": {"context": {"slot": slot}, "value": value},
            "subscription": shared.subscriptions[&key.to_string()]});
        let frame = json!({"jsonrpc": "2.0", "method": "accountNotification", "params": params});
        shared.frames.as_ref().unwrap().send(Message::Text(frame.to_string().into())).unwrap();
    }

    fn cut(&self) {
        self.shared.lock().unwrap().frames = None;
    }
}

async fn serve(mut socket: WebSocket, shared: Arc<Mutex<Connections>>) {
    let (sender, mut frames) = mpsc::unbounded_channel();
    {
        let mut shared = shared.lock().unwrap();
        shared.count += 1;
        shared.subscriptions.clear();
        shared.frames = Some(sender);
    }
    loop {
        tokio::select! {
            frame = frames.recv() => match frame {
                Some(frame) => socket.send(frame).await.unwrap(),
                None => return, // cut
            },
            request = socket.recv() => {
                let Some(Ok(Message::Text(text))) = request else { return };
                let request: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(request["method"], "accountSubscribe");
                assert_eq!(request["params"][1]["commitment"], "confirmed");
                let id = request["id"].as_u64().unwrap();
                let answer = json!({"jsonrpc": "2.0", "result": id, "id": id});
                socket.send(Message::Text(answer.to_string().into())).await.unwrap();
                shared.lock().unwrap().subscriptions.insert(request["params"][0].as_str().unwrap().to_owned(), id);
            }
        }
    }
}

/// Two vaults that held 100 when they were read in block 10, and whoever is told of them.
struct Scene {
    sockets: Vec<Socket>,
    told: Told,
    keys: [Pubkey; 2],
    tasks: tokio::task::JoinSet<()>,
}

impl Scene {
    async fn start(sockets: usize) -> Self {
        let mut started = Vec::new();
        for _ in 0..sockets {
            started.push(Socket::start().await);
        }
        let (told, task) = Told::new(started.iter().map(|socket| socket.url.clone()).collect());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(task.run(CancellationToken::new()));
        let keys = [Pubkey::new_unique(), Pubkey::new_unique()];
        told.want(&keys);
        Self { sockets: started, told, keys, tasks }
    }

    /// What is known of the read: the slot, and what the vaults hold.
    fn known(&self) -> Option<(u64, [u64; 2])> {
        let before = Some(Account { lamports: 100, ..Account::default() });
        let base = AccountSnapshot { slot: Slot(10), accounts: vec![before.clone(), before] };
        let (now, _) = self.told.since(&base, &self.keys)?;
        Some((now.slot.0, [0, 1].map(|at: usize| now.accounts[at].as_ref().unwrap().lamports)))
    }

    async fn listens(&self, socket: usize) {
        let keys = [CLOCK, self.keys[0], self.keys[1]];
        eventually(|| self.sockets[socket].tells_of(&keys)).await;
    }
}

async fn eventually(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await; // between looks; nothing relies on its length
        }
    };
    tokio::time::timeout(PATIENCE, holds).await.expect("it never came to that");
}

#[tokio::test]
async fn what_a_socket_tells_needs_no_read_until_it_is_cut() {
    let scene = Scene::start(2).await;
    let [first, second] = &scene.sockets[..] else { unreachable!() };
    scene.listens(0).await;
    // The subscriptions may not be noted yet when the first clock comes: then it is a later one that begins.
    first.tell(&CLOCK, 8, 1);
    eventually(|| scene.told.0.lock().book.follows(&scene.keys)).await;
    first.tell(&CLOCK, 9, 1);
    first.tell(&CLOCK, 10, 1);
    first.tell(&scene.keys[1], 11, 70);
    first.tell(&scene.keys[0], 11, 130);
    first.tell(&CLOCK, 11, 1);
    first.tell(&CLOCK, 12, 1);
    eventually(|| scene.known() == Some((11, [130, 70]))).await;
    first.cut();
    eventually(|| scene.known().is_none()).await;
    // The next one is asked for the same accounts, and knows nothing of what happened meanwhile.
    scene.listens(1).await;
    eventually(|| scene.told.0.lock().book.follows(&scene.keys)).await;
    second.tell(&CLOCK, 20, 1);
    second.tell(&CLOCK, 21, 1);
    second.tell(&scene.keys[0], 22, 7);
    second.tell(&CLOCK, 22, 1);
    second.tell(&CLOCK, 23, 1);
    eventually(|| scene.told.0.lock().book.is_closed(Slot(22))).await;
    assert_eq!(scene.known(), None, "the read is older than the subscription");
    assert_eq!(scene.tasks.len(), 1);
}

#[tokio::test]
async fn a_socket_whose_slots_stand_still_is_left_for_good() {
    let scene = Scene::start(1).await;
    scene.listens(0).await;
    scene.sockets[0].tell(&scene.keys[0], 5, 1);
    scene.sockets[0].tell(&scene.keys[0], 5, 2);
    eventually(|| scene.sockets[0].shared.lock().unwrap().frames.as_ref().is_none_or(mpsc::UnboundedSender::is_closed))
        .await;
    assert_eq!((scene.known(), scene.sockets[0].connections()), (None, 1));
}
