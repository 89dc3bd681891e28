//! What is known through a real socket, whose node says what a test tells it to.

use tokio::task::JoinSet;

use super::*;
use crate::chain::socket::stub::{Answers, Pubsub, eventually};

/// Two vaults that held 100 when they were read in block 10, and whoever is told of them.
struct Scene {
    sockets: Vec<Pubsub>,
    told: Told,
    keys: [Pubkey; 2],
    tasks: JoinSet<()>,
}

impl Scene {
    async fn start(sockets: usize) -> Self {
        let mut started = Vec::new();
        for _ in 0..sockets {
            started.push(Pubsub::start(Answers::AtOnce).await);
        }
        let (told, task) = Told::new(started.iter().map(|socket| socket.url.clone()).collect());
        let mut tasks = JoinSet::new();
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

    /// Waits until all that was told up to a clock has been taken in.
    async fn has_heard(&self, clock: u64) {
        eventually(|| self.told.0.lock().book.is_closed(Slot(clock - 1))).await;
    }
}

impl Pubsub {
    /// Tells what an account became in `slot`.
    fn tell_account(&self, key: &Pubkey, slot: u64, lamports: u64) {
        let value = json!({"lamports": lamports, "data": ["", "base64"], "owner": Pubkey::default().to_string(),
            "executable": false, "rentEpoch": 0, "space": 0});
        self.tell(key, &json!({"context": {"slot": slot}, "value": value}));
    }

    fn tell_clocks(&self, slots: impl IntoIterator<Item = u64>) {
        slots.into_iter().for_each(|slot| self.tell_account(&CLOCK, slot, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_socket_tells_needs_no_read_until_it_is_cut() {
    let scene = Scene::start(2).await;
    let [first, second] = &scene.sockets[..] else { unreachable!() };
    scene.listens(0).await;
    first.tell_clocks(7..=10);
    first.tell_account(&scene.keys[1], 11, 70);
    first.tell_account(&scene.keys[0], 11, 130);
    first.tell_clocks(11..=12);
    eventually(|| scene.known() == Some((11, [130, 70]))).await;
    first.cut();
    eventually(|| scene.known().is_none()).await;
    // The next one is asked for the same accounts, and knows nothing of what happened meanwhile.
    scene.listens(1).await;
    second.tell_clocks(20..=25);
    second.tell_account(&scene.keys[0], 26, 7);
    second.tell_clocks(26..=27);
    scene.has_heard(27).await;
    assert_eq!(scene.known(), None, "the read is older than the subscription");
    assert_eq!(scene.tasks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn clocks_from_before_the_last_subscription_do_not_count() {
    let scene = Scene::start(1).await;
    let socket = &scene.sockets[0];
    scene.listens(0).await;
    let late = Pubkey::new_unique();
    socket.now(Answers::Held);
    scene.told.want(&[late]);
    eventually(|| socket.holds(&[late])).await;
    let base = AccountSnapshot { slot: Slot(10), accounts: vec![None] };
    // Whoever changes it now is told of by nobody.
    socket.tell_clocks(4..=12);
    socket.now(Answers::AtOnce);
    socket.tell_clocks(13..=20);
    scene.has_heard(20).await;
    assert!(scene.told.since(&base, &[late]).is_none());
    assert!(scene.told.since(&AccountSnapshot { slot: Slot(16), ..base }, &[late]).is_some());
    assert!(scene.known().is_some(), "the others were told of all the time");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_the_node_refuses_is_not_asked_for_again_and_the_others_are_told() {
    let scene = Scene::start(1).await;
    let socket = &scene.sockets[0];
    scene.listens(0).await;
    socket.now(Answers::First(3));
    let refused = Pubkey::new_unique();
    scene.told.want(&[refused]);
    eventually(|| socket.refusals() == 1).await;
    socket.now(Answers::AtOnce);
    for _ in 0..2 {
        let more = Pubkey::new_unique();
        scene.told.want(&[more]);
        eventually(|| socket.tells_of(&[more])).await;
    }
    assert!(!socket.tells_of(&[refused]));
    socket.tell_clocks(7..=12);
    eventually(|| scene.known() == Some((11, [100, 100]))).await;
    assert_eq!(socket.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_but_the_clock_is_asked_less_and_less_often() {
    let scene = Scene::start(1).await;
    let socket = &scene.sockets[0];
    socket.now(Answers::First(1));
    eventually(|| socket.connections() == 5).await;
    let rests = socket.rests();
    assert!(rests.windows(2).all(|pair| pair[1] > pair[0]), "{rests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_good_once_something_is_certain_and_not_once_the_clock_has_come() {
    let scene = Scene::start(1).await;
    let socket = &scene.sockets[0];
    for (connection, clocks) in [(1, 2), (2, 2), (3, 2), (4, 5)] {
        eventually(|| socket.connections() == connection).await;
        scene.listens(0).await;
        socket.tell_clocks(1..=clocks);
        scene.has_heard(clocks).await;
        socket.cut();
    }
    eventually(|| socket.connections() == 5).await;
    let rests = socket.rests();
    assert!(rests[0] < rests[1] && rests[1] < rests[2] && rests[3] < rests[2], "{rests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_socket_whose_slots_stand_still_twice_is_left_for_good() {
    let scene = Scene::start(2).await;
    let [bad, good] = &scene.sockets[..] else { unreachable!() };
    for connection in 1..=2 {
        scene.listens(0).await;
        bad.tell_account(&scene.keys[0], 5, 1);
        bad.tell_account(&scene.keys[0], 5, 2);
        eventually(|| good.connections() == connection).await;
        scene.listens(1).await;
        good.cut();
    }
    eventually(|| good.connections() == 3).await;
    assert_eq!(bad.connections(), 2, "it would have been its turn");
}

#[tokio::test(start_paused = true)]
async fn accounts_that_nobody_asks_about_any_more_make_room() {
    let scene = Scene::start(1).await;
    let socket = &scene.sockets[0];
    let more: Vec<Pubkey> = (0..MOST_ACCOUNTS - 2).map(|_| Pubkey::new_unique()).collect();
    scene.told.want(&more);
    eventually(|| socket.tells_of(&more)).await;
    let late = [Pubkey::new_unique(), Pubkey::new_unique()];
    scene.told.want(&late);
    let started = Instant::now();
    for slot in 1.. {
        socket.tell_clocks([slot]);
        eventually(|| slot < 2 || scene.told.0.lock().book.is_closed(Slot(slot - 1))).await;
        scene.told.want(&scene.keys);
        if started.elapsed() > WANTED_FOR {
            break;
        }
        tokio::time::advance(SILENT_AFTER / 2).await;
    }
    assert!(socket.tells_of(&more) && !socket.tells_of(&late), "nobody needs the room");
    scene.told.want(&late);
    eventually(|| socket.tells_of(&late) && !socket.tells_of(&more[..1])).await;
    assert!(socket.tells_of(&scene.keys) && !socket.tells_of(&more[more.len() - 1..]));
    assert_eq!(socket.connections(), 1);
}
