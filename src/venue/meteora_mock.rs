//! Mock Meteora: quotes around the live price of another venue, with a spread, a fee, a delay and failures of its own.
//!
//! Owns the dice, which are the same for the same seed and request number. Never touches the chain, and never
//! pretends to: its quotes are not executable, its pool is an address that no key can own, and it builds nothing.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use solana_sdk::{instruction::Instruction, pubkey, pubkey::Pubkey};

use super::{SwapPlan, Venue, VenueError};
use crate::{
    chain::LandedTransaction,
    domain::{BaseUnits, Bps, Failure, Fill, Quote, QuoteRequest, Rounding, Swap, VenueId, mul_div},
};

/// The pool in every mock quote: readable as what it is, and no account of any cluster.
pub const MOCK_POOL: Pubkey = pubkey!("MockMeteora11111111111111111111111111111111");

const BPS: u128 = 10_000;

/// What the mock does. Plain values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockSettings {
    /// Same seed, same sequence of quotes.
    pub seed: u64,
    /// How far its price may lie from the live one, to either side.
    pub spread: Bps,
    /// Its fee, taken from the input.
    pub fee: Bps,
    /// How long it takes to answer, beside the other venue's own time.
    pub latency: RangeInclusive<Duration>,
    /// How many of a thousand requests fail.
    pub failure_per_mille: u16,
}

/// The venue.
pub struct MeteoraMock {
    settings: MockSettings,
    live: Arc<dyn Venue>,
    requests: AtomicU64,
}

/// One request's dice.
struct Dice {
    fails: bool,
    latency: Duration,
    /// The price's factor in basis points: 10 000 is the live price, more is better for the trader.
    factor: u128,
}

impl MeteoraMock {
    /// Quotes around what `live` quotes.
    pub fn new(settings: MockSettings, live: Arc<dyn Venue>) -> Self {
        Self { settings, live, requests: AtomicU64::new(0) }
    }

    /// A hash rather than a generator: requests are independent of the order in which they end.
    fn dice(&self, request: u64) -> Dice {
        let hash = Sha256::new().chain_update(self.settings.seed.to_le_bytes()).chain_update(request.to_le_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let [failure, latency, spread, _] = std::array::from_fn(|n| {
            let bytes = hash[n * 8..n * 8 + 8].try_into().expect("a quarter of 32 bytes is 8 bytes");
            u64::from_le_bytes(bytes)
        });
        let (least, most) = (*self.settings.latency.start(), *self.settings.latency.end());
        let range = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        let width = u64::from(self.settings.spread.get()) * 2;
        Dice {
            fails: failure % 1_000 < u64::from(self.settings.failure_per_mille),
            latency: least + Duration::from_micros(latency % range.saturating_add(1)),
            factor: BPS - u128::from(self.settings.spread.get()) + u128::from(spread % (width + 1)),
        }
    }

    /// The live quote at the mock's price and fee. The live venue's own fees on the input are left out of the price.
    fn reprice(&self, request: &QuoteRequest, live: &Quote, factor: u128) -> Result<Quote, VenueError> {
        let refuse = |reason: &str| VenueError::InsufficientLiquidity {
            pool: MOCK_POOL,
            amount: request.swap.amount(),
            reason: reason.to_owned(),
        };
        let fee_bps = u128::from(self.settings.fee.get());
        let kept_bps = BPS - fee_bps;
        if kept_bps == 0 || factor == 0 {
            return Err(refuse("the mock's fee or spread takes everything"));
        }
        let creator_fee = if live.creator_fee_on_input { live.creator_fee.get() } else { 0 };
        let live_in = u128::from(live.amount_in.get());
        let live_net = live_in
            .checked_sub(u128::from(live.trade_fee.get()) + u128::from(creator_fee))
            .filter(|net| *net > 0)
            .ok_or_else(|| refuse("the live quote is nothing but fees"))?;
        let too_large = || refuse("the amount is larger than a token amount can be");
        let (amount_in, amount_out, fee) = match request.swap {
            Swap::ExactIn(amount) => {
                let fee = (u128::from(amount.get()) * fee_bps).div_ceil(BPS);
                let net = u128::from(amount.get()) - fee;
                // net at the live rate, then at the mock's; rounded down like any output
                let out = mul_div(u128::from(live.amount_out.get()), net, live_net, Rounding::Down)
                    .and_then(|out| mul_div(out, factor, BPS, Rounding::Down))
                    .ok_or_else(too_large)?;
                (u128::from(amount.get()), out, fee)
            }
            Swap::ExactOut(amount) => {
                // the live net input at the mock's price, plus its fee; rounded up like any input
                let net = mul_div(live_net, BPS, factor, Rounding::Up).ok_or_else(too_large)?;
                let gross = mul_div(net, BPS, kept_bps, Rounding::Up).ok_or_else(too_large)?;
                (gross, u128::from(amount.get()), gross - net)
            }
        };
        if amount_in == 0 || amount_out == 0 {
            return Err(refuse("the amount is so small that it rounds to nothing"));
        }
        let narrow = |amount: u128| u64::try_from(amount).map(BaseUnits::new).map_err(|_| too_large());
        Ok(Quote {
            venue: VenueId::MeteoraMock,
            pool: MOCK_POOL,
            executable: false,
            amount_in: narrow(amount_in)?,
            amount_out: narrow(amount_out)?,
            trade_fee: narrow(fee)?,
            creator_fee: BaseUnits::ZERO,
            creator_fee_on_input: true,
            // the mints' own fees do not depend on the venue
            transfer_fee_in: live.transfer_fee_in,
            transfer_fee_out: live.transfer_fee_out,
            price_impact_bps: live.price_impact_bps,
            context_slot: live.context_slot,
        })
    }
}

#[async_trait]
impl Venue for MeteoraMock {
    fn id(&self) -> VenueId {
        VenueId::MeteoraMock
    }

    fn executes(&self) -> bool {
        false
    }

    async fn quote(&self, request: &QuoteRequest) -> Result<Quote, VenueError> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let dice = self.dice(number);
        // A timer rounds up to its own tick, so no time at all would take a millisecond.
        if !dice.latency.is_zero() {
            tokio::time::sleep(dice.latency).await;
        }
        if dice.fails {
            return Err(VenueError::Failed(format!("the mock lets request {number} fail")));
        }
        let live = self.live.quote(request).await?;
        self.reprice(request, &live, dice.factor)
    }

    async fn swap_instruction(&self, _plan: &SwapPlan) -> Result<Instruction, VenueError> {
        Err(VenueError::QuoteOnly)
    }

    async fn contended_accounts(&self, _pool: &Pubkey) -> Result<Vec<Pubkey>, VenueError> {
        Err(VenueError::QuoteOnly)
    }

    fn fill(&self, _pool: &Pubkey, _transaction: &LandedTransaction) -> Option<Fill> {
        None
    }

    fn explain(&self, _program: &Pubkey, _error: u32) -> Option<Failure> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{
        domain::{ErrorCode, Pair, Slot},
        venue::stub::Stub,
    };

    const PAIR: Pair = Pair { mint_in: Pubkey::new_from_array([1; 32]), mint_out: Pubkey::new_from_array([2; 32]) };

    fn settings() -> MockSettings {
        MockSettings {
            seed: 7,
            spread: Bps::new(100).unwrap(),
            fee: Bps::new(20).unwrap(),
            latency: Duration::from_millis(20)..=Duration::from_millis(80),
            failure_per_mille: 0,
        }
    }

    /// 1 000 000 in with a fee of 2 500 gives 2 000 000 out.
    fn live() -> Arc<dyn Venue> {
        let quote = Quote {
            trade_fee: BaseUnits::new(2_500),
            transfer_fee_out: BaseUnits::new(9),
            context_slot: Slot(42),
            ..Stub::quote(VenueId::RaydiumCpmm, 1_000_000, 2_000_000)
        };
        Arc::new(Stub::giving(quote))
    }

    fn exact_in(amount: u64) -> QuoteRequest {
        QuoteRequest { pair: PAIR, swap: Swap::ExactIn(BaseUnits::new(amount)) }
    }

    async fn outs(settings: MockSettings, count: usize) -> Vec<u64> {
        let mock = MeteoraMock::new(settings, live());
        let mut outs = Vec::new();
        for _ in 0..count {
            outs.push(mock.quote(&exact_in(1_000_000)).await.unwrap().amount_out.get());
        }
        outs
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_quotes() {
        let first = outs(settings(), 20).await;
        assert_eq!(first, outs(settings(), 20).await);
        assert_ne!(first, outs(MockSettings { seed: 8, ..settings() }, 20).await);
        assert!(first.windows(2).any(|pair| pair[0] != pair[1]), "requests differ from each other");
    }

    #[tokio::test(start_paused = true)]
    async fn quotes_stay_within_the_spread_around_the_live_price() {
        // 998 000 reach the mock's pool; the live rate without its fee is 2 000 000 for 997 500
        let at_live = 2_000_000 * 998_000 / 997_500;
        let outs = outs(settings(), 500).await;
        let (least, most) = (outs.iter().min().unwrap(), outs.iter().max().unwrap());
        assert!(*least >= at_live * 99 / 100 && *least < at_live, "{least}");
        assert!(*most <= at_live * 101 / 100 && *most > at_live, "{most}");
        assert!(outs.iter().any(|out| *out > 2_000_000), "it is sometimes better than the live venue");
    }

    #[tokio::test(start_paused = true)]
    async fn a_mock_without_spread_and_fee_is_the_live_price_without_the_live_fee() {
        let plain = MockSettings { spread: Bps::default(), fee: Bps::default(), ..settings() };
        assert_eq!(outs(plain.clone(), 1).await, [2_005_012]);
        let mock = MeteoraMock::new(plain, live());
        let wanted = QuoteRequest { pair: PAIR, swap: Swap::ExactOut(BaseUnits::new(2_000_000)) };
        let quote = mock.quote(&wanted).await.unwrap();
        assert_eq!((quote.amount_in.get(), quote.amount_out.get()), (997_500, 2_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_pretends_to_be_the_chain() {
        let mock = MeteoraMock::new(settings(), live());
        let quote = mock.quote(&exact_in(1_000_000)).await.unwrap();
        assert!(!quote.executable && !mock.executes());
        assert_eq!(quote.pool, MOCK_POOL);
        assert!(MOCK_POOL.to_string().starts_with("MockMeteora"));
        assert_eq!((quote.trade_fee.get(), quote.transfer_fee_out.get()), (2_000, 9));
        assert_eq!(quote.context_slot, Slot(42));
        let plan = SwapPlan {
            pool: MOCK_POOL,
            pair: PAIR,
            swap: Swap::ExactIn(BaseUnits::new(1)),
            limit: BaseUnits::new(1),
            owner: Pubkey::default(),
            source: Pubkey::default(),
            destination: Pubkey::default(),
        };
        assert!(matches!(mock.swap_instruction(&plan).await, Err(VenueError::QuoteOnly)));
        assert!(matches!(mock.contended_accounts(&MOCK_POOL).await, Err(VenueError::QuoteOnly)));
        assert_eq!(mock.explain(&MOCK_POOL, 6005), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_takes_its_time() {
        let mock = MeteoraMock::new(settings(), live());
        let mut taken = Vec::new();
        for _ in 0..50 {
            let start = Instant::now();
            mock.quote(&exact_in(1_000_000)).await.unwrap();
            taken.push(start.elapsed());
        }
        // tokio's timer ends on the next whole millisecond
        assert!(taken.iter().all(|taken| (20..=81).contains(&taken.as_millis())), "{taken:?}");
        assert_ne!(taken.iter().min(), taken.iter().max());
    }

    #[tokio::test(start_paused = true)]
    async fn it_fails_as_often_as_it_is_told() {
        let failures = async |failure_per_mille| {
            let mock = MeteoraMock::new(MockSettings { failure_per_mille, ..settings() }, live());
            let mut failed = 0;
            for _ in 0..1_000 {
                if let Err(error) = mock.quote(&exact_in(1_000_000)).await {
                    assert_eq!(error.code(), ErrorCode::VenueUnavailable);
                    failed += 1;
                }
            }
            failed
        };
        assert_eq!(failures(0).await, 0);
        assert_eq!(failures(1_000).await, 1_000);
        assert!((70..130).contains(&failures(100).await));
    }

    #[tokio::test(start_paused = true)]
    async fn it_knows_only_what_the_live_venue_knows() {
        let nothing = Arc::new(Stub::refusing(VenueId::RaydiumCpmm, || VenueError::NoPool));
        let mock = MeteoraMock::new(settings(), nothing);
        assert!(matches!(mock.quote(&exact_in(1)).await, Err(VenueError::NoPool)));
    }

    #[tokio::test(start_paused = true)]
    async fn extreme_settings_and_amounts_refuse_or_quote_but_never_panic() {
        let most = Bps::new(10_000).unwrap();
        for (fee, spread) in [(most, Bps::default()), (Bps::default(), most), (most, most)] {
            for (live_in, live_out) in [(1, 1), (u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 1)] {
                let live = Arc::new(Stub::giving(Stub::quote(VenueId::RaydiumCpmm, live_in, live_out)));
                let mock = MeteoraMock::new(MockSettings { fee, spread, ..settings() }, live);
                for swap in [Swap::ExactIn(BaseUnits::new(live_in)), Swap::ExactOut(BaseUnits::new(live_out))] {
                    for _ in 0..20 {
                        let _ = mock.quote(&QuoteRequest { pair: PAIR, swap }).await;
                    }
                }
            }
        }
    }
}
