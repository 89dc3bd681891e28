//! The recorded swaps of the real program (`tests/fixtures/cpmm`), read for this venue's tests.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::Value;
use solana_sdk::{account::Account, pubkey::Pubkey, sysvar};

use super::{
    layout::{self, EpochSchedule},
    snapshot::{Accounts, Direction, Pool, Snapshot},
};
use crate::domain::{BaseUnits, Pair, Slot, Swap};

/// The schedule of the recording: mainnet's.
pub const EPOCHS: EpochSchedule =
    EpochSchedule { slots_per_epoch: 432_000, first_normal_epoch: 0, first_normal_slot: 0 };

#[derive(Deserialize)]
pub struct Golden {
    pub program_id: String,
    pub pools: BTreeMap<String, Value>,
    pub account_lists: HashMap<String, Vec<String>>,
    snapshots: HashMap<String, RawSnapshot>,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
struct RawSnapshot {
    pubkey: String,
    owner: String,
    lamports: String,
    size: usize,
    data_base64: String,
}

#[derive(Clone, Deserialize)]
pub struct Case {
    pub id: String,
    pub pool: String,
    pub tags: Vec<String>,
    pub clock: Clock,
    pub args: Args,
    pub user_in_balance: String,
    pub decoded: BTreeMap<String, String>,
    pub instruction: Instruction,
    pub before: BTreeMap<String, String>,
    pub after: BTreeMap<String, String>,
    pub result: Outcome,
}

#[derive(Clone, Deserialize)]
pub struct Clock {
    pub slot: u64,
    pub epoch: u64,
    pub unix_timestamp: i64,
}

#[derive(Clone, Deserialize)]
pub struct Args {
    pub direction: String,
    pub amount_in: Option<String>,
    pub minimum_amount_out: Option<String>,
    pub max_amount_in: Option<String>,
    pub amount_out: Option<String>,
}

#[derive(Clone, Deserialize)]
pub struct Instruction {
    pub data_base64: String,
    pub accounts: String,
}

#[derive(Clone, Deserialize)]
pub struct Outcome {
    pub ok: bool,
    pub user_in_debited: Option<String>,
    pub user_out_credited: Option<String>,
    pub vault_in_credited: Option<String>,
    pub vault_out_debited: Option<String>,
    #[serde(default)]
    pub events_base64: Vec<String>,
    pub error: Option<Refused>,
}

#[derive(Clone, Deserialize)]
pub struct Refused {
    pub kind: String,
    pub code: Option<u32>,
    pub failed_program: String,
}

pub fn number(text: &Option<String>) -> u64 {
    text.as_deref().unwrap().parse().unwrap()
}

impl Golden {
    pub fn load() -> Self {
        serde_json::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cpmm/cases.json")))
            .unwrap()
    }

    pub fn program(&self) -> Pubkey {
        self.program_id.parse().unwrap()
    }

    pub fn account(&self, id: &str) -> (Pubkey, Account) {
        let raw = &self.snapshots[id];
        let mut data = BASE64.decode(&raw.data_base64).unwrap();
        data.resize(raw.size, 0);
        let account = Account {
            lamports: raw.lamports.parse().unwrap(),
            data,
            owner: raw.owner.parse().unwrap(),
            executable: false,
            rent_epoch: 0,
        };
        (raw.pubkey.parse().unwrap(), account)
    }

    /// All accounts a quote of the case needs, with the clock it ran at.
    pub fn accounts(&self, case: &Case) -> (Vec<Pubkey>, Vec<Option<Account>>) {
        let mut found = vec![(sysvar::clock::ID, case.clock.account())];
        found.extend(case.before.values().map(|id| self.account(id)));
        found.into_iter().map(|(key, account)| (key, Some(account))).unzip()
    }

    pub fn pool(&self, case: &Case) -> Pool {
        let (address, account) = self.account(&case.before["pool_state"]);
        let state = layout::pool_state(&self.program(), &address, &account).unwrap();
        layout::check_addresses(&self.program(), &address, &state).unwrap();
        Pool::new(layout::authority(&self.program()), address, &state)
    }

    pub fn snapshot(&self, case: &Case) -> Snapshot {
        let (keys, accounts) = self.accounts(case);
        let accounts = Accounts::new(Slot(case.clock.slot), &keys, &accounts);
        Snapshot::read(&self.program(), &self.pool(case), &accounts).unwrap()
    }
}

impl Clock {
    pub fn account(&self) -> Account {
        let mut data = Vec::new();
        for word in [self.slot, 0, self.epoch, self.epoch + 1, self.unix_timestamp.cast_unsigned()] {
            data.extend(word.to_le_bytes());
        }
        Account { lamports: 1, data, owner: sysvar::ID, executable: false, rent_epoch: 0 }
    }
}

impl Case {
    pub fn tagged(&self, tag: &str) -> bool {
        self.tags.iter().any(|found| found == tag)
    }

    pub fn direction(&self) -> Direction {
        if self.args.direction == "zero_for_one" { Direction::ZeroToOne } else { Direction::OneToZero }
    }

    pub fn pair(&self, pool: &Pool) -> Pair {
        let (side_in, side_out) = pool.in_and_out(self.direction());
        Pair { mint_in: side_in.mint, mint_out: side_out.mint }
    }

    /// The exact side and the limit of the other one.
    pub fn swap(&self) -> (Swap, BaseUnits) {
        if self.args.amount_in.is_some() {
            let exact = BaseUnits::new(number(&self.args.amount_in));
            (Swap::ExactIn(exact), BaseUnits::new(number(&self.args.minimum_amount_out)))
        } else {
            let exact = BaseUnits::new(number(&self.args.amount_out));
            (Swap::ExactOut(exact), BaseUnits::new(number(&self.args.max_amount_in)))
        }
    }
}
