//! What the program refuses, by number: one thing is wrong at a time, on a case that is otherwise accepted.

use solana_sdk::{instruction::Instruction, pubkey::Pubkey};

use super::golden::Facts;
use crate::localnet::{ids, seed::Seeded};

/// A swap with everything in place, to be spoiled.
struct Spoiled {
    accounts: Vec<Seeded>,
    instruction: Instruction,
}

impl Spoiled {
    fn account(&mut self, place: usize) -> &mut Seeded {
        let key = self.instruction.accounts[place].pubkey;
        self.accounts.iter_mut().find(|account| account.address == key).expect("the case has the account")
    }

    /// A second account with the same content at another address.
    fn twin(&mut self, place: usize) -> Pubkey {
        let mut twin = self.account(place).clone();
        twin.address = Pubkey::new_from_array([place as u8 + 1; 32]);
        let address = twin.address;
        self.accounts.push(twin);
        address
    }

    fn replace_by_twin(&mut self, place: usize) {
        self.instruction.accounts[place].pubkey = self.twin(place);
    }
}

type Spoil = fn(&mut Spoiled);

const PAYER: usize = 0;
const AUTHORITY: usize = 1;
const CONFIG: usize = 2;
const POOL: usize = 3;
const FROM: usize = 4;
const TO: usize = 5;
const VAULT_IN: usize = 6;
const VAULT_OUT: usize = 7;
const PROGRAM_IN: usize = 8;
const PROGRAM_OUT: usize = 9;
const MINT_IN: usize = 10;
const MINT_OUT: usize = 11;
const OBSERVATION: usize = 12;

/// Name of what is wrong, how to make it so, and what the runtime then says.
const REFUSALS: &[(&str, &str, Spoil)] = &[
    ("nothing is wrong", "", |_| ()),
    ("no instruction data", "Custom(100)", |s| s.instruction.data.clear()),
    ("seven bytes of instruction data", "Custom(100)", |s| s.instruction.data.truncate(7)),
    ("an unknown instruction", "Custom(101)", |s| s.instruction.data[0] ^= 1),
    ("an argument is missing", "Custom(102)", |s| s.instruction.data.truncate(23)),
    ("more data than arguments", "", |s| s.instruction.data.push(7)),
    ("no accounts", "Custom(3005)", |s| s.instruction.accounts.clear()),
    ("the last account is missing", "Custom(3005)", |s| {
        s.instruction.accounts.pop();
    }),
    ("the payer does not sign", "Custom(3010)", |s| {
        s.instruction.accounts[PAYER].is_signer = false;
    }),
    ("the payer does not sign and the last account is missing", "Custom(3010)", |s| {
        s.instruction.accounts[PAYER].is_signer = false;
        s.instruction.accounts.pop();
    }),
    ("another authority", "Custom(2006)", |s| {
        s.instruction.accounts[AUTHORITY].pubkey = Pubkey::new_from_array([9; 32]);
    }),
    ("another config", "Custom(2012)", |s| s.replace_by_twin(CONFIG)),
    ("a config that does not exist", "Custom(3012)", |s| {
        s.instruction.accounts[CONFIG].pubkey = Pubkey::new_from_array([9; 32]);
    }),
    ("a config of another program", "Custom(3007)", |s| s.account(CONFIG).owner = ids::TOKEN),
    ("a pool in place of the config", "Custom(3002)", |s| {
        s.instruction.accounts[CONFIG].pubkey = s.instruction.accounts[POOL].pubkey;
    }),
    ("a config of seven bytes", "Custom(3001)", |s| s.account(CONFIG).data.truncate(7)),
    ("a config cut short", "Custom(3003)", |s| s.account(CONFIG).data.truncate(100)),
    ("the pool is not writable", "Custom(2000)", |s| {
        s.instruction.accounts[POOL].is_writable = false;
    }),
    ("a pool of another program", "Custom(3007)", |s| s.account(POOL).owner = ids::TOKEN),
    ("a pool that does not exist", "Custom(3007)", |s| {
        s.instruction.accounts[POOL].pubkey = Pubkey::new_from_array([9; 32]);
    }),
    ("a pool of seven bytes", "Custom(3001)", |s| s.account(POOL).data.truncate(7)),
    ("a pool cut short", "ProgramFailedToComplete", |s| s.account(POOL).data.truncate(600)),
    ("a config in place of the pool", "Custom(3002)", |s| {
        s.instruction.accounts[POOL].pubkey = s.instruction.accounts[CONFIG].pubkey;
    }),
    ("the source is not writable", "Custom(2000)", |s| {
        s.instruction.accounts[FROM].is_writable = false;
    }),
    ("a source that does not exist", "Custom(3012)", |s| {
        s.instruction.accounts[FROM].pubkey = Pubkey::new_from_array([9; 32]);
    }),
    ("a source that is no token account", "Custom(3007)", |s| {
        s.instruction.accounts[FROM].pubkey = s.instruction.accounts[POOL].pubkey;
    }),
    ("a mint in place of the source", "InvalidAccountData", |s| {
        s.instruction.accounts[FROM].pubkey = s.instruction.accounts[MINT_IN].pubkey;
    }),
    ("a source that was never initialised", "UninitializedAccount", |s| s.account(FROM).data[108] = 0),
    ("a source of the other token", "Custom(3)", |s| {
        s.instruction.accounts[FROM].pubkey = s.twin(TO);
    }),
    ("a source of somebody else", "Custom(4)", |s| s.account(FROM).data[32] ^= 1),
    ("a frozen source", "Custom(17)", |s| s.account(FROM).data[108] = 2),
    ("a frozen target", "Custom(17)", |s| s.account(TO).data[108] = 2),
    ("the target is not writable", "Custom(2000)", |s| {
        s.instruction.accounts[TO].is_writable = false;
    }),
    ("a target of the other token", "Custom(3)", |s| {
        s.instruction.accounts[TO].pubkey = s.twin(FROM);
    }),
    ("a target of somebody else", "", |s| s.account(TO).data[32] ^= 1),
    ("the input vault is not writable", "Custom(2000)", |s| {
        s.instruction.accounts[VAULT_IN].is_writable = false;
    }),
    ("the input vault is none of the pool's", "Custom(2003)", |s| s.replace_by_twin(VAULT_IN)),
    ("the output vault is none of the pool's", "Custom(2003)", |s| s.replace_by_twin(VAULT_OUT)),
    ("one vault on both sides", "Custom(6008)", |s| {
        s.instruction.accounts[VAULT_OUT].pubkey = s.instruction.accounts[VAULT_IN].pubkey;
        s.instruction.accounts[MINT_OUT].pubkey = s.instruction.accounts[MINT_IN].pubkey;
    }),
    ("a token program that is none", "Custom(3008)", |s| {
        s.instruction.accounts[PROGRAM_IN].pubkey = ids::SYSTEM;
    }),
    ("the other token program for the input", "IncorrectProgramId", |s| {
        s.instruction.accounts[PROGRAM_IN].pubkey = ids::TOKEN_2022;
    }),
    ("the other token program for the output", "IncorrectProgramId", |s| {
        s.instruction.accounts[PROGRAM_OUT].pubkey = ids::TOKEN_2022;
    }),
    ("another input mint", "Custom(2012)", |s| s.replace_by_twin(MINT_IN)),
    ("another output mint", "Custom(2012)", |s| s.replace_by_twin(MINT_OUT)),
    ("a token account in place of a mint", "InvalidAccountData", |s| {
        s.instruction.accounts[MINT_IN].pubkey = s.instruction.accounts[FROM].pubkey;
    }),
    ("a mint that was never initialised", "UninitializedAccount", |s| s.account(MINT_OUT).data[45] = 0),
    ("the observation is not writable", "Custom(2000)", |s| {
        s.instruction.accounts[OBSERVATION].is_writable = false;
    }),
    ("another observation", "Custom(2012)", |s| s.replace_by_twin(OBSERVATION)),
    ("a pool in place of the observation", "Custom(3002)", |s| {
        s.instruction.accounts[OBSERVATION].pubkey = s.instruction.accounts[POOL].pubkey;
    }),
    ("an observation cut short", "ProgramFailedToComplete", |s| {
        s.account(OBSERVATION).data.truncate(4_000);
    }),
    ("an observation index outside the ring", "ProgramFailedToComplete", |s| {
        s.account(OBSERVATION).data[8] = 1;
        s.account(OBSERVATION).data[9] = 100;
    }),
    ("a wrong authority bump in the pool", "PrivilegeEscalation", |s| s.account(POOL).data[328] -= 1),
    ("less in the input vault than the pool owes", "Custom(6012)", |s| {
        s.account(VAULT_IN).data[64..72].fill(0);
    }),
    ("an empty output vault", "ProgramFailedToComplete", |s| {
        s.account(VAULT_OUT).data[64..72].fill(0);
    }),
    ("the swap bit and a wrong config", "Custom(2012)", |s| {
        s.account(POOL).data[329] = 4;
        s.replace_by_twin(CONFIG);
    }),
    ("the swap bit and nothing to swap", "Custom(6000)", |s| {
        s.account(POOL).data[329] = 4;
        s.instruction.data[8..16].fill(0);
    }),
];

/// Where the build on record does otherwise: it knows no 6012 and panics.
const ON_RECORD: &[(&str, &str)] = &[("less in the input vault than the pool owes", "ProgramFailedToComplete")];

#[test]
fn what_is_wrong_is_refused_by_its_number() {
    let facts = Facts::load();
    super::on_each_program(|bench| {
        let mut wrong = Vec::new();
        for (name, expected, spoil) in REFUSALS {
            let (accounts, instruction, clock) = facts.a_plain_swap();
            let mut spoiled = Spoiled { accounts, instruction };
            spoil(&mut spoiled);
            bench.set_clock(clock.0, clock.1, clock.2);
            for account in &spoiled.accounts {
                bench.put(account);
            }
            let found = bench.run(spoiled.instruction).error.unwrap_or_default();
            let on_record = ON_RECORD.iter().find(|(other, _)| other == name);
            let expected = match on_record {
                Some((_, on_record)) if !bench.is_model => on_record,
                _ => expected,
            };
            if found != *expected {
                wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
            }
            for account in spoiled.accounts {
                bench.remove(account.address);
            }
        }
        assert!(wrong.is_empty(), "model: {}\n{}", bench.is_model, wrong.join("\n"));
        eprintln!("{} refusals alike", REFUSALS.len());
    });
}
