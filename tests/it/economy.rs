//! What orders cost in RPC calls: within the public devnet's limits, and how many each takes.
//!
//! The daemon is a process with the settings of the `devnet` profile; the embedded chain is behind the proxy, which
//! counts every call and answers 429 where the public devnet would. The windows are the real ten seconds.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::json;
use solana_sdk::pubkey::Pubkey;
use swapd::{
    chain::{LandedTransaction, rpc::TokenBalance},
    chaos::{Chaos, Counts, Fault, Limits, Options, Rule, When},
};

use crate::support::daemon::{Daemon, Setup, World};

/// Devnet's slots.
const SLOT: Duration = Duration::from_millis(200);
const SIGNERS: usize = 10;

/// The embedded chain behind the proxy.
struct Devnet {
    world: World,
    chaos: Chaos,
}

impl Devnet {
    async fn start(limits: Option<Limits>) -> Self {
        let world = World::start(SLOT, SIGNERS).await;
        let mut options = Options::new(world.chain.rpc_url(), world.chain.ws_url());
        options.limits = limits;
        let chaos = Chaos::start(options).await.unwrap();
        Self { world, chaos }
    }

    /// The `devnet` profile through the proxy.
    fn setup(&self) -> Setup {
        let endpoint = Some((self.chaos.rpc_url(), self.chaos.ws_url()));
        Setup { endpoint, chain: String::new(), profile: Some("devnet"), ..self.world.embedded() }
    }

    /// USDC of all wallets, in base units.
    async fn usdc(&self) -> u64 {
        let wallets = stream::iter(&self.world.wallets);
        wallets.then(|wallet| self.world.tokens(wallet, "USDC")).fold(0, |sum, one| async move { sum + one }).await
    }

    /// The chain's own slot.
    async fn slot(&self) -> u64 {
        self.world.rpc.slot().await.unwrap().0
    }

    /// Gives this many orders to the daemons in turn, one `every` so often, and waits until all have ended. Each is
    /// confirmed with its first signature, and the wallets received on the chain what the orders say: none swapped twice.
    async fn trade(&self, daemons: &[&Daemon], orders: usize, every: Duration) -> Cost {
        let (before, counted, since_slot) = (self.usdc().await, self.chaos.counts(), self.slot().await);
        let (begun, mut given) = (Instant::now(), Vec::new());
        let mut clock = tokio::time::interval(every.max(Duration::from_nanos(1)));
        for (n, daemon) in (0..orders).zip(daemons.iter().cycle()) {
            clock.tick().await;
            let amount = (10_000_000 + n).to_string();
            let order = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountInBase": amount});
            given.push((daemon, daemon.order(&order).await));
        }
        let mut received = 0;
        for (daemon, id) in &given {
            let order = daemon.ended(id).await;
            assert_eq!(order["status"], "confirmed", "{order}\n{}", daemon.log());
            assert_eq!(order["attempts"].as_array().unwrap().len(), 1, "{order}");
            received += order["filled"]["amountOut"]["base"].as_str().unwrap().parse::<u64>().unwrap();
        }
        let blocks = self.slot().await - since_slot;
        let cost = Cost { orders, took: begun.elapsed(), blocks, counts: since(&self.chaos.counts(), &counted) };
        assert_eq!(self.usdc().await - before, received);
        cost
    }

    /// Nothing was refused since the proxy's start.
    fn assert_unlimited(&self) {
        let counts = self.chaos.counts();
        assert_eq!((counts.total().limited, counts.refused_connections), (0, 0), "{counts:?}");
    }
}

/// What some orders took.
struct Cost {
    orders: usize,
    /// From the first order's request to the last one's end.
    took: Duration,
    /// Blocks that were made meanwhile.
    blocks: u64,
    counts: Counts,
}

impl Cost {
    /// Calls of a method per order; what a socket's subscriptions bring is no call.
    fn per_order(&self, method: &str) -> f64 {
        self.counts.of(method).calls as f64 / self.orders as f64
    }

    fn calls(&self) -> impl Iterator<Item = (&str, u64)> {
        let heard = |method: &str| method.ends_with("Notification") || method.is_empty();
        let methods = self.counts.methods.iter().map(|(method, it)| (method.as_str(), it.calls));
        methods.filter(move |(method, calls)| !heard(method) && *calls > 0)
    }

    fn print(&self, what: &str) {
        let limited = self.counts.total().limited;
        let Self { orders, took, blocks, .. } = self;
        eprintln!("{what}: {orders} orders, each confirmed once, in {took:.1?} and {blocks} blocks, {limited} limited");
        for (method, calls) in self.calls() {
            eprintln!("  {method:<36} {calls:>6} {:>8.2} per order", self.per_order(method));
        }
        let all: u64 = self.calls().map(|(_, calls)| calls).sum();
        eprintln!("  {:<36} {all:>6} {:>8.2} per order", "all", all as f64 / self.orders as f64);
    }
}

fn since(now: &Counts, before: &Counts) -> Counts {
    let mut since = now.clone();
    for (method, it) in &mut since.methods {
        let was = before.of(method);
        it.calls -= was.calls;
        it.limited -= was.limited;
        it.faults -= was.faults;
    }
    since
}

/// A number that a script gives, or what a test run has time for.
fn given(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// As many a minute as `SWAPD_ECONOMY_PER_MINUTE` says, or a hundred.
fn rate() -> Duration {
    Duration::from_secs(60) / u32::try_from(given("SWAPD_ECONOMY_PER_MINUTE", 100)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_orders_a_minute_stay_within_devnets_limits() {
    let devnet = Devnet::start(Some(Limits::devnet())).await;
    let daemon = Daemon::start(&devnet.world, &devnet.setup(), "all").await;
    let cost = devnet.trade(&[&daemon], given("SWAPD_ECONOMY_ORDERS", 100), rate()).await;
    cost.print("a hundred a minute within devnet's limits");
    devnet.assert_unlimited();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_orders_at_once_wait_for_their_turn_and_draw_no_refusal() {
    let devnet = Devnet::start(Some(Limits::devnet())).await;
    let daemon = Daemon::start(&devnet.world, &devnet.setup(), "all").await;
    devnet.trade(&[&daemon], 100, Duration::ZERO).await.print("a hundred at once within devnet's limits");
    devnet.assert_unlimited();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_behind_one_address_share_its_limits() {
    let devnet = Devnet::start(Some(Limits::devnet())).await;
    let half = |store: &str| Setup {
        chain: "limits = { per_10s = 50, per_method_10s = 20 }\n".into(),
        store: devnet.world.embedded().store.replace("swapd.db", store),
        ..devnet.setup()
    };
    let one = Daemon::start(&devnet.world, &half("one.db"), "all").await;
    let other = Daemon::start(&devnet.world, &half("other.db"), "all").await;
    devnet.trade(&[&one, &other], 40, rate()).await.print("two daemons within devnet's limits");
    devnet.assert_unlimited();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_limits_for_no_reason_delays_orders_and_fails_none() {
    for retry_after in [None, Some(1)] {
        let devnet = Devnet::start(None).await;
        let daemon = Daemon::start(&devnet.world, &devnet.setup(), "all").await;
        devnet.chaos.add(Rule::new(Fault::TooManyRequests { retry_after }).when(When::Every(6))).unwrap();
        let cost = devnet.trade(&[&daemon], 10, Duration::from_millis(200)).await;
        cost.print(&format!("every sixth call refused, Retry-After {retry_after:?}"));
        assert!(cost.counts.total().limited > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_share_what_they_read() {
    let devnet = Devnet::start(None).await;
    let unlimited = "limits = { per_10s = 1_000_000, per_method_10s = 1_000_000 }\n";
    let setup = Setup { chain: unlimited.into(), ..devnet.setup() };
    let daemon = Daemon::start(&devnet.world, &setup, "all").await;
    let per_second = u32::try_from(given("SWAPD_ECONOMY_PER_SECOND", 50)).unwrap();
    let every = Duration::from_secs(1) / per_second;
    // A daemon that has just begun asks more often, since it does not know yet how fast blocks come.
    devnet.trade(&[&daemon], given("SWAPD_ECONOMY_BEFORE", 1), every).await;
    let cost = devnet.trade(&[&daemon], given("SWAPD_ECONOMY_STEADY", 100), every).await;
    cost.print("steady, without limits");
    // However the machine is loaded: once per order only what is each order's own. Ten wallets hear of a block at ten
    // moments, and the statuses of all that is in flight are asked for about once.
    let statuses = cost.counts.of("getSignatureStatuses").calls;
    assert!(statuses <= cost.blocks * 3 / 2 + 2, "{statuses} polls in {} blocks", cost.blocks);
    assert!(cost.per_order("sendTransaction") < 1.5);
    for shared in ["getMultipleAccounts", "simulateTransaction", "getTransaction", "signatureSubscribe"] {
        assert!(cost.per_order(shared) < 0.9, "{shared}: {}", cost.per_order(shared));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_socket_does_not_tell_is_asked_for() {
    for bad_day in [Fault::LoseNotification, Fault::CutSockets] {
        let devnet = Devnet::start(None).await;
        let daemon = Daemon::start(&devnet.world, &devnet.setup(), "all").await;
        devnet.chaos.add(Rule::new(bad_day.clone()).on(&["logsNotification"])).unwrap();
        let cost = devnet.trade(&[&daemon], 5, Duration::from_millis(200)).await;
        cost.print(&format!("{bad_day:?}"));
        assert!(cost.counts.of("getTransaction").calls >= 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_landed_swap_is_what_the_chain_has_of_it() {
    let devnet = Devnet::start(None).await;
    let daemon = Daemon::start(&devnet.world, &devnet.setup(), "all").await;
    for (token_in, token_out) in [("SOL", "USDC"), ("USDC", "SOL"), ("SOL", "LEVY"), ("LEVY", "USDC")] {
        let id = daemon.order(&json!({"tokenIn": token_in, "tokenOut": token_out, "amountIn": "0.01"})).await;
        let order = daemon.ended(&id).await;
        assert_eq!(order["status"], "confirmed", "{order}\n{}", daemon.log());
        let signature = order["txHash"].as_str().unwrap().parse().unwrap();
        let landed = devnet.world.rpc.transaction(&signature).await.unwrap().unwrap();
        assert_eq!(order["networkFee"]["base"], landed.fee.get().to_string(), "{order}");
        for (symbol, side) in [(token_in, "amountIn"), (token_out, "amountOut")] {
            let token = devnet.world.scenario().token(symbol).unwrap();
            let owner = order["wallet"].as_str().unwrap().parse().unwrap();
            let account = devnet.world.scenario().token_account(&owner, token);
            // SOL comes and goes through an account that lives only inside the transaction.
            if symbol != "SOL" {
                assert_eq!(order["filled"][side]["base"], changed(&landed, &account).to_string(), "{side} of {order}");
            }
        }
    }
    assert_eq!(devnet.chaos.counts().of("getTransaction").calls, 0, "everything was told");
}

/// By how much a token account's balance changed, as the chain's own record has it.
fn changed(landed: &LandedTransaction, account: &Pubkey) -> u64 {
    let of = |balances: &[TokenBalance]| balances.iter().find(|it| it.account == *account).map_or(0, |it| it.amount);
    of(&landed.pre_token_balances).abs_diff(of(&landed.post_token_balances))
}
