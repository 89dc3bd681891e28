//! Tests of the whole: a chain is started and talked to as swapd would, over its URLs.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use solana_client::{client_error::ClientError, nonblocking::rpc_client::RpcClient};
use solana_commitment_config::CommitmentConfig;
use solana_sdk::{
    instruction::{AccountMeta, Instruction},
    pubkey::Pubkey,
    signature::{Keypair, Signature},
    signer::Signer,
    transaction::Transaction,
};

use super::{Localnet, LocalnetError, Options, Pool, Scenario, ids};

/// A chain with one rich wallet, slots of 50 ms.
struct Chain {
    localnet: Localnet,
    rpc: RpcClient,
    wallet: Keypair,
}

impl Chain {
    fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// The chain with a genuine program in place of the model.
    fn start_genuine(path: PathBuf) -> Self {
        Self::start_with(Options {
            cpmm_program: ids::CPMM_MAINNET,
            programs: vec![(ids::CPMM_MAINNET, path)],
            ..Options::default()
        })
    }

    fn start_with(options: Options) -> Self {
        let wallet = Keypair::new();
        let localnet = Localnet::start(Options {
            slot_time: Duration::from_millis(50),
            wallets: vec![wallet.pubkey()],
            ..options
        })
        .expect("a chain");
        let rpc = RpcClient::new_with_commitment(localnet.rpc_url().to_owned(), CommitmentConfig::confirmed());
        Self { localnet, rpc, wallet }
    }

    fn scenario(&self) -> &Scenario {
        self.localnet.scenario()
    }

    async fn send(&self, instructions: &[Instruction]) -> Result<Signature, ClientError> {
        self.send_signed(instructions, &[]).await
    }

    async fn send_signed(&self, instructions: &[Instruction], others: &[&Keypair]) -> Result<Signature, ClientError> {
        let blockhash = self.rpc.get_latest_blockhash().await?;
        let mut signers = vec![&self.wallet];
        signers.extend(others);
        let transaction =
            Transaction::new_signed_with_payer(instructions, Some(&self.wallet.pubkey()), &signers, blockhash);
        self.rpc.send_and_confirm_transaction(&transaction).await
    }

    async fn tokens(&self, account: &Pubkey) -> u64 {
        let balance = self.rpc.get_token_account_balance(account).await;
        balance.map_or(0, |balance| balance.amount.parse().expect("an amount"))
    }

    /// `swap_base_input` on a pool, selling its token of that side, with no limit but one unit.
    fn sell(&self, pool: &Pool, side: usize, amount: u64) -> Instruction {
        let scenario = self.scenario();
        let owner = self.wallet.pubkey();
        let (sold, bought) = (&pool.tokens[side], &pool.tokens[1 - side]);
        let mut data = vec![143, 190, 90, 218, 196, 30, 51, 222];
        data.extend(amount.to_le_bytes());
        data.extend(1_u64.to_le_bytes());
        Instruction {
            program_id: scenario.cpmm_program,
            accounts: vec![
                AccountMeta::new_readonly(owner, true),
                AccountMeta::new_readonly(scenario.authority.0, false),
                AccountMeta::new_readonly(pool.config.address, false),
                AccountMeta::new(pool.address, false),
                AccountMeta::new(scenario.token_account(&owner, sold), false),
                AccountMeta::new(scenario.token_account(&owner, bought), false),
                AccountMeta::new(pool.vaults[side], false),
                AccountMeta::new(pool.vaults[1 - side], false),
                AccountMeta::new_readonly(sold.program, false),
                AccountMeta::new_readonly(bought.program, false),
                AccountMeta::new_readonly(sold.mint, false),
                AccountMeta::new_readonly(bought.mint, false),
                AccountMeta::new(pool.observation, false),
            ],
            data,
        }
    }
}

#[tokio::test]
async fn a_chain_starts_answers_and_ends() {
    let started = Instant::now();
    let chain = Chain::start();
    eprintln!("ready after {:?}", started.elapsed());
    assert!(chain.rpc.get_health().await.is_ok());
    assert!(chain.rpc.get_slot().await.is_ok());
    let money = chain.rpc.get_balance(&chain.wallet.pubkey()).await;
    assert_eq!(money.unwrap(), 10_000_000_000_000);

    let (mut socket, _) = tokio_tungstenite::connect_async(chain.localnet.ws_url()).await.expect("a socket");
    let subscribe = r#"{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}"#;
    socket.send(subscribe.into()).await.expect("sent");
    for wanted in ["result", "slotNotification"] {
        let frame = socket.next().await.expect("an open socket").expect("a frame");
        assert!(frame.to_text().expect("text").contains(wanted), "{frame}");
    }

    // Open connections do not hold it up.
    let stopping = Instant::now();
    chain.localnet.stop();
    eprintln!("ended after {:?}", stopping.elapsed());
    assert!(stopping.elapsed() < Duration::from_secs(2));
    assert!(chain.rpc.get_health().await.is_err());
}

#[tokio::test]
async fn several_chains_live_side_by_side() {
    let (one, other) = (Chain::start(), Chain::start());
    assert_ne!(one.localnet.rpc_url(), other.localnet.rpc_url());
    let stranger = other.rpc.get_balance(&one.wallet.pubkey()).await;
    assert_eq!(stranger.unwrap(), 0);
}

#[tokio::test]
async fn every_seeded_pool_can_be_traded_both_ways() {
    trade_every_pool(&Chain::start()).await;
    match std::env::var_os("SWAPD_CPMM_SO") {
        Some(path) => trade_every_pool(&Chain::start_genuine(path.into())).await,
        None => eprintln!("SWAPD_CPMM_SO is not set: only the model was traded on"),
    }
}

async fn trade_every_pool(chain: &Chain) {
    let owner = chain.wallet.pubkey();
    let wrapped = chain.localnet.fund_tokens(&owner, &ids::WRAPPED_SOL, 100_000_000_000).expect("wrapped SOL");
    assert_eq!(chain.tokens(&wrapped).await, 100_000_000_000);
    for pool in &chain.scenario().pools {
        for side in 0..2 {
            let (sold, bought) = (&pool.tokens[side], &pool.tokens[1 - side]);
            let amount = 10_u64.pow(sold.decimals.into());
            let places = [sold, bought].map(|token| chain.scenario().token_account(&owner, token));
            let (had_in, had_out) = (chain.tokens(&places[0]).await, chain.tokens(&places[1]).await);
            chain
                .send(&[chain.sell(pool, side, amount)])
                .await
                .unwrap_or_else(|error| panic!("{} side {side}: {error:?}", pool.name));
            let spent = had_in - chain.tokens(&places[0]).await;
            let received = chain.tokens(&places[1]).await - had_out;
            assert_eq!(spent, amount);
            // Within 5 % of the price in the reserves: fees, and LEVY's 2 % once.
            let fair = u128::from(amount) * u128::from(pool.reserves[1 - side]) / u128::from(pool.reserves[side]);
            let least = fair * 95 / 100;
            assert!((least..fair).contains(&u128::from(received)), "{}", pool.name);
        }
    }
}

#[tokio::test]
async fn only_the_scenarios_tokens_are_handed_out() {
    let chain = Chain::start();
    let unknown = Pubkey::new_unique();
    let refused = chain.localnet.fund_tokens(&chain.wallet.pubkey(), &unknown, 1);
    assert!(matches!(refused, Err(LocalnetError::UnknownMint(mint)) if mint == unknown));
}

#[tokio::test]
async fn a_new_pool_opens_a_second_after_its_creation() {
    let chain = Chain::start();
    let owner = chain.wallet.pubkey();
    let scenario = chain.scenario();
    let [usdc, levy] = [&scenario.tokens[1], &scenario.tokens[2]];
    // A pool like the last seeded one, in another config.
    let config = scenario.configs[4].clone();
    let pool =
        Pool::new(&scenario.cpmm_program, config, [(usdc.clone(), 1_000_000_000), (levy.clone(), 2_000_000_000)]);
    let lp_account = ids::token_account(&owner, &pool.lp_mint, &ids::TOKEN);
    let mut data = vec![175, 175, 109, 31, 13, 152, 155, 237];
    data.extend(pool.reserves[0].to_le_bytes());
    data.extend(pool.reserves[1].to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    let from = |token| scenario.token_account(&owner, token);
    let initialize = Instruction {
        program_id: scenario.cpmm_program,
        accounts: vec![
            AccountMeta::new(owner, true),
            AccountMeta::new_readonly(pool.config.address, false),
            AccountMeta::new_readonly(scenario.authority.0, false),
            AccountMeta::new(pool.address, false),
            AccountMeta::new_readonly(pool.tokens[0].mint, false),
            AccountMeta::new_readonly(pool.tokens[1].mint, false),
            AccountMeta::new(pool.lp_mint, false),
            AccountMeta::new(from(&pool.tokens[0]), false),
            AccountMeta::new(from(&pool.tokens[1]), false),
            AccountMeta::new(lp_account, false),
            AccountMeta::new(pool.vaults[0], false),
            AccountMeta::new(pool.vaults[1], false),
            AccountMeta::new(scenario.pool_fee_receiver, false),
            AccountMeta::new(pool.observation, false),
            AccountMeta::new_readonly(ids::TOKEN, false),
            AccountMeta::new_readonly(pool.tokens[0].program, false),
            AccountMeta::new_readonly(pool.tokens[1].program, false),
            AccountMeta::new_readonly(ids::ASSOCIATED_TOKEN, false),
            AccountMeta::new_readonly(ids::SYSTEM, false),
            AccountMeta::new_readonly(ids::RENT, false),
        ],
        data,
    };
    let sell = chain.sell(&pool, 0, 1_000_000);
    let at_once = chain.send(&[initialize.clone(), sell.clone()]).await;
    let error = at_once.expect_err("not open yet").get_transaction_error();
    assert_eq!(format!("{:?}", error.expect("refused by the program")), "InstructionError(1, Custom(6000))");
    chain.send(&[initialize]).await.expect("a pool");
    assert!(chain.tokens(&lp_account).await > 0);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    chain.send(&[sell]).await.expect("a swap");
}

#[tokio::test]
async fn a_chain_can_be_cloned_from_another() {
    let original = Chain::start();
    let clone = Chain::start_with(Options {
        clone_from: Some(original.localnet.rpc_url().parse().expect("a URL")),
        ..Options::default()
    });
    let genesis = original.rpc.get_genesis_hash().await.unwrap();
    assert_eq!(clone.rpc.get_genesis_hash().await.unwrap(), genesis);
    let far = original.wallet.pubkey();
    assert_eq!(clone.rpc.get_balance(&far).await.unwrap(), 10_000_000_000_000);
    // Its own seeds are there too.
    let near = clone.wallet.pubkey();
    assert_eq!(clone.rpc.get_balance(&near).await.unwrap(), 10_000_000_000_000);
}

#[test]
fn what_cannot_start_says_why() {
    let start = |options| Localnet::start(options).expect_err("no chain");
    let error = start(Options { slot_time: Duration::ZERO, ..Options::default() });
    assert!(matches!(error, LocalnetError::SlotTime(_)));
    let missing = PathBuf::from("no-such-file.so");
    let error = start(Options { programs: vec![(ids::CPMM_DEVNET, missing)], ..Options::default() });
    assert!(matches!(error, LocalnetError::ProgramFile { .. }));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "this is no program").expect("written");
    let error = start(Options { programs: vec![(ids::CPMM_DEVNET, file.path().to_owned())], ..Options::default() });
    assert!(matches!(error, LocalnetError::ProgramRefused { .. }));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let error = start(Options { rpc_port: port, ..Options::default() });
    assert!(matches!(error, LocalnetError::Port { port: p, .. } if p == port));
}
