//! The venue over a stub RPC server that serves recorded accounts: reading, choosing, instructions, fills.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json};
use solana_sdk::{account::Account, instruction::AccountMeta, pubkey::Pubkey, sysvar};

use super::{
    Discovery, RaydiumCpmm, fill,
    golden::{Case, Golden, number},
    layout::{self, MINT_OFFSETS},
    snapshot::{Accounts, Direction, Pool, Snapshot},
};
use crate::{
    chain::{LandedTransaction, Rpc, rpc::TokenBalance},
    domain::{BaseUnits, ErrorCode, Fill, Lamports, Pair, QuoteRequest, Slot, Swap},
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
    RaydiumCpmm::connect(rpc, golden.program(), pools, Discovery::Off).await.map(|(venue, _)| venue)
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
    let connected = RaydiumCpmm::connect(rpc, golden.program(), vec![gone, pool.address], Discovery::Off).await;
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
    off(&deep_pool);
    let request = QuoteRequest { pair, swap: Swap::ExactIn(BaseUnits::new(1_000_000_000)) };
    assert_eq!(venue.quote(&request).await.unwrap().pool, pool.address);
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
    let (venue, _) = RaydiumCpmm::connect(rpc, golden.program(), Vec::new(), discovery).await.unwrap();
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
    let (venue, _) = RaydiumCpmm::connect(rpc, golden.program(), vec![pool.address], discovery).await.unwrap();
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

/// The records of a recorded swap as `getTransaction` would bring them.
fn landed(golden: &Golden, case: &Case, pool: &Pool) -> LandedTransaction {
    let balance = |id: &String| {
        let (account, data) = golden.account(id);
        let amount = u64::from_le_bytes(data.data[64..72].try_into().unwrap());
        TokenBalance { account, mint: Pubkey::try_from(&data.data[..32]).unwrap(), amount }
    };
    let roles = ["token_0_vault", "token_1_vault", "user_input", "user_output"];
    let after = |role: &str| case.after.get(role).unwrap_or(&case.before[role]);
    let program = &golden.program_id;
    let mut logs = vec![format!("Program {program} invoke [1]")];
    logs.extend(case.result.events_base64.iter().map(|event| format!("Program data: {event}")));
    logs.push(format!("Program {program} success"));
    assert_eq!(pool.direction(&case.pair(pool)), Some(case.direction()));
    LandedTransaction {
        slot: Slot(case.clock.slot),
        fee: Lamports::new(5_000),
        error: None,
        logs,
        pre_token_balances: roles.iter().map(|role| balance(&case.before[*role])).collect(),
        post_token_balances: roles.iter().map(|role| balance(after(role))).collect(),
    }
}

#[test]
fn fills_are_what_the_program_moved_with_and_without_its_event() {
    let golden = Golden::load();
    let program = golden.program();
    let mut seen = 0;
    for case in golden.cases.iter().filter(|case| case.result.ok) {
        let pool = golden.pool(case);
        let expected = Some(Fill {
            amount_in: BaseUnits::new(number(&case.result.user_in_debited)),
            amount_out: BaseUnits::new(number(&case.result.user_out_credited)),
        });
        let mut transaction = landed(&golden, case, &pool);
        let read = |pool: Option<&Pool>, transaction: &LandedTransaction, address: &Pubkey| {
            fill::fill(&program, address, pool, transaction)
        };
        let address = pool.address;
        assert_eq!(read(Some(&pool), &transaction, &address), expected, "{}: event and balances", case.id);
        assert_eq!(read(None, &transaction, &address), expected, "{}: event alone", case.id);

        let whole = std::mem::replace(&mut transaction.logs, vec!["Log truncated".to_owned()]);
        assert_eq!(read(Some(&pool), &transaction, &address), expected, "{}: balances alone", case.id);
        assert_eq!(read(None, &transaction, &address), None, "{}: neither", case.id);

        // the user's accounts opened and closed in the transaction leave no balance: enough without transfer fees
        let vaults = pool.sides.map(|side| side.vault);
        transaction.pre_token_balances.retain(|balance| vaults.contains(&balance.account));
        transaction.post_token_balances.retain(|balance| vaults.contains(&balance.account));
        let plain = pool.sides.iter().all(|side| side.token_program == spl_token::ID);
        assert_eq!(read(Some(&pool), &transaction, &address).is_some(), plain, "{}: vaults alone", case.id);

        // an event that the vaults contradict is not believed
        transaction.logs = whole;
        transaction.post_token_balances[0].amount += 1;
        assert_ne!(read(Some(&pool), &transaction, &address), expected, "{}: contradiction", case.id);

        // nor one of another pool, nor of a failed transaction
        assert_eq!(read(None, &transaction, &Pubkey::new_unique()), None, "{}: another pool", case.id);
        transaction.error = Some(json!("anything"));
        assert_eq!(read(Some(&pool), &transaction, &address), None, "{}: failed", case.id);
        seen += 1;
    }
    assert_eq!(seen, 155);
}

#[test]
fn an_event_counts_only_when_the_program_itself_wrote_it() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let program = golden.program();
    let event = &case.result.events_base64[0];
    let other = Pubkey::new_unique();
    let mut transaction = landed(&golden, case, &pool);
    let mut read = |logs: &[String]| {
        transaction.logs = logs.to_vec();
        fill::fill(&program, &pool.address, None, &transaction)
    };
    let (enter, leave) = (format!("Program {program} invoke [1]"), format!("Program {program} success"));
    let data = format!("Program data: {event}");
    assert!(read(&[enter.clone(), data.clone(), leave.clone()]).is_some());
    let inner = [format!("Program {other} invoke [2]"), format!("Program {other} success")];
    assert!(read(&[enter.clone(), inner[0].clone(), inner[1].clone(), data.clone(), leave.clone()]).is_some());
    assert!(read(&[enter.clone(), inner[0].clone(), data.clone(), inner[1].clone(), leave.clone()]).is_none());
    assert!(read(&[format!("Program {other} invoke [1]"), data.clone()]).is_none());
    assert!(read(&[enter.clone(), leave, data.clone()]).is_none());
    assert!(read(&[enter, data.clone(), data]).is_none(), "two swaps cannot be told apart");
}

#[test]
fn both_forms_of_the_event_are_read() {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let old = BASE64.decode(&case.result.events_base64[0]).unwrap();
    assert_eq!(old.len(), 89);
    let short = layout::swap_event(&old).unwrap();
    assert_eq!((short.pool_id, short.input_amount, short.creator_fee), (pool.address, 9, 0));

    let mut new = old.clone();
    new.extend(pool.sides[0].mint.to_bytes());
    new.extend(pool.sides[1].mint.to_bytes());
    new.extend(7_u64.to_le_bytes());
    new.extend(3_u64.to_le_bytes());
    new.push(1);
    assert_eq!(new.len(), 170);
    let long = layout::swap_event(&new).unwrap();
    assert_eq!((long.input_mint, long.output_mint), (pool.sides[0].mint, pool.sides[1].mint));
    assert_eq!((long.trade_fee, long.creator_fee, long.creator_fee_on_input), (7, 3, true));
    assert!(layout::swap_event(&old[..88]).is_none());
    assert!(layout::swap_event(&[]).is_none());
}

#[test]
fn error_numbers_are_explained_for_this_program_only() {
    assert_eq!(fill::explain(6005).code, ErrorCode::SlippageExceeded);
    assert_eq!(fill::explain(6000).code, ErrorCode::NoRoute);
    assert_eq!(fill::explain(2505).code, ErrorCode::InsufficientLiquidity);
    let unknown = fill::explain(4242);
    assert_eq!(unknown.code, ErrorCode::TransactionFailed);
    assert!(unknown.reason.contains("4242"));
}

/// Reads the first case after `change` was made to its accounts.
fn changed(change: impl FnOnce(&mut HashMap<Pubkey, Account>, &Pool)) -> Result<crate::domain::Quote, VenueError> {
    let golden = Golden::load();
    let (case, pool) = first(&golden);
    let (keys, accounts) = golden.accounts(case);
    let mut accounts: HashMap<_, _> = keys.into_iter().zip(accounts.into_iter().flatten()).collect();
    change(&mut accounts, &pool);
    let (keys, accounts): (Vec<_>, Vec<_>) = accounts.into_iter().map(|(key, account)| (key, Some(account))).unzip();
    let accounts = Accounts::new(Slot(SLOT), &keys, &accounts);
    let swap = Swap::ExactIn(BaseUnits::new(1_000_000_000));
    Snapshot::read(&golden.program(), &pool, &accounts)?.quote(Direction::ZeroToOne, swap, None)
}

#[test]
fn what_is_not_known_is_not_traded() {
    assert!(changed(|_, _| ()).is_ok());
    for offset in [413, 421, 636] {
        let quote = changed(|accounts, pool| accounts.get_mut(&pool.address).unwrap().data[offset] = 1);
        let error = quote.unwrap_err();
        assert!(matches!(error, VenueError::NotTradable { .. }), "{error}");
        assert!(error.to_string().contains("newer than this version knows"), "{error}");
    }
    let quote = changed(|accounts, pool| accounts.get_mut(&pool.address).unwrap().data[389] = 3);
    assert!(matches!(quote, Err(VenueError::NotTradable { .. })));
    // creator fees owed lower the reserve; more than the vault holds is no price at all
    let quote = changed(|accounts, pool| {
        accounts.get_mut(&pool.address).unwrap().data[397..405].copy_from_slice(&u64::MAX.to_le_bytes());
    });
    assert!(matches!(quote, Err(VenueError::NotTradable { .. })));
}

#[test]
fn accounts_that_changed_their_identity_are_a_mismatch() {
    type Damage = fn(&mut HashMap<Pubkey, Account>, &Pool);
    let damages: [Damage; 8] = [
        |accounts, pool| drop(accounts.remove(&pool.sides[0].vault)),
        |accounts, _| drop(accounts.remove(&sysvar::clock::ID)),
        |accounts, pool| accounts.get_mut(&pool.address).unwrap().data[72] ^= 1,
        |accounts, pool| accounts.get_mut(&pool.amm_config).unwrap().owner = Pubkey::new_unique(),
        |accounts, pool| accounts.get_mut(&pool.sides[1].vault).unwrap().data[0] ^= 1,
        |accounts, pool| accounts.get_mut(&pool.sides[1].vault).unwrap().data[32] ^= 1,
        |accounts, pool| accounts.get_mut(&pool.sides[1].vault).unwrap().data[108] = 2,
        |accounts, pool| accounts.get_mut(&pool.sides[1].mint).unwrap().owner = spl_token_2022_interface::ID,
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let error = changed(damage).unwrap_err();
        assert!(matches!(error, VenueError::Mismatch { .. }), "{n}: {error}");
    }
}

#[test]
fn the_creator_fee_is_read_from_the_pool_and_its_side_from_the_direction() {
    let creator_fee = |mode: u8, enabled: u8| {
        changed(|accounts, pool| {
            let config = &mut accounts.get_mut(&pool.amm_config).unwrap().data;
            config[108..116].copy_from_slice(&2_500_u64.to_le_bytes());
            let state = &mut accounts.get_mut(&pool.address).unwrap().data;
            (state[389], state[390]) = (mode, enabled);
        })
        .unwrap()
    };
    let off = creator_fee(0, 0);
    assert!(off.creator_fee.is_zero());
    for mode in [0, 1] {
        let on_input = creator_fee(mode, 1);
        assert!(on_input.creator_fee_on_input);
        assert_eq!(on_input.creator_fee.get(), 2_500_000);
        assert!(on_input.amount_out < off.amount_out);
    }
    let on_output = creator_fee(2, 1);
    assert!(!on_output.creator_fee_on_input);
    assert_eq!(on_output.creator_fee.get(), (off.amount_out.get() * 2_500).div_ceil(1_000_000));
}

#[test]
fn near_the_end_of_an_epoch_the_worse_transfer_fee_is_quoted() {
    let golden = Golden::load();
    let case = golden.cases.iter().find(|case| case.tagged("fee_epoch_801") && case.args.amount_in.is_some()).unwrap();
    let pool = golden.pool(case);
    let at = |slot: u64, epoch: u64, schedule: Option<&layout::EpochSchedule>| {
        let mut case = case.clone();
        (case.clock.slot, case.clock.epoch) = (slot, epoch);
        golden.snapshot(&case).quote(case.direction(), case.swap().0, schedule).unwrap()
    };
    let schedule = super::golden::EPOCHS;
    let last = 802 * schedule.slots_per_epoch - 1;
    let (early, edge) = (at(last - 400, 801, Some(&schedule)), at(last - 100, 801, Some(&schedule)));
    let after = at(last + 1, 802, Some(&schedule));
    assert_ne!(early.amount_out, after.amount_out, "the fee changes at epoch 802");
    assert_eq!(edge.amount_out, after.amount_out.min(early.amount_out));
    assert_eq!(after.amount_out, edge.amount_out, "it rises, so the later one is worse");
    // without a schedule the whole last epoch is an edge
    assert_eq!(at(last - 400, 801, None).amount_out, edge.amount_out);
    assert_eq!(at(last - 400, 800, None).amount_out, early.amount_out);
    assert_eq!(pool.direction(&case.pair(&pool)), Some(case.direction()));
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
