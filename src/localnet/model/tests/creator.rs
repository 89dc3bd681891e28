//! Creator fees, which the build on record does not know: two swaps in a row on a pool that charges them.

use solana_sdk::{
    instruction::{AccountMeta, Instruction},
    pubkey,
    pubkey::Pubkey,
};

use super::bench::Bench;
use crate::localnet::{
    ids,
    model::state::{PoolState, Stored},
    scenario::Scenario,
    seed::{self, Allowance},
};

const TRADER: Pubkey = pubkey!("Trader1111111111111111111111111111111111111");

/// The counters and what the vaults hold: token 0, then token 1.
#[derive(Debug, PartialEq, Eq)]
struct Books {
    vaults: [u64; 2],
    protocol: [u64; 2],
    fund: [u64; 2],
    creator: [u64; 2],
}

struct Market {
    bench: Bench,
    scenario: Scenario,
}

impl Market {
    /// The first pool, with the given books and a creator fee on token 0 only.
    fn new(books: &Books) -> Self {
        let mut bench = Bench::model();
        let scenario = Scenario::new(ids::CPMM_MAINNET);
        let pool = &scenario.pools[0];
        for mut account in seed::accounts(&scenario, &[TRADER], Allowance::default()) {
            if let Some(side) = pool.vaults.iter().position(|v| *v == account.address) {
                account.data[64..72].copy_from_slice(&books.vaults[side].to_le_bytes());
            }
            if account.address == pool.address {
                let mut state = PoolState::from_account("pool", &account.data).unwrap();
                state.enable_creator_fee = 1;
                state.creator_fee_on = 1;
                [state.protocol_fees_token_0, state.protocol_fees_token_1] = books.protocol;
                [state.fund_fees_token_0, state.fund_fees_token_1] = books.fund;
                [state.creator_fees_token_0, state.creator_fees_token_1] = books.creator;
                account.data = state.to_account();
            }
            bench.put(&account);
        }
        let sol = seed::wallet_token_account(&TRADER, &scenario.tokens[0], 10_000_000_000);
        bench.put(&sol);
        bench.set_clock(1, 1, 1_760_000_000);
        Self { bench, scenario }
    }

    /// Sells a token of the first pool, and gives the event.
    fn sell(&mut self, side: usize, amount: u64) -> Vec<u8> {
        let pool = &self.scenario.pools[0];
        let (sold, bought) = (&pool.tokens[side], &pool.tokens[1 - side]);
        let mut data = vec![143, 190, 90, 218, 196, 30, 51, 222];
        data.extend(amount.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        let outcome = self.bench.run(Instruction {
            program_id: ids::CPMM_MAINNET,
            accounts: vec![
                AccountMeta::new_readonly(TRADER, true),
                AccountMeta::new_readonly(self.scenario.authority.0, false),
                AccountMeta::new_readonly(pool.config.address, false),
                AccountMeta::new(pool.address, false),
                AccountMeta::new(self.scenario.token_account(&TRADER, sold), false),
                AccountMeta::new(self.scenario.token_account(&TRADER, bought), false),
                AccountMeta::new(pool.vaults[side], false),
                AccountMeta::new(pool.vaults[1 - side], false),
                AccountMeta::new_readonly(sold.program, false),
                AccountMeta::new_readonly(bought.program, false),
                AccountMeta::new_readonly(sold.mint, false),
                AccountMeta::new_readonly(bought.mint, false),
                AccountMeta::new(pool.observation, false),
            ],
            data,
        });
        assert_eq!(outcome.error, None, "{:#?}", outcome.logs);
        outcome.events().remove(0)
    }

    fn books(&self) -> Books {
        let pool = &self.scenario.pools[0];
        let account = self.bench.get(&pool.address).expect("the pool");
        let state = PoolState::from_account("pool", &account.data).unwrap();
        Books {
            vaults: pool.vaults.map(|vault| self.bench.tokens(&vault)),
            protocol: [state.protocol_fees_token_0, state.protocol_fees_token_1],
            fund: [state.fund_fees_token_0, state.fund_fees_token_1],
            creator: [state.creator_fees_token_0, state.creator_fees_token_1],
        }
    }
}

#[test]
fn the_creator_is_paid_in_the_pools_chosen_token_both_ways() {
    let mut market = Market::new(&Books {
        vaults: [500_000_123_456, 75_000_987_654],
        protocol: [100_000, 900_000],
        fund: [20_000, 80_000],
        creator: [3_456, 7_654],
    });
    let event = market.sell(0, 1_000_000_000);
    assert_eq!(
        market.books(),
        Books {
            vaults: [501_000_123_456, 74_852_034_072],
            protocol: [400_000, 900_000],
            fund: [120_000, 80_000],
            creator: [2_503_456, 7_654],
        }
    );
    let number = |event: &[u8], at: usize| u64::from_le_bytes(event[at..at + 8].try_into().expect("eight bytes"));
    let fees = |event: &[u8]| (number(event, 153), number(event, 161), event[169]);
    assert_eq!(event.len(), 170);
    assert_eq!(fees(&event), (2_500_000, 2_500_000, 1));
    assert_eq!(event[89..121], ids::WRAPPED_SOL.to_bytes());

    let event = market.sell(1, 150_000_000);
    assert_eq!(
        market.books(),
        Books {
            vaults: [500_003_141_891, 75_002_034_072],
            protocol: [400_000, 945_000],
            fund: [120_000, 95_000],
            creator: [5_002_157, 7_654],
        }
    );
    assert_eq!(number(&event, 64), 996_981_565);
    assert_eq!(fees(&event), (375_000, 2_498_701, 0));
}
