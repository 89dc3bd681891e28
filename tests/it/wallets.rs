//! What `/v1/wallets` says is what the chain has, and what open orders have promised.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use solana_sdk::pubkey::Pubkey;
use swapd::{
    chain::{ChainError, Rpc, Wallet},
    chaos::{Chaos, Fault, Options, Rule, When},
    domain::{BaseUnits, Bps, HourCaps, Lamports, OrderEvent, Rules, Token},
    engine::{Holdings, treasury::TreasuryError},
    store::{self, Reservation, SharedStore},
};

use crate::{
    store_contract::sample::{reserve, routed, step, stored},
    support::{
        daemon::{Daemon, Setup, World, command},
        eventually,
    },
};

const SLOT: Duration = Duration::from_millis(50);

fn base(value: &Value) -> u64 {
    value["base"].as_str().unwrap_or_else(|| panic!("no amount in {value}")).parse().unwrap()
}

fn rules(world: &World) -> Rules {
    let tokens = world.scenario().tokens.iter().map(|token| Token {
        symbol: token.symbol.into(),
        mint: token.mint,
        decimals: token.decimals,
        program: token.program,
    });
    Rules { tokens: tokens.collect(), default_slippage: Bps::default(), max_slippage: Bps::default() }
}

fn keys(world: &World) -> Vec<Arc<Wallet>> {
    Wallet::load_dir(&world.keys()).unwrap().into_iter().map(Arc::new).collect()
}

/// An open order that has promised `amount` of `mint` and `lamports`.
async fn open_order(store: &SharedStore, wallet: Pubkey, mint: Pubkey, amount: u64, lamports: u64) {
    let mut order = stored(store).await;
    step(store, &mut order, OrderEvent::Claimed).await.unwrap();
    let event = routed(&order, wallet, true);
    let promise = Reservation {
        wallet,
        mint,
        amount: BaseUnits::new(amount),
        lamports: Lamports::new(lamports),
        balance: BaseUnits::new(u64::MAX),
        balance_lamports: Lamports::new(u64::MAX),
        as_of: 0,
        spends: BaseUnits::ZERO,
        caps: HourCaps::default(),
    };
    reserve(store, &mut order, event, Some(promise)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_tells_the_balances_that_its_swaps_left_on_the_chain() {
    let world = World::start(SLOT, 3).await;
    let daemon = Daemon::start(&world, &world.embedded(), "all").await;
    let (status, fresh) = daemon.get("/v1/wallets").await;
    assert_eq!((status, fresh["wallets"].as_array().unwrap().len()), (200, 3), "{fresh}");

    let order = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "2", "wallet": world.wallets[1].to_string()});
    let order = daemon.ended(&daemon.order(&order).await).await;
    assert_eq!(order["status"], "confirmed", "{order}");

    let landed = order["slot"].as_u64().unwrap();
    let wallets = eventually("a reading after the swap's slot", || async {
        let (_, answer) = daemon.get("/v1/wallets").await;
        let wallets = answer["wallets"].as_array().unwrap().clone();
        if wallets.iter().all(|it| it["asOfSlot"].as_u64().unwrap() >= landed) { Ok(wallets) } else { Err(answer) }
    })
    .await;
    for (n, wallet) in wallets.iter().enumerate() {
        let address = world.wallets[n];
        assert_eq!((&wallet["address"], &wallet["name"]), (&json!(address.to_string()), &json!(format!("wallet-{n}"))));
        assert_eq!(base(&wallet["sol"]["balance"]), world.lamports(&address).await);
        let tokens = wallet["tokens"].as_array().unwrap();
        let symbols: Vec<_> = tokens.iter().map(|token| token["symbol"].as_str().unwrap()).collect();
        assert_eq!(symbols, ["USDC", "LEVY"], "SOL is the wallet's lamports");
        for token in tokens {
            let symbol = token["symbol"].as_str().unwrap();
            assert_eq!(base(&token["balance"]), world.tokens(&address, symbol).await, "{symbol} of {n}");
            assert_eq!(base(&token["reserved"]), 0);
        }
        assert_eq!((base(&wallet["sol"]["reserved"]), &wallet["openOrders"]), (0, &json!(0)), "nothing is open");
    }
    assert!(base(&wallets[1]["sol"]["balance"]) < base(&wallets[0]["sol"]["balance"]), "the named wallet paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_open_orders_have_promised_stands_beside_the_balances() {
    let world = World::start(SLOT, 2).await;
    let store = store::open(&world.embedded().store).await.unwrap();
    let [sol, usdc, _] = world.scenario().tokens.clone();
    let wallet = world.wallets[0];
    open_order(&store, wallet, usdc.mint, 700, 10).await;
    open_order(&store, wallet, usdc.mint, 77, 20).await;
    open_order(&store, wallet, sol.mint, 0, 5_000).await;
    let rpc = Arc::new(Rpc::new(world.chain.rpc_url().to_owned(), Duration::from_secs(10)));
    let holdings = Holdings::new(rpc, store.clone(), &rules(&world), &keys(&world));

    let readings = join_all((0..50).map(|_| holdings.reading())).await;
    let reading = readings[0].as_ref().unwrap();
    for other in &readings {
        assert!(Arc::ptr_eq(reading, other.as_ref().unwrap()), "fifty who ask at once share one look at the chain");
    }
    let [first, second] = &reading.holdings[..] else { panic!("two wallets: {reading:?}") };
    assert_eq!((first.reserved_lamports.get(), first.open_orders), (5_030, 3));
    let reserved: Vec<_> = first.tokens.iter().map(|it| (it.token.symbol.as_str(), it.reserved.get())).collect();
    assert_eq!(reserved, [("USDC", 777), ("LEVY", 0)]);
    assert_eq!(first.lamports.get(), world.lamports(&wallet).await);
    assert_eq!((second.reserved_lamports.get(), second.open_orders), (0, 0), "another wallet's promises");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faucet_that_is_busy_at_first_funds_a_wallet_and_the_list_shows_it() {
    let world = World::start(SLOT, 0).await;
    let chaos = Chaos::start(Options::new(world.chain.rpc_url(), world.chain.ws_url())).await.unwrap();
    let config = world.config(&Setup { endpoint: Some((chaos.rpc_url(), chaos.ws_url())), ..world.embedded() });
    let wallet = Wallet::create(&world.keys(), "trader").unwrap().address();
    let busy = Rule::new(Fault::TooManyRequests { retry_after: Some(1) }).on(&["requestAirdrop"]).when(When::Once);
    chaos.add(busy).unwrap();
    let (funded, said) = command(&config, &["wallet", "fund", "trader", "2"]).await;
    assert!(funded.success() && said.contains(&format!("{wallet}  2 SOL")), "{said}");
    let (_, said) = command(&config, &["wallet", "list"]).await;
    assert!(said.contains("trader               2 SOL"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_does_not_answer_is_not_asked_again_by_everybody() {
    let world = World::start(SLOT, 1).await;
    let store = store::open(&world.embedded().store).await.unwrap();
    let (rules, keys) = (rules(&world), keys(&world));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // takes connections and says nothing
    let url = format!("http://{}", silent.local_addr().unwrap());
    let rpc = Arc::new(Rpc::new(url, Duration::from_millis(100)));
    let holdings = Holdings::new(rpc, store, &rules, &keys);
    let answers = join_all((0..20).map(|_| holdings.reading())).await;
    let first = answers[0].as_ref().unwrap_err();
    assert!(matches!(&**first, TreasuryError::Chain(ChainError::TimedOut { .. })), "{first:?}");
    assert!(answers.iter().all(|answer| Arc::ptr_eq(first, answer.as_ref().unwrap_err())));
}
