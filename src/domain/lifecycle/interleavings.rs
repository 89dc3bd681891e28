//! Random interleavings of two workers, crashes, late answers, late landings and forks, against a small model of store
//! and chain: the lifecycle alone must keep an order from executing twice, whoever does what when.

use std::sync::Arc;

use proptest::prelude::*;
use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use time::OffsetDateTime;

use super::{tests::quote, *};
use crate::domain::{
    BaseUnits, BlockHeight, Bps, Dialect, ExpiryProof, NewOrder, Order, OrderId, OrderKind, Poison, Route, Slot, Swap,
    Token,
};

const LIFE: u64 = 150;
const FORK_DEPTH: u64 = 31;
const MAX_SIGNATURES: u8 = 3;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// A worker loads the order, as one does that was given its job (again).
    Load(usize),
    /// A worker finds out what its next event would be, and keeps it to itself for now.
    Think(usize),
    /// It stores that event, if nobody else moved the order since it was loaded.
    Append(usize),
    /// It sends what its copy says is signed.
    Send(usize),
    /// All of that at once, as an undisturbed worker does.
    Stride(usize),
    /// It dies and forgets everything.
    Crash(usize),
    /// The chain executes one of the transactions it was sent, if that is still alive.
    Land { which: usize, succeeds: bool },
    /// Somebody finds the order poisonous, whatever its workers are at.
    SetAside,
    /// Somebody takes it up again by hand.
    Replay,
    /// Blocks are made.
    Blocks(u64),
    /// A fork takes blocks back that were not final.
    Fork(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let worker = 0..2_usize;
    let act = prop_oneof![
        4 => worker.clone().prop_map(Act::Load),
        8 => worker.clone().prop_map(Act::Think),
        8 => worker.clone().prop_map(Act::Append),
        4 => worker.clone().prop_map(Act::Send),
        8 => worker.clone().prop_map(Act::Stride),
        1 => worker.prop_map(Act::Crash),
        2 => (0..4_usize, any::<bool>()).prop_map(|(which, succeeds)| Act::Land { which, succeeds }),
        2 => Just(Act::SetAside),
        2 => Just(Act::Replay),
        2 => (1..40_u64).prop_map(Act::Blocks),
        2 => (LIFE - 20..LIFE + 40).prop_map(Act::Blocks),
        2 => (1..=FORK_DEPTH).prop_map(Act::Fork),
    ];
    prop::collection::vec(act, 0..200)
}

/// A transaction as the chain knows it.
struct Sent {
    attempt: Attempt,
    /// Where it was executed and how, unless a fork took that back.
    executed: Option<(u64, bool)>,
}

#[derive(Default)]
struct Worker {
    copy: Option<Order>,
    thought: Option<OrderEvent>,
}

struct World {
    stored: Order,
    sent: Vec<Sent>,
    height: u64,
    finalized: u64,
    signed: u8,
    workers: [Worker; 2],
}

impl World {
    fn new() -> Self {
        let token = |symbol: &str| Token {
            symbol: symbol.into(),
            mint: Pubkey::new_unique(),
            decimals: 6,
            program: Pubkey::default(),
        };
        let new = NewOrder {
            kind: OrderKind::Market,
            dialect: Dialect::V1,
            token_in: token("A"),
            token_out: token("B"),
            swap: Swap::ExactIn(BaseUnits::new(100)),
            slippage: Bps::default(),
            limit: None,
            wallet: None,
            expiry: None,
            pool_wish: None,
        };
        let stored = Order::create(OrderId::new(), new, OffsetDateTime::UNIX_EPOCH);
        Self { stored, sent: Vec::new(), height: 0, finalized: 0, signed: 0, workers: Default::default() }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Load(w) => self.workers[w] = Worker { copy: Some(self.stored.clone()), thought: None },
            Act::Think(w) => {
                let thought = self.workers[w].copy.clone().and_then(|copy| self.next_event(&copy));
                self.workers[w].thought = thought;
            }
            Act::Append(w) => self.append(w),
            Act::Send(w) => self.send(w),
            Act::Stride(w) => {
                [Act::Load(w), Act::Think(w), Act::Append(w), Act::Send(w)].into_iter().for_each(|act| self.act(act))
            }
            Act::Crash(w) => self.workers[w] = Worker::default(),
            Act::SetAside => self.mark(&OrderEvent::SetAside { cause: Poison::Stuck, reason: "stuck".into() }),
            Act::Replay => self.mark(&OrderEvent::Replayed),
            Act::Land { which, succeeds } => self.land(which, succeeds),
            Act::Blocks(count) => {
                self.height += count;
                self.finalized = self.finalized.max(self.height.saturating_sub(FORK_DEPTH));
            }
            Act::Fork(depth) => self.fork(depth),
        }
    }

    /// What a worker with this copy would store next: the engine's own order of things, on the model's evidence.
    fn next_event(&mut self, copy: &Order) -> Option<OrderEvent> {
        match &copy.status {
            _ if copy.set_aside.is_some() => None,
            OrderStatus::Pending => Some(OrderEvent::Claimed),
            OrderStatus::Routing if copy.signatures >= MAX_SIGNATURES => {
                Some(OrderEvent::Failed { failure: Failure::new(ErrorCode::Expired, "all expired") })
            }
            OrderStatus::Routing => {
                let route = Route { chosen: quote(true), reason: String::new(), quotes: Vec::new() };
                Some(OrderEvent::Routed { route, limit: BaseUnits::new(1), wallet: None })
            }
            OrderStatus::Building { .. } => {
                self.signed += 1;
                Some(OrderEvent::Signed { attempt: self.attempt(copy.signatures + 1) })
            }
            OrderStatus::Submitted { attempt } => self.evidence(attempt),
            _ => None,
        }
    }

    fn attempt(&self, n: u8) -> Attempt {
        let mut bytes = [0; 64];
        bytes[0] = self.signed; // every signature is another one, also two of the same attempt number
        Attempt {
            n,
            signature: Signature::from(bytes),
            wallet: Pubkey::default(),
            blockhash: Hash::default(),
            last_valid_block_height: BlockHeight(self.height + LIFE),
            context_slot: Slot(self.height),
            venue: VenueId::RaydiumCpmm,
            pool: Pubkey::default(),
            quoted_in: BaseUnits::new(100),
            quoted_out: BaseUnits::new(200),
            limit: BaseUnits::new(1),
            compute_units: 1,
            priority_fee: Lamports::new(0),
            wire: Arc::new([]),
        }
    }

    /// What the chain proves about an attempt at this moment: only final blocks count as landed here, and expiry is
    /// finalized height first, absence second.
    fn evidence(&self, attempt: &Attempt) -> Option<OrderEvent> {
        let sent = self.sent.iter().find(|sent| sent.attempt.signature == attempt.signature);
        match sent.and_then(|sent| sent.executed) {
            Some((at, _)) if at > self.finalized => None,
            Some((at, succeeds)) => {
                let landing = Landing { signature: attempt.signature, slot: Slot(at), answer: None };
                let failure = Failure::new(ErrorCode::TransactionFailed, "it failed");
                Some(if succeeds {
                    OrderEvent::Landed { landing, fill: None, fee: None }
                } else {
                    OrderEvent::Rejected { landing, failure }
                })
            }
            None => self.expiry(attempt),
        }
    }

    fn expiry(&self, attempt: &Attempt) -> Option<OrderEvent> {
        (self.finalized > attempt.last_valid_block_height.0).then_some(OrderEvent::Expired {
            proof: ExpiryProof {
                signature: attempt.signature,
                last_valid_block_height: attempt.last_valid_block_height,
                finalized_height: BlockHeight(self.finalized),
                searched_at: Slot(self.finalized),
                witnesses: 1,
                finalized_slot: None,
                absences: Vec::new(),
            },
        })
    }

    /// A mark is put on the stored order itself; who holds a copy of it learns of it by losing the next swap.
    fn mark(&mut self, event: &OrderEvent) {
        let before = self.stored.status.clone();
        let marked = self.stored.apply(event, OffsetDateTime::UNIX_EPOCH).is_ok();
        assert!(self.stored.status == before, "a mark never says how an order ends");
        assert!(!marked || !before.name().is_terminal() || before.has_work());
    }

    /// The journal: apply, compare and swap.
    fn append(&mut self, w: usize) {
        let Worker { copy: Some(mut copy), thought: Some(event) } = std::mem::take(&mut self.workers[w]) else {
            return;
        };
        let current = copy.version == self.stored.version;
        if current && copy.apply(&event, OffsetDateTime::UNIX_EPOCH).is_ok() {
            self.stored = copy.clone();
            self.workers[w].copy = Some(copy);
        }
    }

    /// A worker sends only what its copy of the stored order says: what was thought up and not stored is never sent.
    fn send(&mut self, w: usize) {
        let Some(Order { status: OrderStatus::Submitted { attempt }, .. }) = &self.workers[w].copy else { return };
        if !self.sent.iter().any(|sent| sent.attempt.signature == attempt.signature) {
            self.sent.push(Sent { attempt: attempt.clone(), executed: None });
        }
    }

    fn land(&mut self, which: usize, succeeds: bool) {
        let height = self.height;
        if let Some(sent) = self.sent.get_mut(which)
            && sent.executed.is_none()
            && height <= sent.attempt.last_valid_block_height.0
        {
            sent.executed = Some((height, succeeds));
        }
    }

    fn fork(&mut self, depth: u64) {
        self.height = self.height.saturating_sub(depth).max(self.finalized);
        for sent in &mut self.sent {
            if sent.executed.is_some_and(|(at, _)| at > self.height) {
                sent.executed = None;
            }
        }
    }

    fn swaps(&self) -> usize {
        self.sent.iter().filter(|sent| sent.executed.is_some_and(|(_, succeeds)| succeeds)).count()
    }

    /// Transactions that could still execute.
    fn alive(&self) -> usize {
        let dead = |sent: &&Sent| sent.executed.is_none() && self.finalized <= sent.attempt.last_valid_block_height.0;
        self.sent.iter().filter(dead).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_interleaving_makes_an_order_execute_twice(acts in acts()) {
        let mut world = World::new();
        let mut ended: Option<OrderStatus> = None;
        for act in acts {
            world.act(act);
            prop_assert!(world.swaps() <= 1, "swapped twice after {act:?}");
            prop_assert!(world.alive() <= 1, "two transactions alive after {act:?}");
            match world.stored.status.name() {
                Status::Confirmed => prop_assert_eq!(world.swaps(), 1),
                Status::Failed => prop_assert_eq!((world.swaps(), world.alive()), (0, 0), "a false failure"),
                _ => {}
            }
            if let Some(before) = &ended {
                prop_assert_eq!(before, &world.stored.status, "an end was contradicted");
            }
            if world.stored.status.name().is_terminal() {
                ended = Some(world.stored.status.clone());
            }
        }
        // Whatever happened, one worker that goes on ends the order, once it is replayed if it was set aside.
        world.act(Act::Replay);
        for _ in 0..40 {
            world.act(Act::Stride(0));
            world.act(Act::Blocks(LIFE + FORK_DEPTH + 1));
        }
        prop_assert!(world.stored.status.name().is_terminal(), "stuck in {:?}", world.stored.status);
        prop_assert!(world.swaps() <= 1);
    }
}
