//! The venue over a stub RPC server that serves recorded accounts: reading, choosing, instructions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use solana_sdk::{account::Account, instruction::AccountMeta, pubkey::Pubkey};

use super::{
    Discovery, RaydiumCpmm,
    golden::{Case, Golden, number},
    layout::MINT_OFFSETS,
    snapshot::Pool,
};
use crate::{
    chain::{Rpc, Snapshots},
    domain::{BaseUnits, ErrorCode, Pair, QuoteRequest, Slot, Swap},
    venue::{SwapPlan, Venue as _, VenueError},
};

const SLOT: u64 = 345_601_005;

/// What the stub serves, and which methods it was asked.
#[derive(Default)]
struct Chain {
    accounts: Mutex<HashMap<Pubkey, Account>>,
    asked: Mutex<Vec<String>>,
    searches_fail: Mutex<bool>,
}

impl Chain {
    fn put(&self, key: Pubkey, account: Account) {
        self.accounts.lock().unwrap().insert(key, account);
    }

    fn asked(&self, method: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == method).count()
    }

    fn answer(&self, request: &Value) -> Value {
        let method = request["method"].as_str().unwrap();
        self.asked.lock().unwrap().push(method.to_owned());
        let accounts = self.accounts.lock().unwrap();
        let wire = |account: &Account| {
            json!({"lamports": account.lamports, "data": [BASE64.encode(&account.data), "base64"],
                "owner": account.owner.to_string(), "executable": false, "rentEpoch": 0, "space": account.data.len()})
        };
        match method {
            "getMultipleAccounts" => {
                let keys = request["params"][0].as_array().unwrap();
                let found: Vec<_> =
                    keys.iter().map(|key| accounts.get(&key.as_str().unwrap().parse().unwrap()).map(wire)).collect();
                json!({"context": {"slot": SLOT}, "value": found})
            }
            "getProgramAccounts" => {
                let filters = request["params"][1]["filters"].as_array().unwrap();
                let holds = |account: &Account| {
                    filters.iter().all(|filter| match filter["dataSize"].as_u64() {
                        Some(size) => account.data.len() as u64 == size,
                        None => {
                            let offset = usize::try_from(filter["memcmp"]["offset"].as_u64().unwrap()).unwrap();
                            let bytes = bs58::decode(filter["memcmp"]["bytes"].as_str().unwrap()).into_vec().unwrap();
                            account.data.get(offset..offset + bytes.len()) == Some(bytes.as_slice())
                        }
                    })
                };
                json!(
                    accounts
                        .iter()
                        .filter(|(_, account)| account.owner.to_string() == request["params"][0] && holds(account))
                        .map(|(key, account)| json!({"pubkey": key.to_string(), "account": wire(account)}))
                        .collect::<Vec<_>>()
                )
            }
            other => panic!("the venue must not ask {other}"),
        }
    }
}

async fn serve(chain: Arc<Chain>) -> Arc<Rpc> {
    async fn handle(State(chain): State<Arc<Chain>>, Json(request): Json<Value>) -> Json<Value> {
        if request["method"] == "getProgramAccounts" && *chain.searches_fail.lock().unwrap() {
            chain.asked.lock().unwrap().push("getProgramAccounts".to_owned());
            return Json(
                json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": 429, "message": "slow down"}}),
            );
        }
        Json(json!({"jsonrpc": "2.0", "id": request["id"], "result": chain.answer(&request)}))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/", post(handle)).with_state(chain);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Arc::new(Rpc::new(url, Duration::from_secs(5)))
}

/// A chain that holds what one recorded case ran on.
fn chain_of(golden: &Golden, case: &Case) -> Arc<Chain> {
    let chain = Chain::default();
    let (keys, accounts) = golden.accounts(case);
    for (key, account) in keys.into_iter().zip(accounts) {
        chain.put(key, account.unwrap());
    }
    Arc::new(chain)
}

fn first(golden: &Golden) -> (&Case, Pool) {
    let case = &golden.cases[0];
    (case, golden.pool(case))
}

fn request(case: &Case, pool: &Pool) -> QuoteRequest {
    QuoteRequest { pair: case.pair(pool), swap: case.swap().0 }
}

async fn connect(golden: &Golden, chain: &Arc<Chain>, pools: Vec<Pubkey>) -> Result<RaydiumCpmm, VenueError> {
    let rpc = serve(Arc::clone(chain)).await;
    RaydiumCpmm::connect(Snapshots::over(rpc), golden.program(), pools, Discovery::Off).await.map(|(venue, _)| venue)
}

#[tokio::test]
async fn a_quote_is_one_call_at_one_slot() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let venue = connect(&golden, &chain, vec![pool.address]).await.unwrap();
    let before = chain.asked("getMultipleAccounts");
    let quote = venue.quote(&request(case, &pool)).await.unwrap();
    assert_eq!(chain.asked("getMultipleAccounts"), before + 1);
    assert_eq!(quote.context_slot, Slot(SLOT));
    assert_eq!(quote.pool, pool.address);
    assert_eq!(quote.amount_out.get(), number(&case.result.user_out_credited));
    assert!(quote.executable);
    assert!(venue.explain(&golden.program(), 6005).is_some());
    assert!(venue.explain(&spl_token::ID, 1).is_none());
    let contended = venue.contended_accounts(&pool.address).await.unwrap();
    assert_eq!(contended, [pool.address, pool.sides[0].vault, pool.sides[1].vault, pool.observation]);
}

#[tokio::test]
async fn a_pair_without_a_pool_has_no_route() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let venue = connect(&golden, &chain, vec![pool.address]).await.unwrap();
    let pair = Pair { mint_in: pool.sides[0].mint, mint_out: Pubkey::new_unique() };
    let error = venue.quote(&QuoteRequest { pair, swap: Swap::ExactIn(BaseUnits::new(1)) }).await.unwrap_err();
    assert!(matches!(error, VenueError::NoPool));
    assert_eq!(error.code(), ErrorCode::NoRoute);
}

#[tokio::test]
async fn a_missing_pool_is_reported_and_the_others_serve() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let gone = Pubkey::new_unique();
    let rpc = serve(chain).await;
    let connected =
        RaydiumCpmm::connect(Snapshots::over(rpc), golden.program(), vec![gone, pool.address], Discovery::Off).await;
    let (venue, missing) = connected.unwrap();
    assert_eq!(missing, [gone]);
    venue.quote(&request(case, &pool)).await.unwrap();
}

#[tokio::test]
async fn a_configured_pool_that_is_something_else_is_refused_with_the_reason() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    type Damage = fn(&mut Account);
    let damages: [(&str, Damage); 6] = [
        ("it belongs to", |account| account.owner = Pubkey::new_unique()),
        ("has 1544 bytes", |account| account.data.resize(1544, 0)),
        ("not those of a pool", |account| account.data[0] ^= 1),
        ("authority bump", |account| account.data[328] ^= 1),
        ("vault of token 0", |account| account.data[72] ^= 1),
        ("observation account", |account| account.data[296] ^= 1),
    ];
    for (reason, damage) in damages {
        let chain = chain_of(&golden, case);
        damage(chain.accounts.lock().unwrap().get_mut(&pool.address).unwrap());
        let error = connect(&golden, &chain, vec![pool.address]).await.map(|_| ()).unwrap_err();
        let VenueError::Mismatch { account, .. } = &error else { panic!("{error}") };
        assert_eq!(*account, pool.address);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let chain = chain_of(&golden, case);
    chain.accounts.lock().unwrap().get_mut(&pool.amm_config).unwrap().data[10] ^= 1;
    let error = connect(&golden, &chain, vec![pool.address]).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("fee configuration of index"), "{error}");
}

/// A second pool of the first case's pair: the same state under other addresses, `deeper` times as deep.
fn twin(golden: &Golden, case: &Case, pool: &Pool, deeper: u64) -> Vec<(Pubkey, Account)> {
    let program = golden.program();
    let address = Pubkey::new_unique();
    let derived = |seeds: &[&[u8]]| Pubkey::find_program_address(seeds, &program).0;
    let mut state = golden.account(&case.before["pool_state"]).1;
    let vaults = pool.sides.map(|side| derived(&[b"pool_vault", address.as_ref(), side.mint.as_ref()]));
    let observation = derived(&[b"observation", address.as_ref()]);
    for (offset, key) in [(72, vaults[0]), (104, vaults[1]), (296, observation)] {
        state.data[offset..offset + 32].copy_from_slice(key.as_ref());
    }
    let lp_supply = u64::from_le_bytes(state.data[333..341].try_into().unwrap()) * deeper;
    state.data[333..341].copy_from_slice(&lp_supply.to_le_bytes());
    let mut accounts = vec![(address, state)];
    for (vault, role) in vaults.into_iter().zip(["token_0_vault", "token_1_vault"]) {
        let mut account = golden.account(&case.before[role]).1;
        let amount = u64::from_le_bytes(account.data[64..72].try_into().unwrap()) * deeper;
        account.data[64..72].copy_from_slice(&amount.to_le_bytes());
        accounts.push((vault, account));
    }
    accounts
}

#[tokio::test]
async fn the_best_pool_of_a_pair_wins_and_a_closed_one_is_skipped() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let deep = twin(&golden, case, &pool, 100);
    let deep_pool = deep[0].0;
    for (key, account) in deep {
        chain.put(key, account);
    }
    let venue = connect(&golden, &chain, vec![pool.address, deep_pool]).await.unwrap();
    let pair = case.pair(&pool);
    for swap in [Swap::ExactIn(BaseUnits::new(1_000_000_000_000)), Swap::ExactOut(BaseUnits::new(100_000_000_000))] {
        let quote = venue.quote(&QuoteRequest { pair, swap }).await.unwrap();
        assert_eq!(quote.pool, deep_pool, "{swap:?}");
    }
    let off = |pool: &Pubkey| chain.accounts.lock().unwrap().get_mut(pool).unwrap().data[329] = 4;
    // A venue that has read nothing yet: quotes of the same moment share what they read.
    let connect = || connect(&golden, &chain, vec![pool.address, deep_pool]);
    let request = QuoteRequest { pair, swap: Swap::ExactIn(BaseUnits::new(1_000_000_000)) };
    off(&deep_pool);
    assert_eq!(connect().await.unwrap().quote(&request).await.unwrap().pool, pool.address);
    let venue = connect().await.unwrap();
    off(&pool.address);
    let error = venue.quote(&request).await.unwrap_err();
    assert!(matches!(error, VenueError::NotTradable { .. }), "{error}");
    assert!(error.to_string().contains("switched off"), "{error}");
}

#[tokio::test]
async fn pools_are_found_once_by_many_quotes_at_a_time() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let rpc = serve(Arc::clone(&chain)).await;
    let discovery = Discovery::Every(Duration::from_secs(600));
    let (venue, _) = RaydiumCpmm::connect(Snapshots::over(rpc), golden.program(), Vec::new(), discovery).await.unwrap();
    let request = request(case, &pool);
    let quotes = futures_util::future::join_all((0..8).map(|_| venue.quote(&request))).await;
    for quote in quotes {
        assert_eq!(quote.unwrap().pool, pool.address);
    }
    assert_eq!(chain.asked("getProgramAccounts"), 1);
    // also a pair that has no pool is not searched for again
    let pair = Pair { mint_in: Pubkey::new_unique(), mint_out: pool.sides[0].mint };
    for _ in 0..3 {
        venue.quote(&QuoteRequest { pair, swap: request.swap }).await.unwrap_err();
    }
    assert_eq!(chain.asked("getProgramAccounts"), 2);
}

#[tokio::test]
async fn a_failing_search_does_not_stop_the_pools_that_are_known() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    *chain.searches_fail.lock().unwrap() = true;
    let rpc = serve(Arc::clone(&chain)).await;
    let discovery = Discovery::Every(Duration::from_secs(600));
    let (venue, _) =
        RaydiumCpmm::connect(Snapshots::over(rpc), golden.program(), vec![pool.address], discovery).await.unwrap();
    for _ in 0..3 {
        venue.quote(&request(case, &pool)).await.unwrap();
    }
    assert_eq!(chain.asked("getProgramAccounts"), 1, "asked once, not on every quote");
    let pair = Pair { mint_in: Pubkey::new_unique(), mint_out: pool.sides[0].mint };
    let error = venue.quote(&QuoteRequest { pair, swap: case.swap().0 }).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RpcUnavailable, "no pool is known, so the failure is the answer");
}

#[tokio::test]
async fn instructions_are_the_recorded_ones_byte_by_byte() {
    let golden = Golden::load();
    let mut seen = 0;
    // one venue over all recorded pools
    let chain = Arc::new(Chain::default());
    let mut pools = Vec::new();
    for case in &golden.cases {
        let (keys, accounts) = golden.accounts(case);
        for (key, account) in keys.into_iter().zip(accounts) {
            chain.put(key, account.unwrap());
        }
        let address = golden.pool(case).address;
        if !pools.contains(&address) {
            pools.push(address);
        }
    }
    assert_eq!(pools.len(), 9);
    let venue = connect(&golden, &chain, pools).await.unwrap();
    for case in &golden.cases {
        let pool = golden.pool(case);
        let recorded: Vec<AccountMeta> = golden.account_lists[&case.instruction.accounts]
            .iter()
            .map(|line| {
                let mut words = line.split(' ').skip(1);
                let pubkey = words.next().unwrap().parse().unwrap();
                let flags: Vec<&str> = words.collect();
                AccountMeta { pubkey, is_signer: flags.contains(&"s"), is_writable: flags.contains(&"w") }
            })
            .collect();
        let (swap, limit) = case.swap();
        let plan = SwapPlan {
            pool: pool.address,
            pair: case.pair(&pool),
            swap,
            limit,
            owner: recorded[0].pubkey,
            source: recorded[4].pubkey,
            destination: recorded[5].pubkey,
        };
        let instruction = venue.swap_instruction(&plan).await.unwrap();
        assert_eq!(instruction.program_id, golden.program(), "{}", case.id);
        assert_eq!(instruction.accounts, recorded, "{}", case.id);
        assert_eq!(BASE64.encode(&instruction.data), case.instruction.data_base64, "{}", case.id);
        seen += 1;
    }
    assert_eq!(seen, 216);
}

#[tokio::test]
async fn a_pool_of_a_stored_quote_is_read_when_it_is_not_known() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let venue = connect(&golden, &chain, Vec::new()).await.unwrap();
    assert_eq!(venue.contended_accounts(&pool.address).await.unwrap().len(), 4);
    let error = venue.contended_accounts(&Pubkey::new_unique()).await.unwrap_err();
    assert!(matches!(error, VenueError::NoPool), "{error}");
}

#[tokio::test]
async fn a_pool_that_an_order_names_is_quoted_and_offered_to_no_other_order() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let chain = chain_of(&golden, case);
    let venue = connect(&golden, &chain, Vec::new()).await.unwrap();
    let request = request(case, &pool);
    assert_eq!(venue.quote_in(&pool.address, &request).await.unwrap().pool, pool.address);
    assert!(matches!(venue.quote(&request).await.unwrap_err(), VenueError::NoPool));

    let other = Pair { mint_in: Pubkey::new_unique(), mint_out: pool.sides[0].mint };
    let of_other = QuoteRequest { pair: other, swap: request.swap };
    let stranger = pool.sides[0].vault;
    for (named, asked, says) in [
        (pool.address, &of_other, "it trades other tokens"),
        (Pubkey::new_unique(), &request, "the cluster has no such pool"),
        (stranger, &request, "cannot be used for this order"),
    ] {
        let error = venue.quote_in(&named, asked).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NoRoute, "final, not weather: {error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_search_looks_for_the_mints_where_the_pool_holds_them() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let (_, account) = golden.account(&case.before["pool_state"]);
    for (offset, side) in MINT_OFFSETS.into_iter().zip(pool.sides) {
        assert_eq!(account.data[offset..offset + 32], side.mint.to_bytes());
    }
}
