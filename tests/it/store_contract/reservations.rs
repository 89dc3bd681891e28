//! Reservations: a wallet never promises the same lamports or tokens twice.

use futures_util::future::join_all;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    domain::{BaseUnits, Lamports, Order, OrderEvent, Status, StoredEvent},
    store::{Census, Promised, Reservation, SharedStore, Shortfall, StoreError},
};

use super::{
    open,
    sample::{reservation, reserve, routed, step, stored},
};

/// A claimed order routes with a promise.
async fn promise(store: &SharedStore, promise: Reservation) -> (Order, Result<StoredEvent, StoreError>) {
    let mut order = stored(store).await;
    step(store, &mut order, OrderEvent::Claimed).await.unwrap();
    let event = routed(&order, promise.wallet, true);
    let answer = reserve(store, &mut order, event, Some(promise)).await;
    (order, answer)
}

fn refused(answer: Result<StoredEvent, StoreError>) -> Shortfall {
    match answer {
        Err(StoreError::ReservationRefused(shortfall)) => shortfall,
        other => panic!("not refused: {other:?}"),
    }
}

fn no_lamports(needed: u64, free: u64) -> Shortfall {
    Shortfall::Lamports { needed: Lamports::new(needed), free: Lamports::new(free) }
}

pub async fn parallel_reservations_never_exceed_the_balance(url: String) {
    let stores = [open(&url).await, open(&url).await];
    let (wallet, other) = (Pubkey::new_unique(), Pubkey::new_unique());
    let tries = (0..40).map(|n| {
        let store = stores[n % 2].clone();
        let wallet = if n < 32 { wallet } else { other };
        tokio::spawn(async move { (wallet, promise(&store, reservation(wallet, 10, 105, 0)).await.1) })
    });
    let mut kept = 0;
    for answer in join_all(tries).await {
        match answer.unwrap() {
            (by, Ok(_)) if by == wallet => kept += 1,
            (by, answer) if by == wallet => assert_eq!(refused(answer), no_lamports(10, 5)),
            (_, answer) => assert!(answer.is_ok(), "another wallet's promises do not matter: {answer:?}"),
        }
    }
    assert_eq!(kept, 10);
    assert_eq!(refused(promise(&stores[1], reservation(wallet, 6, 105, 0)).await.1), no_lamports(6, 5));
    assert!(promise(&stores[1], reservation(wallet, 5, 105, 0)).await.1.is_ok(), "what is left may be promised");
    for store in stores {
        store.close().await;
    }
}

/// Two promises above 32 bits each, one order without, one that has ended.
pub async fn the_census_counts_open_orders_and_their_promises(url: String) {
    let store = open(&url).await;
    assert_eq!(store.census().await.unwrap(), []);
    let wallet = Pubkey::new_unique();
    let large = 5_000_000_000_000;
    let (mut ended, _) = promise(&store, reservation(wallet, 1, u64::MAX, 0)).await;
    step(&store, &mut ended, OrderEvent::Cancelled).await.unwrap();
    for lamports in [large, large + 1] {
        promise(&store, reservation(wallet, lamports, u64::MAX, 0)).await.1.unwrap();
    }
    let pending = stored(&store).await;
    let mut census = store.census().await.unwrap();
    census.sort_by_key(|row| row.status);
    let row = |status, orders, reserved| Census { status, orders, oldest: pending.created_at, reserved };
    assert_eq!(census, [row(Status::Pending, 1, 0), row(Status::Building, 2, u128::from(2 * large + 1))]);
    store.close().await;
}

pub async fn an_order_that_ended_frees_only_newer_balances(url: String) {
    let store = open(&url).await;
    let wallet = Pubkey::new_unique();
    let early = store.cursor().await.unwrap();
    let (mut order, answer) = promise(&store, reservation(wallet, 80, 100, early)).await;
    answer.unwrap();
    let before = store.cursor().await.unwrap();
    assert_eq!(refused(promise(&store, reservation(wallet, 30, 100, before)).await.1), no_lamports(30, 20));

    let ended = step(&store, &mut order, OrderEvent::Cancelled).await.unwrap();
    assert_eq!(refused(promise(&store, reservation(wallet, 30, 100, before)).await.1), no_lamports(30, 20));
    let just_before = ended.cursor - 1;
    assert_eq!(refused(promise(&store, reservation(wallet, 30, 100, just_before)).await.1), no_lamports(30, 20));
    promise(&store, reservation(wallet, 30, 100, ended.cursor)).await.1.unwrap();
    assert_eq!(refused(promise(&store, reservation(wallet, 71, 100, ended.cursor)).await.1), no_lamports(71, 70));
    store.close().await;
}

pub async fn a_new_reservation_replaces_the_old_one(url: String) {
    let store = open(&url).await;
    let wallet = Pubkey::new_unique();
    let (mut order, answer) = promise(&store, reservation(wallet, 80, 100, 0)).await;
    answer.unwrap();
    // Its own promise does not stand in an order's way, and an event without a promise leaves it alone.
    step(&store, &mut order, OrderEvent::Requoted { reason: "stale".into() }).await.unwrap();
    assert_eq!(refused(promise(&store, reservation(wallet, 30, 100, 0)).await.1), no_lamports(30, 20));
    let event = routed(&order, wallet, true);
    let greedy = reserve(&store, &mut order, event.clone(), Some(reservation(wallet, 101, 100, 0))).await;
    assert_eq!(refused(greedy), no_lamports(101, 100));
    reserve(&store, &mut order, event, Some(reservation(wallet, 60, 100, 0))).await.unwrap();
    promise(&store, reservation(wallet, 40, 100, 0)).await.1.unwrap();
    assert_eq!(refused(promise(&store, reservation(wallet, 1, 100, 0)).await.1), no_lamports(1, 0));
    store.close().await;
}

pub async fn the_largest_amounts_are_summed_exactly(url: String) {
    let store = open(&url).await;
    let (wallet, mint) = (Pubkey::new_unique(), Pubkey::new_unique());
    let tokens = |mint, amount, balance| Reservation {
        mint,
        amount: BaseUnits::new(amount),
        balance: BaseUnits::new(balance),
        ..reservation(wallet, 0, 0, 0)
    };
    // A wallet's balance is read anew for each: together they promise far more than 64 bits hold.
    promise(&store, tokens(mint, u64::MAX / 2, u64::MAX)).await.1.unwrap();
    promise(&store, tokens(mint, u64::MAX / 2, u64::MAX)).await.1.unwrap();
    let lacking = Shortfall::Tokens { needed: BaseUnits::new(2), free: BaseUnits::new(1) };
    assert_eq!(refused(promise(&store, tokens(mint, 2, u64::MAX)).await.1), lacking);
    promise(&store, tokens(mint, 1, u64::MAX)).await.1.unwrap();
    promise(&store, tokens(Pubkey::new_unique(), u64::MAX, u64::MAX)).await.1.expect("another mint is not touched");
    let lacking = Shortfall::Tokens { needed: BaseUnits::new(1), free: BaseUnits::ZERO };
    assert_eq!(refused(promise(&store, tokens(mint, 1, 5)).await.1), lacking, "promised more than a lower balance");
    store.close().await;
}

pub async fn what_is_promised_is_summed_by_wallet_and_mint(url: String) {
    let store = open(&url).await;
    let (wallet, other, mint) = (Pubkey::new_unique(), Pubkey::new_unique(), Pubkey::new_unique());
    let of = |wallet, mint, amount, lamports| Reservation {
        mint,
        amount: BaseUnits::new(amount),
        balance: BaseUnits::new(1_000),
        ..reservation(wallet, lamports, 1_000, 0)
    };
    let sol = Pubkey::default();
    let (mut ends, answer) = promise(&store, of(wallet, mint, 100, 1)).await;
    answer.unwrap();
    for reservation in [of(wallet, mint, 20, 2), of(wallet, mint, 3, 3), of(wallet, sol, 0, 400), of(other, mint, 7, 1)]
    {
        promise(&store, reservation).await.1.unwrap();
    }
    step(&store, &mut ends, OrderEvent::Cancelled).await.unwrap();

    let mut promised = store.promised(&[wallet]).await.unwrap();
    promised.sort_by_key(|it| it.amount);
    let sum = |mint, amount, lamports, orders| Promised {
        wallet,
        mint,
        amount: BaseUnits::new(amount),
        lamports: Lamports::new(lamports),
        orders,
    };
    assert_eq!(promised, [sum(sol, 0, 400, 1), sum(mint, 23, 5, 2)], "an order that ended promises nothing");
    assert_eq!(store.promised(&[wallet, other]).await.unwrap().len(), 3);
    assert_eq!(store.promised(&[]).await.unwrap(), []);
    store.close().await;
}
