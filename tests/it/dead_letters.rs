//! Orders that make trouble end up with a person, neither tried for ever nor called failed; and what nobody can say of
//! an order is said as such.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use solana_sdk::{instruction::Instruction, pubkey::Pubkey};
use swapd::{
    chain::{LandedTransaction, Wallet},
    chaos::{Chaos, Fault, Options, Rule, Seen},
    domain::{
        BaseUnits, Bps, Dialect, Failure, Fill, NewOrder, Order, OrderEvent, OrderId, OrderKind, Poison, Quote,
        QuoteRequest, Status, Swap, Token, VenueId,
    },
    engine::{
        Executor, Handover, Journal,
        execute::Stop,
        worker::{Active, Worker},
    },
    queue::{self, QueueOptions},
    store,
    venue::{
        SwapPlan, Venue, VenueError,
        raydium_cpmm::{Discovery, RaydiumCpmm},
    },
};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{
    daemon::{Daemon, Setup, World},
    engine::{Chain, parts, policy},
    eventually, servers, sql,
};

/// A blockhash lives for half a minute: nothing expires while a test looks.
const SLOT: Duration = Duration::from_millis(200);

/// A chain behind a proxy that gives no answer about signatures: what is sent lands, and nobody can say so.
struct Silence {
    world: World,
    chaos: Chaos,
    usdc_before: u64,
}

impl Silence {
    async fn start() -> Self {
        let world = World::start(SLOT, 1).await;
        let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
        let silent = Fault::Drop { seen: Seen::Close, forward: false };
        chaos.add(Rule::new(silent).on(&["getSignatureStatuses"])).unwrap();
        let mut silence = Self { world, chaos, usdc_before: 0 };
        silence.usdc_before = silence.usdc().await;
        silence
    }

    /// What the wallet has.
    async fn usdc(&self) -> u64 {
        self.world.tokens(&self.world.wallets[0], "USDC").await
    }

    fn setup(&self, setup: Setup, engine: &str) -> Setup {
        let endpoint = Some((self.chaos.rpc_url(), self.chaos.ws_url()));
        Setup { more: format!("[engine]\n{engine}\n"), endpoint, ..setup }
    }

    async fn shared(&self) -> Setup {
        self.world.shared(&servers::fresh_database().await, &servers::shared_redis())
    }
}

/// An order whose signature is stored and sent.
async fn submitted(daemon: &Daemon) -> (String, Value) {
    let id = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})).await;
    let order = shown(daemon, &id, |order| events(order).contains(&"sent")).await;
    (id, order)
}

/// The order, once it looks like this.
async fn shown(daemon: &Daemon, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually("an order's change", || async {
        let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
        if is_so(&order) { Ok(order) } else { Err(()) }
    })
    .await
}

fn events(order: &Value) -> Vec<&str> {
    order["history"].as_array().into_iter().flatten().map(|event| event["event"].as_str().unwrap()).collect()
}

/// The only dead letter, once there is one; it makes nothing unready.
async fn dead_letter(daemon: &Daemon) -> Value {
    let letter = eventually("a dead letter", || async {
        let (_, page) = daemon.get("/v1/dead-letters").await;
        page["deadLetters"].as_array().and_then(|letters| letters.first().cloned()).ok_or(())
    })
    .await;
    eventually("the number of dead letters", || async {
        let (status, ready) = daemon.get("/ready").await;
        if (status, &ready["deadLetters"]) == (200, &json!(1)) { Ok(()) } else { Err(()) }
    })
    .await;
    letter
}

/// Replays the order and waits for its end: it landed long ago, and nothing was signed again.
async fn replayed_lands(silence: &Silence, daemon: &Daemon, id: &str, before: &Value) {
    silence.chaos.clear();
    let (status, answer) = daemon.post(&format!("/v1/dead-letters/{id}/replay"), &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let order = daemon.ended(id).await;
    assert_eq!(order["status"], "confirmed", "{order}");
    assert_eq!((&order["txHash"], &order["signatures"]), (&before["txHash"], &json!(1)));
    assert!(events(&order).windows(2).any(|pair| pair == ["set_aside", "replayed"]), "{order}");
    let received = silence.usdc().await - silence.usdc_before;
    assert_eq!(order["filled"]["amountOut"]["base"], received.to_string(), "it swapped once");
    let (_, page) = daemon.get("/v1/dead-letters").await;
    assert_eq!(page, json!({"deadLetters": [], "nextCursor": null}));
    let (status, answer) = daemon.post(&format!("/v1/dead-letters/{id}/replay"), &json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{answer}");
}

async fn an_unreadable_order_waits_for_a_person(silence: Silence, setup: Setup) {
    let setup = silence.setup(setup, "");
    let mut daemon = Daemon::start(&silence.world, &setup, "all").await;
    let (id, before) = submitted(&daemon).await;
    daemon.kill_9().await;
    // The bytes that were sent are gone: nobody can send them again.
    let (store, keep) = (&setup.store, "create table kept as select * from attempts");
    sql::execute(store, keep).await;
    sql::execute(store, "delete from attempts").await;

    let daemon = Daemon::start(&silence.world, &setup, "all").await;
    let letter = dead_letter(&daemon).await;
    assert_eq!((&letter["id"], &letter["status"]), (&json!(id), &json!("submitted")), "not failed: it may have landed");
    assert_eq!(letter["setAside"]["cause"], "unreadable", "{letter}");
    sql::execute(store, "insert into attempts select * from kept").await;
    replayed_lands(&silence, &daemon, &id, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_order_waits_for_a_person_on_sqlite() {
    let silence = Silence::start().await;
    let setup = silence.world.embedded();
    an_unreadable_order_waits_for_a_person(silence, setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_order_waits_for_a_person_on_redis_and_postgres() {
    let silence = Silence::start().await;
    let setup = silence.shared().await;
    an_unreadable_order_waits_for_a_person(silence, setup).await;
}

/// The order's processes die each time it is taken up: by the test's hand, as they would by their own.
async fn an_order_that_kills_its_processes_is_set_aside(silence: Silence, setup: Setup) {
    let setup = silence.setup(setup, "max_take_ups = 2\nunknown_after = \"1h\"");
    let mut daemon = Daemon::start(&silence.world, &setup, "all").await;
    let (id, before) = submitted(&daemon).await;
    for take_ups in ["1", "2"] {
        daemon.kill_9().await;
        daemon = Daemon::start(&silence.world, &setup, "all").await;
        eventually("the order to be taken up", || async {
            let counted = sql::text(&setup.store, "select cast(take_ups as text) from orders").await;
            if counted == take_ups { Ok(()) } else { Err(()) }
        })
        .await;
    }
    daemon.kill_9().await;
    let daemon = Daemon::start(&silence.world, &setup, "all").await;
    let letter = dead_letter(&daemon).await;
    assert_eq!((&letter["id"], &letter["setAside"]["cause"]), (&json!(id), &json!("stuck")), "{letter}");
    assert_eq!((&letter["status"], &letter["txHash"]), (&json!("submitted"), &before["txHash"]));
    let (_, order) = daemon.get(&format!("/v1/orders/{id}")).await;
    assert_eq!((&order["status"], &order["setAside"]), (&json!("submitted"), &letter["setAside"]));
    let cancelled = daemon.post(&format!("/v1/orders/{id}/cancel"), &json!({})).await;
    assert_eq!(cancelled.0, 409, "its signature may land: {cancelled:?}");
    replayed_lands(&silence, &daemon, &id, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_kills_its_processes_is_set_aside_on_sqlite() {
    let silence = Silence::start().await;
    let setup = silence.world.embedded();
    an_order_that_kills_its_processes_is_set_aside(silence, setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_kills_its_processes_is_set_aside_on_redis_and_postgres() {
    let silence = Silence::start().await;
    let setup = silence.shared().await;
    an_order_that_kills_its_processes_is_set_aside(silence, setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_answer_the_outcome_is_unknown_and_then_it_is_not() {
    let silence = Silence::start().await;
    let setup = silence.setup(silence.world.embedded(), "unknown_after = \"200ms\"");
    let daemon = Daemon::start(&silence.world, &setup, "all").await;
    let (id, _) = submitted(&daemon).await;
    let order = shown(&daemon, &id, |order| order["outcome"] == "unknown").await;
    assert_eq!(order["status"], "submitted");
    let told = order["history"].as_array().unwrap().iter().find(|event| event["event"] == "outcome_unknown").unwrap();
    assert_eq!((&told["outcome"], &told["at"]), (&json!("unknown"), &order["unknown"]["since"]));
    assert!(order["unknown"]["reason"].as_str().unwrap().contains("nobody can say"), "{order}");
    let (_, page) = daemon.get("/v1/orders?status=submitted").await;
    let (_, receipt) = daemon.get(&format!("/v1/orders/{id}/receipt")).await;
    for view in [&page["orders"][0], &receipt] {
        assert_eq!((&view["outcome"], &view["unknown"]), (&order["outcome"], &order["unknown"]), "{view}");
    }

    silence.chaos.clear();
    let order = daemon.ended(&id).await;
    assert_eq!(
        (&order["status"], &order["outcome"], &order["unknown"]),
        (&json!("confirmed"), &Value::Null, &Value::Null)
    );
    let (_, receipt) = daemon.get(&format!("/v1/orders/{id}/receipt")).await;
    let answers = receipt["signatures"][0]["answers"].as_array().unwrap();
    let answer = &answers.last().unwrap()["landed"]["answer"];
    assert!(silence.chaos.rpc_url().ends_with(answer["endpoint"].as_str().unwrap()), "{receipt}");
    assert!(answer["contextSlot"].as_u64() >= receipt["slot"].as_u64(), "{receipt}");
    assert_eq!(answer["err"], Value::Null);
    assert!(["confirmed", "finalized"].contains(&answer["confirmationStatus"].as_str().unwrap()), "{receipt}");
}

/// Raydium, but writing an instruction panics until it is mended: a bug of ours in the middle of an order.
struct Buggy {
    venue: RaydiumCpmm,
    mended: AtomicBool,
}

#[async_trait]
impl Venue for Buggy {
    fn id(&self) -> VenueId {
        self.venue.id()
    }

    async fn quote(&self, request: &QuoteRequest) -> Result<Quote, VenueError> {
        self.venue.quote(request).await
    }

    async fn swap_instruction(&self, plan: &SwapPlan) -> Result<Instruction, VenueError> {
        assert!(self.mended.load(Ordering::Relaxed), "a bug");
        self.venue.swap_instruction(plan).await
    }

    async fn contended_accounts(&self, pool: &Pubkey) -> Result<Vec<Pubkey>, VenueError> {
        self.venue.contended_accounts(pool).await
    }

    fn fill(&self, pool: &Pubkey, transaction: &LandedTransaction) -> Option<Fill> {
        self.venue.fill(pool, transaction)
    }

    fn explain(&self, program: &Pubkey, error: u32) -> Option<Failure> {
        self.venue.explain(program, error)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_task_panics_is_set_aside_and_the_worker_lives_on() {
    let world = World::start(SLOT, 1).await;
    let chain = Chain::at(world.chain.rpc_url()).await;
    let scenario = world.scenario();
    let pools = scenario.pools.iter().map(|pool| pool.address).collect();
    let (venue, _) =
        RaydiumCpmm::connect(chain.snapshots.clone(), scenario.cpmm_program, pools, Discovery::Off).await.unwrap();
    let buggy = Arc::new(Buggy { venue, mended: AtomicBool::new(false) });

    let store = store::open(&world.embedded().store).await.unwrap();
    let queue = queue::open("memory:", &QueueOptions::default()).await.unwrap();
    let journal = Journal::new(store.clone());
    let wallets = Wallet::load_dir(&world.keys()).unwrap().into_iter().map(Arc::new).collect();
    let (parts, confirming) = parts(&store, Arc::new(Handover::new(0)), chain, vec![buggy.clone()], wallets).await;
    let executor = Arc::new(Executor::new(parts, policy(10)));
    let worker = Arc::new(Worker::new(executor, queue.clone(), Active::default(), 10, Duration::from_millis(500)));
    let stop = Stop { soft: CancellationToken::new(), hard: CancellationToken::new() };
    let mut tasks = JoinSet::new();
    tasks.spawn(confirming.run(stop.hard.clone()));
    tasks.spawn(worker.run(stop));

    let token = |symbol| {
        let token = scenario.token(symbol).unwrap();
        Token { symbol: token.symbol.into(), mint: token.mint, decimals: token.decimals, program: token.program }
    };
    let new = NewOrder {
        kind: OrderKind::Market,
        dialect: Dialect::V1,
        token_in: token("SOL"),
        token_out: token("USDC"),
        swap: Swap::ExactIn(BaseUnits::new(1_000_000_000)),
        slippage: Bps::new(100).unwrap(),
        limit: None,
        wallet: None,
        expiry: None,
        pool_wish: None,
    };
    let order = Order::create(OrderId::new(), new, OffsetDateTime::now_utc());
    journal.create(&order, None).await.unwrap();
    queue.push(&[order.id]).await.unwrap();
    let letter =
        eventually("the dead letter", || async { store.dead_letters(None, 1).await.unwrap().pop().ok_or(()) }).await;
    assert_eq!((letter.order_id, letter.status, letter.aside.cause), (order.id, Status::Building, Poison::Panicked));
    eventually("the job's end", || async { if queue.depth().await.unwrap() == 0 { Ok(()) } else { Err(()) } }).await;

    // The only signer is free again, and the order goes on from where it stood.
    buggy.mended.store(true, Ordering::Relaxed);
    journal.mark(order.id, OrderEvent::Replayed).await.unwrap().unwrap();
    queue.push(&[order.id]).await.unwrap();
    eventually("the order's end", || async {
        let order = store.order(order.id).await.unwrap().unwrap();
        if order.status.name() == Status::Confirmed { Ok(()) } else { Err(()) }
    })
    .await;
}
