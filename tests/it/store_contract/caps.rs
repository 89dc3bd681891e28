//! Spend caps: no hour holds more than they allow, whoever promises.

use futures_util::future::join_all;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    domain::{BaseUnits, ErrorCode, Failure, HourCaps, NewOrder, Order, OrderEvent, OrderId, Token},
    store::{Reservation, SharedStore, Shortfall, StoreError, Window},
};
use time::Duration;

use super::{
    open,
    sample::{START, new_order, reservation, reserve, routed, step},
};

/// Orders that pay with one token, each by a promise of so much under these caps.
struct Desk {
    token: Token,
    caps: HourCaps,
}

impl Desk {
    fn new(all: Option<u64>, wallet: Option<u64>) -> Self {
        let caps = HourCaps { all: all.map(BaseUnits::new), wallet: wallet.map(BaseUnits::new) };
        Self { token: new_order().token_in, caps }
    }

    fn promise(&self, wallet: Pubkey, amount: u64) -> Reservation {
        let mint = self.token.mint;
        Reservation { mint, caps: self.caps, spends: BaseUnits::new(amount), ..reservation(wallet, 0, 1, 0) }
    }

    /// A claimed order, begun this long after the story's start.
    async fn order(&self, store: &SharedStore, after: Duration) -> Order {
        let new = NewOrder { token_in: self.token.clone(), ..new_order() };
        let mut order = Order::create(OrderId::new(), new, START + after);
        store.create(&order, None).await.unwrap();
        step(store, &mut order, OrderEvent::Claimed).await.unwrap();
        order
    }

    /// Routes an order with a promise; the order, or what stood in its way.
    async fn spend(
        &self,
        store: &SharedStore,
        after: Duration,
        wallet: Pubkey,
        amount: u64,
    ) -> Result<Order, Shortfall> {
        let mut order = self.order(store, after).await;
        self.spend_again(store, &mut order, wallet, amount).await.map(|()| order)
    }

    async fn spend_again(
        &self,
        store: &SharedStore,
        order: &mut Order,
        wallet: Pubkey,
        amount: u64,
    ) -> Result<(), Shortfall> {
        let event = routed(order, wallet, true);
        match reserve(store, order, event, Some(self.promise(wallet, amount))).await {
            Ok(_) => Ok(()),
            Err(error @ StoreError::ReservationRefused(shortfall)) => {
                assert_eq!(error.code(), ErrorCode::CapExceeded);
                Err(shortfall)
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn full(window: Window, cap: u64, spent: u64, needed: u64) -> Shortfall {
    Shortfall::Cap { window, cap: BaseUnits::new(cap), spent: BaseUnits::new(spent), needed: BaseUnits::new(needed) }
}

pub async fn parallel_orders_never_spend_more_than_the_caps(url: String) {
    let stores = [open(&url).await, open(&url).await];
    let desk = std::sync::Arc::new(Desk::new(Some(105), Some(45)));
    let wallets: Vec<_> = (0..4).map(|_| Pubkey::new_unique()).collect();
    let tries = (0..64).map(|n| {
        let (store, desk, wallet) = (stores[n % 2].clone(), desk.clone(), wallets[n % 4]);
        tokio::spawn(async move { (wallet, desk.spend(&store, Duration::ZERO, wallet, 10).await.is_ok()) })
    });
    let kept: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).filter(|(_, kept)| *kept).collect();
    assert_eq!(kept.len(), 10, "ten times 10 stay below 105, and eleven do not");
    for wallet in &wallets {
        let own = kept.iter().filter(|(by, _)| by == wallet).count();
        assert!(own <= 4, "{own} times 10 are above one wallet's 45");
    }
    for store in stores {
        store.close().await;
    }
}

pub async fn only_the_last_hour_and_what_did_not_fail_counts(url: String) {
    let store = open(&url).await;
    let desk = Desk::new(Some(100), Some(70));
    let (wallet, other) = (Pubkey::new_unique(), Pubkey::new_unique());
    let minutes = Duration::minutes;
    let mut first = desk.spend(&store, minutes(0), wallet, 70).await.unwrap();
    assert_eq!(desk.spend(&store, minutes(1), wallet, 1).await.unwrap_err(), full(Window::Wallet, 70, 70, 1));
    assert_eq!(desk.spend(&store, minutes(2), other, 31).await.unwrap_err(), full(Window::All, 100, 70, 31));
    let mut second = desk.spend(&store, minutes(30), other, 30).await.unwrap();
    let uncapped = Desk { token: desk.token.clone(), caps: HourCaps::default() };
    uncapped.spend(&store, minutes(31), other, 1).await.expect("without caps nothing is summed");
    let elsewhere = Desk::new(Some(100), None);
    elsewhere.spend(&store, minutes(32), wallet, 100).await.expect("another token has its own cap");

    // Its own earlier promise does not count against an order; a failed one has spent nothing.
    step(&store, &mut first, OrderEvent::Requoted { reason: "stale".into() }).await.unwrap();
    desk.spend_again(&store, &mut first, wallet, 60).await.unwrap();
    let failure = Failure::new(ErrorCode::NoRoute, "none");
    step(&store, &mut second, OrderEvent::Failed { failure }).await.unwrap();
    assert_eq!(desk.spend(&store, minutes(33), other, 40).await.unwrap_err(), full(Window::All, 100, 61, 40));
    desk.spend(&store, minutes(34), other, 39).await.unwrap();

    // An hour after they were promised, the first ones are out of the sum.
    assert_eq!(desk.spend(&store, minutes(59), wallet, 1).await.unwrap_err(), full(Window::All, 100, 100, 1));
    desk.spend(&store, minutes(61), wallet, 60).await.unwrap();
    store.close().await;
}
