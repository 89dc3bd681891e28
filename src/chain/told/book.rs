//! Book: what a socket has told of some accounts, and up to which slot that is everything.
//!
//! A node tells every change of a block before any of a later one, in no order within a block, and the clock changes in
//! every block. So the clock of a later block closes the blocks before it: only then is it known that nothing else of them
//! comes, and only closed blocks are spoken of. Thus accounts that changed together are never seen half changed. Pure.

use std::collections::{HashMap, VecDeque};

use solana_sdk::{account::Account, pubkey::Pubkey, sysvar};
use tokio::time::Instant;

use crate::{chain::AccountSnapshot, domain::Slot};

/// An account's changes are complete from this clock after its subscription on: a node confirms a subscription before all
/// of its parts know of it, and blocks that were on their way then may pass it by.
const SURE_AFTER: u8 = 4;

/// What was told on one connection.
#[derive(Default)]
pub(super) struct Book {
    /// The newest clock's slot.
    newest: Option<Slot>,
    /// The clock's slot before that, and when the newer one came: everything up to there has been told.
    closed: Option<(Slot, Instant)>,
    accounts: HashMap<Pubkey, Told>,
}

/// One account's changes.
#[derive(Default)]
struct Told {
    /// Clocks that came since the subscription, until they are enough.
    clocks: u8,
    /// Every change after this slot is told.
    since: Option<Slot>,
    /// The last one of closed blocks, then those of open ones. `None` for an account that is gone.
    changes: VecDeque<(Slot, Option<Account>)>,
}

/// A change whose slot is not newer than that of the change before, or of a block that was told whole: this node's slots do
/// not say when things changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Untimed;

impl Book {
    /// From now on the account's changes come. The clock's must, for anything to be known.
    pub(super) fn follow(&mut self, key: Pubkey) {
        self.accounts.entry(key).or_default();
    }

    /// The account's changes come no more.
    pub(super) fn forget(&mut self, key: &Pubkey) {
        self.accounts.remove(key);
    }

    /// Whether all changes of any account were told for a while, and not only the clock's.
    pub(super) fn is_of_use(&self) -> bool {
        self.accounts.iter().any(|(key, told)| *key != sysvar::clock::ID && told.since.is_some())
    }

    /// Takes in what the account became in `slot`.
    pub(super) fn note(&mut self, key: Pubkey, slot: Slot, account: Account, now: Instant) -> Result<(), Untimed> {
        let told = self.accounts.entry(key).or_default();
        let is_closed = self.closed.is_some_and(|(closed, _)| closed >= slot);
        if is_closed || told.changes.back().is_some_and(|(last, _)| *last >= slot) {
            return Err(Untimed);
        }
        let is_gone = account.lamports == 0;
        told.changes.push_back((slot, (!is_gone).then_some(account)));
        if key == sysvar::clock::ID {
            self.close(slot, now);
        }
        Ok(())
    }

    /// A block begins, so all before it are closed.
    fn close(&mut self, slot: Slot, now: Instant) {
        if let Some(before) = self.newest.replace(slot) {
            self.closed = Some((before, now));
        }
        for told in self.accounts.values_mut() {
            if told.since.is_none() {
                told.clocks += 1;
                told.since = (told.clocks >= SURE_AFTER).then_some(slot);
            }
            if let Some((closed, _)) = self.closed {
                while told.changes.get(1).is_some_and(|(slot, _)| *slot <= closed) {
                    told.changes.pop_front();
                }
            }
        }
    }

    /// What `base`, which was read of these accounts, has become, and since when that is known. `None` when nothing newer
    /// is known of all of them.
    pub(super) fn since(&self, base: &AccountSnapshot, keys: &[Pubkey]) -> Option<(AccountSnapshot, Instant)> {
        let (slot, known_at) = self.closed.filter(|(slot, _)| *slot > base.slot)?;
        let now = |(key, before): (&Pubkey, &Option<Account>)| {
            let told = self.accounts.get(key)?;
            told.since.filter(|since| *since <= base.slot)?;
            let changed = told.changes.front().filter(|(changed, _)| *changed > base.slot && *changed <= slot);
            Some(changed.map_or(before, |(_, account)| account).clone())
        };
        let accounts = keys.iter().zip(&base.accounts).map(now).collect::<Option<_>>()?;
        Some((AccountSnapshot { slot, accounts }, known_at))
    }
}

#[cfg(test)]
impl Book {
    pub(super) fn is_closed(&self, slot: Slot) -> bool {
        self.closed.is_some_and(|(closed, _)| closed >= slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Pubkey = sysvar::clock::ID;

    fn holding(lamports: u64) -> Account {
        Account { lamports, ..Account::default() }
    }

    /// A book of a pool's two vaults, whose changes after block 10 are all told.
    struct Scene {
        book: Book,
        keys: [Pubkey; 3],
    }

    impl Scene {
        fn new() -> Self {
            let keys = [CLOCK, Pubkey::new_unique(), Pubkey::new_unique()];
            let mut scene = Self { book: Book::default(), keys };
            keys.into_iter().for_each(|key| scene.book.follow(key));
            (7..=10).for_each(|slot| scene.clock(slot));
            scene
        }

        fn clock(&mut self, slot: u64) {
            self.book.note(CLOCK, Slot(slot), holding(slot), Instant::now()).unwrap();
        }

        fn change(&mut self, vault: usize, slot: u64, lamports: u64) {
            self.book.note(self.keys[vault], Slot(slot), holding(lamports), Instant::now()).unwrap();
        }

        /// What is known of a read at `slot`, in which both vaults held 100: the slot, and what they hold now.
        fn since(&self, slot: u64) -> Option<(u64, [u64; 2])> {
            let base =
                AccountSnapshot { slot: Slot(slot), accounts: [slot, 100, 100].map(|it| Some(holding(it))).into() };
            let (now, _) = self.book.since(&base, &self.keys)?;
            let held = |at: usize| now.accounts[at].as_ref().map_or(0, |account| account.lamports);
            assert_eq!(held(0), now.slot.0, "the clock is of the same slot");
            Some((now.slot.0, [held(1), held(2)]))
        }
    }

    #[test]
    fn a_swap_shows_in_both_vaults_or_in_none() {
        let mut scene = Scene::new();
        scene.clock(11);
        scene.change(1, 12, 130);
        assert_eq!(scene.since(10), None, "nothing newer is complete");
        scene.clock(12);
        assert_eq!(scene.since(10), Some((11, [100, 100])), "block 12 is still being told");
        scene.change(2, 12, 77);
        assert_eq!(scene.since(10), Some((11, [100, 100])), "nobody says yet that this was all");
        scene.change(1, 13, 140);
        scene.clock(13);
        assert_eq!(scene.since(10), Some((12, [130, 77])));
        scene.change(2, 13, 70);
        scene.clock(15);
        assert_eq!(scene.since(10), Some((13, [140, 70])));
        assert_eq!(scene.since(12), Some((13, [140, 70])));
        assert_eq!(scene.since(13), None, "the read is as new");
    }

    #[test]
    fn a_change_that_the_read_has_seen_already_does_not_bring_back_what_was_before() {
        let mut scene = Scene::new();
        scene.change(1, 11, 50);
        for slot in 11..=14 {
            scene.clock(slot);
        }
        assert_eq!(scene.since(12), Some((13, [100, 100])), "it was read after that change");
    }

    #[test]
    fn a_read_from_before_the_subscription_is_not_brought_up_to_date() {
        let mut scene = Scene::new();
        scene.clock(11);
        scene.clock(12);
        assert_eq!(scene.since(9), None, "a change in block 10 may have been missed");
        assert!(scene.since(10).is_some());
        let late = Pubkey::new_unique();
        scene.keys[2] = late;
        assert_eq!(scene.since(10), None, "nobody listens to that one");
        scene.book.follow(late);
        (13..=17).for_each(|slot| scene.clock(slot));
        assert_eq!(scene.since(15), None, "the node may have told block 16 before it knew of the subscription");
        assert_eq!(scene.since(16), None, "nothing is newer");
        scene.clock(18);
        assert_eq!(scene.since(16), Some((17, [100, 100])));
        scene.book.forget(&late);
        assert_eq!(scene.since(16), None, "nobody listens to it any more");
    }

    #[test]
    fn a_change_of_a_block_that_was_told_whole_is_noticed() {
        let mut scene = Scene::new();
        (11..=13).for_each(|slot| scene.clock(slot));
        scene.change(1, 13, 5);
        assert_eq!(scene.book.note(scene.keys[2], Slot(12), holding(6), Instant::now()), Err(Untimed));
    }

    #[test]
    fn a_closed_account_is_gone() {
        let mut scene = Scene::new();
        scene.change(1, 11, 0);
        (11..=13).for_each(|slot| scene.clock(slot));
        let base = AccountSnapshot { slot: Slot(10), accounts: vec![Some(holding(100))] };
        assert_eq!(scene.book.since(&base, &scene.keys[1..2]).unwrap().0.accounts, [None]);
    }

    #[test]
    fn slots_that_stand_still_are_noticed() {
        let mut scene = Scene::new();
        scene.change(1, 11, 5);
        assert_eq!(scene.book.note(scene.keys[1], Slot(11), holding(6), Instant::now()), Err(Untimed));
        assert_eq!(scene.book.note(CLOCK, Slot(10), holding(6), Instant::now()), Err(Untimed));
    }

    #[test]
    fn what_no_read_can_need_any_more_is_forgotten() {
        let mut scene = Scene::new();
        for slot in 11..1_000 {
            scene.change(1, slot, slot);
            scene.clock(slot);
        }
        assert!(scene.book.accounts.values().all(|told| told.changes.len() <= 3));
    }
}
