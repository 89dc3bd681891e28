//! What becomes of a signature that was stored before the daemon died: sent or not, alive or dead, met or missed.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use swapd::{
    chain::{
        Blockhash, Rpc, Snapshots, Wallet,
        transaction::{Accounts, Draft, TOKEN_ACCOUNT_BYTES},
    },
    domain::{
        Attempt, BaseUnits, Bps, Dialect, Lamports, NewOrder, Order, OrderEvent, OrderId, OrderKind, Pair,
        QuoteRequest, Route, Swap, Token, VenueId,
    },
    engine::Journal,
    localnet::Options,
    venue::{
        SwapPlan, Venue,
        raydium_cpmm::{Discovery, RaydiumCpmm},
    },
};
use time::OffsetDateTime;

use crate::support::{
    daemon::{Daemon, Setup, World},
    within_patience,
};

const SLOT: Duration = Duration::from_millis(50);
const PAID: BaseUnits = BaseUnits::new(1_000_000_000);

/// How the stored bound relates to what the pool gives.
enum Bound {
    Met,
    MissedByOne,
}

/// The last thing that a daemon stored before it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Created,
    Claimed,
    Routed,
    Signed,
    Sent,
    Unknown,
}

/// Leaves an order in the store as a daemon leaves it that dies right after it stored the signature.
async fn signed_and_died(world: &World, setup: &Setup, bound: Bound, blockhash: Blockhash) -> (OrderId, Attempt) {
    died_after(Step::Signed, world, setup, bound, blockhash).await
}

/// The same after any step. A signature that was not stored was not sent either.
async fn died_after(
    step: Step,
    world: &World,
    setup: &Setup,
    bound: Bound,
    blockhash: Blockhash,
) -> (OrderId, Attempt) {
    let rpc = Arc::new(Rpc::new(world.chain.rpc_url().to_owned(), Duration::from_secs(5)));
    let scenario = world.scenario();
    let token = |symbol| {
        let token = scenario.token(symbol).unwrap();
        Token { symbol: token.symbol.into(), mint: token.mint, decimals: token.decimals, program: token.program }
    };
    let (token_in, token_out) = (token("SOL"), token("USDC"));
    let pair = Pair { mint_in: token_in.mint, mint_out: token_out.mint };
    let pools = scenario.pools.iter().map(|pool| pool.address).collect();
    let snapshots = Snapshots::over(rpc.clone());
    let (venue, _) = RaydiumCpmm::connect(snapshots, scenario.cpmm_program, pools, Discovery::Off).await.unwrap();
    let quote = venue.quote(&QuoteRequest { pair, swap: Swap::ExactIn(PAID) }).await.unwrap();
    let limit = match bound {
        Bound::Met => quote.amount_out.min_out(Bps::new(100).unwrap()),
        Bound::MissedByOne => BaseUnits::new(quote.amount_out.get() + 1),
    };

    let store = swapd::store::open(&setup.store).await.unwrap();
    let journal = Journal::new(store.clone());
    let new = NewOrder {
        kind: OrderKind::Market,
        dialect: Dialect::V1,
        token_in: token_in.clone(),
        token_out: token_out.clone(),
        swap: Swap::ExactIn(PAID),
        slippage: Bps::new(100).unwrap(),
        limit: Some(limit),
        wallet: None,
        expiry: None,
        pool_wish: None,
    };
    let mut order = Order::create(OrderId::new(), new, OffsetDateTime::now_utc());
    journal.create(&order, None).await.unwrap();

    let wallet = Wallet::load_dir(&world.keys()).unwrap().remove(0);
    let owner = wallet.address();
    let accounts = Accounts::derive(owner, &token_in, &token_out, &order.id.0.simple().to_string()).unwrap();
    let plan = SwapPlan {
        pool: quote.pool,
        pair,
        swap: order.swap,
        limit,
        owner,
        source: accounts.source,
        destination: accounts.destination,
    };
    let swap = venue.swap_instruction(&plan).await.unwrap();
    let rent = rpc.rent_exemption(TOKEN_ACCOUNT_BYTES).await.unwrap();
    let memo = format!("swapd:{}", order.id);
    let draft = Draft::new(&accounts, &token_in, &token_out, PAID, rent, swap, Some(&memo)).unwrap();
    let (signature, wire) = draft.sign(&wallet, 200_000, 0, blockhash.hash).unwrap();
    let attempt = Attempt {
        n: 1,
        signature,
        wallet: owner,
        blockhash: blockhash.hash,
        last_valid_block_height: blockhash.last_valid_block_height,
        context_slot: blockhash.context_slot,
        venue: VenueId::RaydiumCpmm,
        pool: quote.pool,
        quoted_in: quote.amount_in,
        quoted_out: quote.amount_out,
        limit,
        compute_units: 200_000,
        priority_fee: Lamports::new(0),
        wire,
    };
    let route = Route { chosen: quote, reason: "by hand".into(), quotes: Vec::new() };
    for (at, event) in [
        (Step::Claimed, OrderEvent::Claimed),
        (Step::Routed, OrderEvent::Routed { route, limit, wallet: Some(owner) }),
        (Step::Signed, OrderEvent::Signed { attempt: attempt.clone() }),
        (Step::Sent, OrderEvent::Sent { signature }),
        (Step::Unknown, OrderEvent::OutcomeUnknown { reason: "by hand".into() }),
    ] {
        if at <= step {
            journal.append(&mut order, event, None).await.unwrap();
        }
    }
    store.close().await;
    (order.id, attempt)
}

fn events(order: &Value) -> Vec<&str> {
    order["history"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// E.14, 16. `recovery` kills whole daemons at each of these steps, under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_after_any_step_of_the_journal_ends_the_order_with_one_swap() {
    let world = World::start(SLOT, 1).await;
    for step in [Step::Created, Step::Claimed, Step::Routed, Step::Signed, Step::Sent, Step::Unknown] {
        for arrived in [false, true] {
            let signed = step >= Step::Signed;
            if arrived && !signed || step == Step::Sent && !arrived {
                continue;
            }
            let setup = world.embedded_anew();
            let before = world.tokens(&world.wallets[0], "USDC").await;
            let blockhash = world.rpc.latest_blockhash().await.unwrap();
            let (id, attempt) = died_after(step, &world, &setup, Bound::Met, blockhash).await;
            if arrived {
                world.rpc.send(&attempt.wire, attempt.context_slot).await.unwrap();
            }
            let daemon = Daemon::start(&world, &setup, "all").await;
            let order = daemon.ended(&id.to_string()).await;
            assert_eq!(order["status"], "confirmed", "{step:?}, arrived {arrived}: {order}");
            assert_eq!(order["signatures"], 1, "{step:?}, arrived {arrived}: {order}");
            assert_eq!(order["txHash"] == attempt.signature.to_string(), signed, "{step:?}: {order}");
            let filled: u64 = order["filled"]["amountOut"]["base"].as_str().unwrap().parse().unwrap();
            assert_eq!(world.tokens(&world.wallets[0], "USDC").await - before, filled, "{step:?}: swapped once");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_was_never_sent_lands_after_the_restart() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let blockhash = world.rpc.latest_blockhash().await.unwrap();
    let (id, attempt) = signed_and_died(&world, &setup, Bound::Met, blockhash).await;
    let daemon = Daemon::start(&world, &setup, "all").await;
    let order = daemon.ended(&id.to_string()).await;
    assert_eq!(order["status"], "confirmed", "{order}");
    assert_eq!(order["txHash"], attempt.signature.to_string(), "the stored bytes were sent, nothing was signed anew");
}

/// E.14, 16.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_landed_while_the_daemon_was_dead_is_found_and_not_repeated() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let blockhash = world.rpc.latest_blockhash().await.unwrap();
    let (id, attempt) = signed_and_died(&world, &setup, Bound::Met, blockhash).await;
    world.rpc.send(&attempt.wire, attempt.context_slot).await.unwrap();
    let swapped = world.tokens(&world.wallets[0], "USDC").await;

    let daemon = Daemon::start(&world, &setup, "all").await;
    let order = daemon.ended(&id.to_string()).await;
    assert_eq!(order["status"], "confirmed");
    assert_eq!(order["txHash"], attempt.signature.to_string());
    assert_eq!(world.tokens(&world.wallets[0], "USDC").await, swapped, "the swap took place once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_missed_on_chain_ends_the_order_and_costs_only_the_fee() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let (wallet, blockhash) = (world.wallets[0], world.rpc.latest_blockhash().await.unwrap());
    let before = (world.lamports(&wallet).await, world.tokens(&wallet, "USDC").await);
    let (id, attempt) = signed_and_died(&world, &setup, Bound::MissedByOne, blockhash).await;
    let daemon = Daemon::start(&world, &setup, "all").await;
    let order = daemon.ended(&id.to_string()).await;
    assert_eq!(order["status"], "failed", "{order}");
    assert_eq!(order["failure"]["code"], "slippage_exceeded", "{order}");
    assert_eq!(order["txHash"], attempt.signature.to_string(), "the failed transaction can be looked up");
    assert_eq!(events(&order).last(), Some(&"rejected"));
    let after = (world.lamports(&wallet).await, world.tokens(&wallet, "USDC").await);
    assert_eq!(after, (before.0 - 5_000, before.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_died_unsent_is_replaced_only_after_its_death_is_proven() {
    // At 20 ms a slot a blockhash dies within 3 s.
    let world = World::start(Duration::from_millis(20), 1).await;
    let setup = world.embedded();
    let blockhash = world.rpc.latest_blockhash().await.unwrap();
    let (id, attempt) = signed_and_died(&world, &setup, Bound::Met, blockhash).await;
    within_patience("the blockhash to die", async {
        while world.rpc.confirmed_height().await.unwrap() <= attempt.last_valid_block_height {
            tokio::time::sleep(Duration::from_millis(50)).await; // between looks; nothing relies on its length
        }
    })
    .await;

    let daemon = Daemon::start(&world, &setup, "all").await;
    let order = daemon.ended(&id.to_string()).await;
    assert_eq!(order["status"], "confirmed", "{order}");
    assert_eq!(order["signatures"], 2);
    assert_ne!(order["txHash"], attempt.signature.to_string());
    let history = order["history"].as_array().unwrap();
    let expired = history.iter().find(|event| event["event"] == "expired").unwrap();
    let height = |name: &str| expired["proof"][name].as_u64().unwrap();
    assert!(height("finalizedHeight") > height("lastValidBlockHeight"));
    let again = history.iter().position(|event| event["event"] == "signed" && event["attempt"]["n"] == 2).unwrap();
    assert!(history.iter().position(|event| event["event"] == "expired").unwrap() < again);
    let (first, second) = (&order["attempts"][0], &order["attempts"][1]);
    assert_eq!((&first["outcome"], &second["outcome"]), (&"expired".into(), &"landed".into()));
    // The bound of the first attempt is the bound of the second.
    assert_eq!(first["limit"], second["limit"]);

    let (status, receipt) = daemon.get(&format!("/v1/orders/{id}/receipt")).await;
    assert_eq!(status, 200);
    let [dead, landed] = &receipt["signatures"].as_array().unwrap()[..] else { panic!("{receipt}") };
    assert_eq!(dead["answers"][0]["expired"], expired["proof"]);
    assert_eq!(landed["answers"].as_array().unwrap().last().unwrap()["landed"]["error"], Value::Null);
    assert_eq!(receipt["filled"], order["filled"]);
    assert_eq!(receipt["realisedSlippageBps"], 0, "nobody else trades here");
    let stages = receipt["timings"]["stagesMs"].as_object().unwrap();
    let spent: i64 = stages.values().map(|stage| stage.as_i64().unwrap()).sum();
    let total = receipt["timings"]["totalMs"].as_i64().unwrap();
    assert!(spent <= total && total - spent < 16, "the stages make up the whole but for roundings: {receipt}");
}

/// E.14, 11. That an unsent one expires follows from heights alone, and is shown at 20 ms above.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_lands_once_at_any_block_time() {
    let swaps = [150, 200, 400, 2_000].map(|millis| async move {
        let slot_time = Duration::from_millis(millis);
        let world = World::with(Options { slot_time, ..Options::default() }, 1).await;
        let daemon = Daemon::start(&world, &world.embedded(), "all").await;
        let before = world.tokens(&world.wallets[0], "USDC").await;
        let id = daemon.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1"})).await;
        let order = daemon.ended(&id).await;
        assert_eq!((&order["status"], &order["signatures"]), (&json!("confirmed"), &json!(1)), "{millis} ms: {order}");
        let filled: u64 = order["filled"]["amountOut"]["base"].as_str().unwrap().parse().unwrap();
        assert_eq!(world.tokens(&world.wallets[0], "USDC").await - before, filled, "{millis} ms");
    });
    futures_util::future::join_all(swaps).await;
}

/// E.14, 15. On a cluster a payer with one lamport above the fee, or with anything else below its rent reserve, cannot pay
/// and nothing runs; the embedded chain takes the fee from all of them. The order tells what happened, either way.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_at_the_edge_never_makes_an_order_executed_that_was_not() {
    const FEE: u64 = 5_000;
    const RESERVE: u64 = 890_880;
    // At 20 ms a slot a blockhash dies within 3 s.
    let world = World::start(Duration::from_millis(20), 1).await;
    let wallet = world.wallets[0];
    for lamports in [FEE, FEE + 1, FEE + RESERVE - 1] {
        world.set_lamports(&wallet, 10_000_000_000).await;
        let setup = world.embedded_anew();
        let tokens = world.tokens(&wallet, "USDC").await;
        let blockhash = world.rpc.latest_blockhash().await.unwrap();
        let (id, _) = signed_and_died(&world, &setup, Bound::Met, blockhash).await;
        world.set_lamports(&wallet, lamports).await;
        let daemon = Daemon::start(&world, &setup, "all").await;
        let order = daemon.ended(&id.to_string()).await;
        assert_eq!(order["status"], "failed", "{lamports}: {order}");
        assert_eq!(order["failure"]["code"], "insufficient_funds", "{lamports}: {order}");
        assert_eq!(order["signatures"], 1, "{lamports}: {order}");
        let ran = events(&order).contains(&"rejected");
        assert_ne!(ran, events(&order).contains(&"expired"), "{lamports}: {order}");
        let left = if ran { lamports - FEE } else { lamports };
        assert_eq!((world.lamports(&wallet).await, world.tokens(&wallet, "USDC").await), (left, tokens), "{lamports}");
    }
}

/// E.14, 17.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_executed_at_the_rent_that_holds_when_it_is_signed() {
    let world = World::start(SLOT, 1).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    for lamports_per_byte in [6_960, 5_080, 8_000, 696] {
        world.set_rent(lamports_per_byte).await;
        let before = world.tokens(&world.wallets[0], "USDC").await;
        // A rent that is too low leaves too little wrapped SOL for the way in, and no account at all for the way out.
        let mut moved = 0;
        for (token_in, token_out, sign) in [("SOL", "USDC", 1), ("USDC", "SOL", -1)] {
            let order = json!({"tokenIn": token_in, "tokenOut": token_out, "amountIn": "1"});
            let order = daemon.ended(&daemon.order(&order).await).await;
            assert_eq!(order["status"], "confirmed", "{lamports_per_byte}: {order}");
            assert_eq!(order["signatures"], 1, "{lamports_per_byte}: {order}");
            let amount = if sign > 0 { "amountOut" } else { "amountIn" };
            moved += sign * order["filled"][amount]["base"].as_str().unwrap().parse::<i64>().unwrap();
        }
        let after = world.tokens(&world.wallets[0], "USDC").await;
        assert_eq!(after.cast_signed() - before.cast_signed(), moved, "{lamports_per_byte}");
    }
}

/// E.14, 17: after the signature nothing can be changed any more; the order tells what happened and costs the fee.
#[tokio::test(flavor = "multi_thread")]
async fn a_rent_that_rises_after_the_signature_ends_the_order_with_the_truth() {
    let world = World::start(SLOT, 1).await;
    let setup = world.embedded();
    let (wallet, blockhash) = (world.wallets[0], world.rpc.latest_blockhash().await.unwrap());
    let before = (world.lamports(&wallet).await, world.tokens(&wallet, "USDC").await);
    let (id, attempt) = signed_and_died(&world, &setup, Bound::Met, blockhash).await;
    world.set_rent(8_000).await;
    let daemon = Daemon::start(&world, &setup, "all").await;
    let order = daemon.ended(&id.to_string()).await;
    assert_eq!(order["status"], "failed", "{order}");
    assert_eq!(events(&order).last(), Some(&"rejected"));
    assert_eq!(order["txHash"], attempt.signature.to_string());
    assert!(order["failure"]["reason"].as_str().unwrap().contains("rent has risen"), "{order}");
    let after = (world.lamports(&wallet).await, world.tokens(&wallet, "USDC").await);
    assert_eq!(after, (before.0 - 5_000, before.1));
}
