//! What the pure parts cost: decoding a pool, quoting, a swap's bytes and signature, the life of an order, its frames.
//!
//! `cargo bench` runs it, `cargo bench -- quote` a part of it. Nothing here touches a network, a file or a clock that
//! matters; the whole daemon is measured by `scripts/bench`.

use std::{hint::black_box, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Value;
use solana_sdk::{
    account::Account,
    hash::Hash,
    instruction::{AccountMeta, Instruction},
    pubkey::Pubkey,
    sysvar,
};
use swapd::{
    api::views::Views,
    chain::{
        Wallet,
        transaction::{Accounts as SwapAccounts, Draft},
    },
    domain::{
        Attempt, BaseUnits, BlockHeight, Bps, Dialect, Fill, Lamports, Landing, NewOrder, Order, OrderEvent, OrderId,
        OrderKind, Quote, QuoteOutcome, Route, Rules, Slot, StoredEvent, Swap, Token, VenueId,
    },
    venue::raydium_cpmm::{
        layout,
        math::{CreatorFeeSide, Market, Rates, TransferFee},
        snapshot::{Accounts, Direction, Pool, Snapshot},
    },
};
use time::OffsetDateTime;

/// Accounts of a pool as they were on the chain, from the golden cases of the CPMM's tests.
struct OnChain {
    program: Pubkey,
    keys: Vec<Pubkey>,
    accounts: Vec<Option<Account>>,
    pool: Pool,
}

impl OnChain {
    fn load() -> Self {
        let cases: Value = serde_json::from_str(include_str!("../tests/fixtures/cpmm/cases.json")).unwrap();
        let case = &cases["cases"][0];
        let program: Pubkey = text(&cases["program_id"]).parse().unwrap();
        let mut clock = Vec::new();
        for word in ["slot", "", "epoch", "epoch", "unix_timestamp"] {
            clock.extend(case["clock"][word].as_u64().unwrap_or_default().to_le_bytes());
        }
        let clock = Account { lamports: 1, data: clock, owner: sysvar::ID, executable: false, rent_epoch: 0 };
        let (mut keys, mut accounts) = (vec![sysvar::clock::ID], vec![Some(clock)]);
        let read = |id: &Value| account(&cases["snapshots"][text(id)]);
        for id in case["before"].as_object().unwrap().values() {
            let (key, account) = read(id);
            keys.push(key);
            accounts.push(Some(account));
        }
        let (address, pool) = read(&case["before"]["pool_state"]);
        let state = layout::pool_state(&program, &address, &pool).unwrap();
        let pool = Pool::new(layout::authority(&program), address, &state);
        Self { program, keys, accounts, pool }
    }

    fn snapshot(&self) -> Snapshot {
        let accounts = Accounts::new(Slot(1), &self.keys, &self.accounts);
        Snapshot::read(&self.program, &self.pool, &accounts).unwrap()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn account(raw: &Value) -> (Pubkey, Account) {
    let mut data = BASE64_STANDARD.decode(text(&raw["data_base64"])).unwrap();
    data.resize(usize::try_from(raw["size"].as_u64().unwrap()).unwrap(), 0);
    let lamports = text(&raw["lamports"]).parse().unwrap();
    let owner = text(&raw["owner"]).parse().unwrap();
    (text(&raw["pubkey"]).parse().unwrap(), Account { lamports, data, owner, executable: false, rent_epoch: 0 })
}

fn quotes(criterion: &mut Criterion) {
    let on_chain = OnChain::load();
    let snapshot = on_chain.snapshot();
    let market = Market {
        reserve_in: 3_412_556_789_012,
        reserve_out: 511_883_518_351,
        rates: Rates { trade: 2_500, protocol: 120_000, fund: 40_000, creator: 0 },
        creator_side: CreatorFeeSide::Input,
        fee_in: TransferFee { basis_points: 0, maximum: 0 },
        fee_out: TransferFee { basis_points: 0, maximum: 0 },
    };
    let swap = Swap::ExactIn(BaseUnits::new(1_000_000));
    criterion.bench_function("curve: exact in", |it| it.iter(|| market.exact_in(black_box(1_500_000_000))));
    criterion.bench_function("curve: exact out", |it| it.iter(|| market.exact_out(black_box(224_430_783))));
    criterion.bench_function("pool: decode and check its accounts", |it| it.iter(|| on_chain.snapshot()));
    snapshot.quote(Direction::ZeroToOne, swap, None).expect("a pool that trades");
    criterion.bench_function("pool: quote from a snapshot", |it| {
        it.iter(|| snapshot.quote(Direction::ZeroToOne, black_box(swap), None));
    });
}

fn transactions(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let wallet = Wallet::create(folder.path(), "bench").unwrap();
    let order = order();
    let seed = order.id.0.simple().to_string();
    let accounts = SwapAccounts::derive(wallet.address(), &order.token_in, &order.token_out, &seed).unwrap();
    let draft = || {
        // As many accounts and bytes as the program's swap has.
        let metas = (0..9).map(|n| AccountMeta::new(Pubkey::new_from_array([n; 32]), false));
        let own = [accounts.source, accounts.destination].map(|account| AccountMeta::new(account, false));
        let metas = std::iter::once(AccountMeta::new_readonly(accounts.owner, true)).chain(own).chain(metas).collect();
        let swap = Instruction { program_id: Pubkey::new_from_array([9; 32]), accounts: metas, data: vec![7; 24] };
        let (paid, rent) = (BaseUnits::new(1_500_000_000), Lamports::new(2_039_280));
        Draft::new(&accounts, &order.token_in, &order.token_out, paid, rent, swap, Some(&seed)).unwrap()
    };
    criterion.bench_function("swap: derive its accounts", |it| {
        it.iter(|| SwapAccounts::derive(wallet.address(), &order.token_in, &order.token_out, black_box(&seed)));
    });
    criterion.bench_function("swap: draft", |it| it.iter(draft));
    let drafted = draft();
    criterion.bench_function("swap: compile, sign and serialize", |it| {
        it.iter(|| drafted.sign(&wallet, 200_000, 1_000, black_box(Hash::new_from_array([3; 32]))).unwrap());
    });
}

fn order() -> Order {
    let token =
        |symbol: &str, mint: Pubkey, decimals| Token { symbol: symbol.into(), mint, decimals, program: spl_token::ID };
    let new = NewOrder {
        kind: OrderKind::Market,
        dialect: Dialect::V1,
        token_in: token("SOL", spl_token::native_mint::ID, 9),
        token_out: token("USDC", Pubkey::new_from_array([5; 32]), 6),
        swap: Swap::ExactIn(BaseUnits::new(1_500_000_000)),
        slippage: Bps::new(100).unwrap(),
        limit: None,
        wallet: None,
        expiry: None,
        pool_wish: None,
    };
    Order::create(OrderId::new(), new, OffsetDateTime::UNIX_EPOCH)
}

/// Everything that happens to an order which is swapped at the first try.
fn life() -> Vec<OrderEvent> {
    let (wallet, pool) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
    let (amount_in, amount_out) = (BaseUnits::new(1_500_000_000), BaseUnits::new(224_430_783));
    let chosen = Quote {
        venue: VenueId::RaydiumCpmm,
        pool,
        executable: true,
        amount_in,
        amount_out,
        trade_fee: BaseUnits::new(3_750_000),
        creator_fee: BaseUnits::ZERO,
        creator_fee_on_input: true,
        transfer_fee_in: BaseUnits::ZERO,
        transfer_fee_out: BaseUnits::ZERO,
        price_impact_bps: Bps::new(5).unwrap(),
        context_slot: Slot(420_000_000),
    };
    let outcome = QuoteOutcome { venue: chosen.venue, latency_ms: 7, quote: Some(chosen.clone()), refusal: None };
    let attempt = Attempt {
        n: 1,
        signature: [7; 64].into(),
        wallet,
        blockhash: Hash::new_from_array([3; 32]),
        last_valid_block_height: BlockHeight(400_000_150),
        context_slot: Slot(420_000_000),
        venue: VenueId::RaydiumCpmm,
        pool,
        quoted_in: amount_in,
        quoted_out: amount_out,
        limit: BaseUnits::new(222_186_475),
        compute_units: 200_000,
        priority_fee: Lamports::new(200),
        wire: vec![1; 700].into(),
    };
    let signature = attempt.signature;
    let landing = Landing { signature, slot: Slot(420_000_005), answer: None };
    let route = Route { chosen, reason: "the only executable quote".into(), quotes: vec![outcome] };
    vec![
        OrderEvent::Claimed,
        OrderEvent::Routed { route, limit: attempt.limit, wallet: Some(wallet) },
        OrderEvent::Signed { attempt },
        OrderEvent::Sent { signature },
        OrderEvent::Landed { landing, fill: Some(Fill { amount_in, amount_out }), fee: Some(Lamports::new(5_000)) },
    ]
}

fn lives(criterion: &mut Criterion) {
    let (fresh, life) = (order(), life());
    let now = OffsetDateTime::UNIX_EPOCH;
    criterion.bench_function("order: a whole life of five events", |it| {
        it.iter(|| {
            let mut order = fresh.clone();
            for event in &life {
                order.apply(event, now).unwrap();
            }
            order
        });
    });

    let mut order = fresh;
    let tokens = vec![order.token_in.clone(), order.token_out.clone()];
    let rules = Rules { tokens, default_slippage: order.slippage, max_slippage: order.slippage };
    let views = Views::new(Arc::new(rules), "?cluster=devnet");
    for (seq, event) in (2_u64..).zip(&life) {
        order.apply(event, now).unwrap();
        let stored = StoredEvent {
            cursor: seq,
            order_id: order.id,
            seq,
            status: order.status.name(),
            token_in: order.token_in.symbol.clone(),
            token_out: order.token_out.symbol.clone(),
            at: now,
            event: event.clone(),
        };
        criterion.bench_function(&format!("frame: {}", event.name()), |it| {
            it.iter(|| views.event(black_box(&stored)).to_string());
        });
    }
}

criterion_group!(pure, quotes, transactions, lives);
criterion_main!(pure);
