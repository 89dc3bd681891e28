//! A pool is created: what is there afterwards, and what is refused.

use std::collections::BTreeMap;

use solana_sdk::{
    instruction::{AccountMeta, Instruction},
    pubkey,
    pubkey::Pubkey,
};

use super::bench::Bench;
use crate::localnet::{
    ids,
    model::state::{AmmConfig, Observations, PoolState, Stored},
    scenario::{Scenario, Token},
    seed::{self, Allowance, Seeded},
};

const CREATOR: Pubkey = pubkey!("Creator111111111111111111111111111111111111");
const FRESH_POOL: Pubkey = pubkey!("FreshPooL1111111111111111111111111111111111");
const NOW: i64 = 1_760_000_000;
const EPOCH: u64 = 800;
const USDC_AMOUNT: u64 = 3_000_000_000;
const LEVY_AMOUNT: u64 = 6_100_000_000;

const CREATOR_AT: usize = 0;
const CONFIG: usize = 1;
const AUTHORITY: usize = 2;
const POOL: usize = 3;
const MINT_0: usize = 4;
const MINT_1: usize = 5;
const LP_MINT: usize = 6;
const FROM_0: usize = 7;
const FROM_1: usize = 8;
const CREATOR_LP: usize = 9;
const VAULT_0: usize = 10;
const VAULT_1: usize = 11;
const FEE_RECEIVER: usize = 12;
const OBSERVATION: usize = 13;
const PROGRAM_0: usize = 15;
const RENT: usize = 19;

/// The scenario's accounts and an `initialize` of a USDC/LEVY pool, to be spoiled.
struct Creation {
    accounts: BTreeMap<Pubkey, Seeded>,
    instruction: Instruction,
    /// Index of LEVY among the pool's tokens.
    levy: usize,
}

impl Creation {
    fn new() -> Self {
        let scenario = Scenario::new(ids::CPMM_MAINNET);
        let seeded = seed::accounts(&scenario, &[CREATOR], Allowance::default());
        let accounts = seeded.into_iter().map(|a| (a.address, a)).collect();
        let config = scenario.configs[4].address;
        let mut tokens = [&scenario.tokens[1], &scenario.tokens[2]];
        tokens.sort_by_key(|token| token.mint);
        let seeds = [ids::POOL_SEED, config.as_ref(), tokens[0].mint.as_ref(), tokens[1].mint.as_ref()];
        let pool = derive(&seeds);
        let levy = usize::from(tokens[1].symbol == "LEVY");
        let amounts = if levy == 1 { [USDC_AMOUNT, LEVY_AMOUNT] } else { [LEVY_AMOUNT, USDC_AMOUNT] };
        let mut data = vec![175, 175, 109, 31, 13, 152, 155, 237];
        data.extend(amounts[0].to_le_bytes());
        data.extend(amounts[1].to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        let from = |token: &Token| scenario.token_account(&CREATOR, token);
        let mut creation = Self {
            accounts,
            levy,
            instruction: Instruction {
                program_id: ids::CPMM_MAINNET,
                accounts: vec![
                    AccountMeta::new(CREATOR, true),
                    AccountMeta::new_readonly(config, false),
                    AccountMeta::new_readonly(scenario.authority.0, false),
                    AccountMeta::new(pool, false),
                    AccountMeta::new_readonly(tokens[0].mint, false),
                    AccountMeta::new_readonly(tokens[1].mint, false),
                    AccountMeta::new(Pubkey::default(), false), // LP mint: see `at_pool`
                    AccountMeta::new(from(tokens[0]), false),
                    AccountMeta::new(from(tokens[1]), false),
                    AccountMeta::new(Pubkey::default(), false), // creator's LP account
                    AccountMeta::new(Pubkey::default(), false), // vaults
                    AccountMeta::new(Pubkey::default(), false),
                    AccountMeta::new(scenario.pool_fee_receiver, false),
                    AccountMeta::new(Pubkey::default(), false), // observation
                    AccountMeta::new_readonly(ids::TOKEN, false),
                    AccountMeta::new_readonly(tokens[0].program, false),
                    AccountMeta::new_readonly(tokens[1].program, false),
                    AccountMeta::new_readonly(ids::ASSOCIATED_TOKEN, false),
                    AccountMeta::new_readonly(ids::SYSTEM, false),
                    AccountMeta::new_readonly(ids::RENT, false),
                ],
                data,
            },
        };
        creation.at_pool(pool);
        creation
    }

    /// Points the instruction at a pool address and at what is derived from it.
    fn at_pool(&mut self, pool: Pubkey) {
        let [mint_0, mint_1] = [self.key(MINT_0), self.key(MINT_1)];
        let lp_mint = derive(&[ids::LP_MINT_SEED, pool.as_ref()]);
        let vault = |mint: Pubkey| derive(&[ids::VAULT_SEED, pool.as_ref(), mint.as_ref()]);
        for (place, key) in [
            (POOL, pool),
            (LP_MINT, lp_mint),
            (CREATOR_LP, ids::token_account(&CREATOR, &lp_mint, &ids::TOKEN)),
            (VAULT_0, vault(mint_0)),
            (VAULT_1, vault(mint_1)),
            (OBSERVATION, derive(&[ids::OBSERVATION_SEED, pool.as_ref()])),
        ] {
            self.instruction.accounts[place].pubkey = key;
        }
    }

    fn key(&self, place: usize) -> Pubkey {
        self.instruction.accounts[place].pubkey
    }

    fn account(&mut self, place: usize) -> &mut Seeded {
        let key = self.key(place);
        self.accounts.get_mut(&key).expect("the account is seeded")
    }

    fn meta(&mut self, place: usize) -> &mut AccountMeta {
        &mut self.instruction.accounts[place]
    }

    fn argument(&mut self, n: usize, value: u64) {
        self.instruction.data[8 + 8 * n..16 + 8 * n].copy_from_slice(&value.to_le_bytes());
    }

    fn config(&mut self, change: impl FnOnce(&mut AmmConfig)) {
        let account = self.account(CONFIG);
        let mut config = AmmConfig::from_account("amm_config", &account.data).unwrap();
        change(&mut config);
        account.data = config.to_account();
    }

    /// Adds an empty extension record to LEVY's mint.
    fn extend_levy(&mut self, kind: u16, size: u16) {
        let place = MINT_0 + self.levy;
        let data = &mut self.account(place).data;
        data.extend(kind.to_le_bytes());
        data.extend(size.to_le_bytes());
        data.extend(vec![0; size.into()]);
        self.account(place).lamports += 10_000_000;
    }

    /// Puts everything in place, runs the instruction, and clears up unless it succeeded.
    fn run(&self, bench: &mut Bench) -> String {
        bench.set_clock(345_600_000, EPOCH, NOW);
        for account in self.accounts.values() {
            bench.put(account);
        }
        let outcome = bench.run(self.instruction.clone());
        if let Some(error) = outcome.error {
            self.forget(bench);
            return error;
        }
        String::new()
    }

    fn forget(&self, bench: &mut Bench) {
        let keys = self.instruction.accounts[..14].iter().map(|meta| meta.pubkey);
        for address in keys.chain(self.accounts.keys().copied()) {
            bench.remove(address);
        }
    }
}

fn derive(seeds: &[&[u8]]) -> Pubkey {
    Pubkey::find_program_address(seeds, &ids::CPMM_MAINNET).0
}

fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(data[at..at + 8].try_into().unwrap())
}

#[test]
fn a_created_pool_holds_what_arrived() {
    super::on_each_program(|bench| {
        let creation = Creation::new();
        assert_eq!(creation.run(bench), "");
        let get = |place: usize| bench.get(&creation.key(place)).expect("it was created");

        // LEVY keeps 2 % of what is sent.
        let mut held = [USDC_AMOUNT; 2];
        held[creation.levy] = LEVY_AMOUNT * 98 / 100;
        assert_eq!(bench.tokens(&creation.key(VAULT_0)), held[0]);
        assert_eq!(bench.tokens(&creation.key(VAULT_1)), held[1]);
        assert_eq!(get(VAULT_0 + creation.levy).data.len(), 178);
        assert_eq!(get(VAULT_1 - creation.levy).data.len(), 165);

        let liquidity = (u128::from(held[0]) * u128::from(held[1])).isqrt() as u64;
        let pool = get(POOL);
        assert_eq!(pool.owner, ids::CPMM_MAINNET);
        assert_eq!(pool.lamports, seed::rent(PoolState::SIZE));
        let state = PoolState::from_account("pool_state", &pool.data).unwrap();
        assert_eq!(state.to_account(), pool.data);
        assert_eq!(state.amm_config, creation.key(CONFIG));
        assert_eq!(state.pool_creator, CREATOR);
        assert_eq!(state.lp_supply, liquidity);
        assert_eq!(state.open_time, NOW as u64 + 1);
        assert_eq!(state.recent_epoch, EPOCH);
        assert_eq!(state.observation_key, creation.key(OBSERVATION));
        assert_eq!([state.mint_0_decimals, state.mint_1_decimals], [6, 6]);
        assert_eq!(get(OBSERVATION).data, Observations::new_account(&creation.key(POOL)));
        assert_eq!(bench.tokens(&creation.key(CREATOR_LP)), liquidity - 100);
        let lp_mint = get(LP_MINT).data;
        assert_eq!((u64_at(&lp_mint, 36), lp_mint[44]), (liquidity - 100, 9));
        assert_eq!(bench.tokens(&creation.key(FEE_RECEIVER)), 150_000_000);
        let paid = Allowance::default().lamports - get(CREATOR_AT).lamports;
        let new = [POOL, LP_MINT, CREATOR_LP, VAULT_0, VAULT_1, OBSERVATION];
        let rents: u64 = new.into_iter().map(|place| get(place).lamports).sum();
        assert_eq!(paid, 150_000_000 + rents);
    });
}

#[test]
fn the_model_and_the_genuine_program_leave_the_same_bytes() {
    let Some(path) = super::genuine() else {
        eprintln!("SWAPD_CPMM_SO is not set: nothing to compare");
        return;
    };
    let (mut model, mut genuine) = (Bench::model(), Bench::genuine(path));
    for fresh_key in [false, true] {
        let mut creation = Creation::new();
        if fresh_key {
            creation.at_pool(FRESH_POOL);
            creation.meta(POOL).is_signer = true;
        }
        // Somebody sent lamports ahead.
        for place in [LP_MINT, OBSERVATION, VAULT_0, VAULT_1, POOL] {
            let address = creation.key(place);
            let early = Seeded { address, owner: ids::SYSTEM, lamports: 1_000_000, data: Vec::new() };
            creation.accounts.insert(address, early);
        }
        assert_eq!(creation.run(&mut model), "");
        assert_eq!(creation.run(&mut genuine), "");
        for (place, meta) in creation.instruction.accounts[..14].iter().enumerate() {
            let [ours, theirs] = [&model, &genuine].map(|bench| bench.get(&meta.pubkey));
            assert_eq!(ours, theirs, "account {place}");
        }
    }
}

type Spoil = fn(&mut Creation);

/// Name of what is special, how to make it so, and what the runtime then says.
const CASES: &[(&str, &str, Spoil)] = &[
    ("nothing is wrong", "", |_| ()),
    ("an open time to come", "", |c| c.argument(2, 1_800_000_000)),
    ("an argument is missing", "Custom(102)", |c| c.instruction.data.truncate(31)),
    ("the last account is missing", "Custom(3005)", |c| {
        c.instruction.accounts.pop();
    }),
    ("the creator does not sign", "Custom(3010)", |c| c.meta(CREATOR_AT).is_signer = false),
    ("creation is off", "Custom(6000)", |c| c.config(|config| config.disable_create_pool = true)),
    ("no fee for creation", "", |c| c.config(|config| config.create_pool_fee = 0)),
    ("a config of another program", "Custom(3007)", |c| c.account(CONFIG).owner = ids::TOKEN),
    ("another authority", "Custom(2006)", |c| c.meta(AUTHORITY).pubkey = FRESH_POOL),
    ("a fresh key that signs", "", |c| {
        c.at_pool(FRESH_POOL);
        c.meta(POOL).is_signer = true;
    }),
    ("a fresh key that does not sign", "Custom(2501)", |c| c.at_pool(FRESH_POOL)),
    ("the pool is not writable", "Custom(2000)", |c| c.meta(POOL).is_writable = false),
    ("the pool exists", "Custom(6000)", |c| {
        let address = c.key(POOL);
        let mut pool = c.account(CONFIG).clone();
        pool.address = address;
        c.accounts.insert(address, pool);
    }),
    ("the pool's address has lamports", "", |c| {
        let address = c.key(POOL);
        let owner = ids::SYSTEM;
        let data = Vec::new();
        c.accounts.insert(address, Seeded { address, owner, lamports: 1_000_000, data });
    }),
    ("a vault's address has lamports", "", |c| {
        let address = c.key(VAULT_1);
        let owner = ids::SYSTEM;
        let data = Vec::new();
        c.accounts.insert(address, Seeded { address, owner, lamports: 1_000_000, data });
    }),
    ("a vault exists", "Custom(0)", |c| {
        let address = c.key(VAULT_1);
        let mut vault = c.account(CONFIG).clone();
        vault.address = address;
        c.accounts.insert(address, vault);
    }),
    ("the LP mint exists", "Custom(0)", |c| {
        let address = c.key(LP_MINT);
        let mut mint = c.account(CONFIG).clone();
        mint.address = address;
        c.accounts.insert(address, mint);
    }),
    ("another LP mint", "Custom(2006)", |c| c.meta(LP_MINT).pubkey = FRESH_POOL),
    ("another observation", "Custom(2006)", |c| c.meta(OBSERVATION).pubkey = FRESH_POOL),
    ("another vault", "Custom(2006)", |c| c.meta(VAULT_1).pubkey = FRESH_POOL),
    ("the vaults the other way round", "Custom(2006)", |c| {
        let vault = c.key(VAULT_0);
        c.meta(VAULT_0).pubkey = c.key(VAULT_1);
        c.meta(VAULT_1).pubkey = vault;
    }),
    ("the wrong program for a mint", "Custom(2022)", |c| {
        let other = c.key(PROGRAM_0 + 1);
        c.meta(PROGRAM_0).pubkey = other;
    }),
    ("the mints in the wrong order", "Custom(2003)", |c| {
        for place in [MINT_0, FROM_0, VAULT_0, PROGRAM_0] {
            let first = c.key(place);
            c.meta(place).pubkey = c.key(place + 1);
            c.meta(place + 1).pubkey = first;
        }
    }),
    ("a source of the other token", "Custom(2014)", |c| c.meta(FROM_0).pubkey = c.key(FROM_1)),
    ("a source of somebody else", "Custom(2015)", |c| c.account(FROM_1).data[32] ^= 1),
    ("a source of the other token and somebody else", "Custom(2015)", |c| {
        c.account(FROM_1).data[32] ^= 1;
        c.meta(FROM_0).pubkey = c.key(FROM_1);
    }),
    ("a source that is not writable", "Custom(2000)", |c| c.meta(FROM_0).is_writable = false),
    ("another fee receiver", "Custom(2012)", |c| {
        let mut receiver = c.account(FEE_RECEIVER).clone();
        receiver.address = FRESH_POOL;
        c.accounts.insert(FRESH_POOL, receiver);
        c.meta(FEE_RECEIVER).pubkey = FRESH_POOL;
    }),
    ("no fee receiver", "Custom(3012)", |c| {
        let key = c.key(FEE_RECEIVER);
        c.accounts.remove(&key);
    }),
    ("another sysvar", "Custom(3015)", |c| c.meta(RENT).pubkey = FRESH_POOL),
    ("a mint whose transfers need another program", "Custom(6007)", |c| c.extend_levy(14, 64)),
    ("a mint with metadata elsewhere", "", |c| c.extend_levy(18, 64)),
    ("a mint that bears interest", "", |c| c.extend_levy(10, 52)),
    ("nothing of one token", "Custom(6002)", |c| c.argument(0, 0)),
    ("so little that all of it is locked", "Custom(6009)", |c| {
        c.argument(0, 99);
        c.argument(1, 99);
    }),
    ("more than the creator has", "Custom(1)", |c| c.argument(1, u64::MAX)),
    ("the creator cannot pay the fee", "Custom(1)", |c| c.account(CREATOR_AT).lamports = 100_000_000),
];

/// Where the build on record does otherwise: its list of extensions is shorter.
const ON_RECORD: &[(&str, &str)] = &[("a mint that bears interest", "Custom(6007)")];

#[test]
fn what_is_wrong_is_refused_by_its_number() {
    super::on_each_program(|bench| {
        let mut wrong = Vec::new();
        for (name, expected, spoil) in CASES {
            let mut creation = Creation::new();
            spoil(&mut creation);
            let found = creation.run(bench);
            creation.forget(bench);
            let on_record = ON_RECORD.iter().find(|(other, _)| other == name);
            let expected = match on_record {
                Some((_, on_record)) if !bench.is_model => on_record,
                _ => expected,
            };
            if found != *expected {
                wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
            }
        }
        assert!(wrong.is_empty(), "model: {}\n{}", bench.is_model, wrong.join("\n"));
        eprintln!("{} creations alike", CASES.len());
    });
}
