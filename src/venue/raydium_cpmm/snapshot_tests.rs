//! What a snapshot refuses, which fees it reads, and what it does at the end of an epoch.

use std::collections::HashMap;

use solana_sdk::{account::Account, pubkey::Pubkey, sysvar};

use super::{
    golden::{EPOCHS, Golden},
    layout,
    snapshot::{Accounts, Direction, Pool, Snapshot},
};
use crate::{
    domain::{BaseUnits, Quote, Slot, Swap},
    venue::VenueError,
};

/// Reads the first case after `change` was made to its accounts.
fn changed(change: impl FnOnce(&mut HashMap<Pubkey, Account>, &Pool)) -> Result<Quote, VenueError> {
    let golden = Golden::load();
    let case = &golden.cases[0];
    let pool = golden.pool(case);
    let (keys, accounts) = golden.accounts(case);
    let mut accounts: HashMap<_, _> = keys.into_iter().zip(accounts.into_iter().flatten()).collect();
    change(&mut accounts, &pool);
    let (keys, accounts): (Vec<_>, Vec<_>) = accounts.into_iter().map(|(key, account)| (key, Some(account))).unzip();
    let accounts = Accounts::new(Slot(case.clock.slot), &keys, &accounts);
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
    let schedule = EPOCHS;
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

/// A Token-2022 mint with these extension records.
fn mint_with(records: &[(u16, Vec<u8>)]) -> Account {
    let mut data = vec![0; 166];
    (data[44], data[45], data[165]) = (6, 1, 1); // decimals, initialised, "this is a mint"
    for (kind, value) in records {
        data.extend(kind.to_le_bytes());
        data.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        data.extend(value);
    }
    Account { lamports: 1, data, owner: spl_token_2022_interface::ID, executable: false, rent_epoch: 0 }
}

#[test]
fn mint_extensions_that_stop_transfers_are_seen() {
    let read = |records: &[(u16, Vec<u8>)]| {
        layout::mint(&spl_token_2022_interface::ID, &Pubkey::default(), &mint_with(records))
    };
    let with_tail = |tail: &[u8], len: usize| [vec![0; len - tail.len()], tail.to_vec()].concat();
    let fee = {
        let mut value = vec![0; 108];
        value[72..80].copy_from_slice(&7_u64.to_le_bytes());
        value[80..88].copy_from_slice(&1_000_u64.to_le_bytes());
        value[88..90].copy_from_slice(&50_u16.to_le_bytes());
        value[90..98].copy_from_slice(&9_u64.to_le_bytes());
        value[98..106].copy_from_slice(&2_000_u64.to_le_bytes());
        value[106..108].copy_from_slice(&300_u16.to_le_bytes());
        (1, value)
    };
    assert_eq!(read(&[]).unwrap(), layout::Mint { fees: None, obstacle: None });

    // behind another record, as real mints have it
    let taxed = read(&[(18, vec![0; 64]), fee]).unwrap();
    let (older, newer) = (taxed.fee_at(8), taxed.fee_at(9));
    assert_eq!((older.basis_points, older.maximum), (50, 1_000));
    assert_eq!((newer.basis_points, newer.maximum), (300, 2_000));

    let hook = |program: u8| read(&[(14, with_tail(&[program; 32], 64))]).unwrap().obstacle;
    assert_eq!(hook(0), None, "a hook without a program does nothing");
    assert!(hook(5).is_some());
    let paused = |paused: u8| read(&[(26, with_tail(&[paused], 33))]).unwrap().obstacle;
    assert_eq!(paused(0), None);
    assert!(paused(1).is_some());
    assert!(read(&[(9, Vec::new())]).unwrap().obstacle.is_some(), "not transferable");
    assert!(read(&[(999, vec![0; 8])]).is_err(), "an unknown extension is not taken for none");
}
