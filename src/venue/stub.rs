//! A venue that says what a test tells it to, when the test tells it to.

use std::time::Duration;

use async_trait::async_trait;
use solana_sdk::{instruction::Instruction, pubkey::Pubkey};

use super::{SwapPlan, Venue, VenueError};
use crate::{
    chain::LandedTransaction,
    domain::{BaseUnits, Bps, Failure, Fill, Quote, QuoteRequest, Slot, VenueId},
};

type Answer = Box<dyn Fn() -> Result<Quote, VenueError> + Send + Sync>;

pub struct Stub {
    id: VenueId,
    executes: bool,
    after: Duration,
    answer: Answer,
}

impl Stub {
    /// A quote of these amounts without any fee; executable unless it is a mock's.
    pub fn quote(venue: VenueId, amount_in: u64, amount_out: u64) -> Quote {
        Quote {
            venue,
            pool: Pubkey::new_from_array([amount_out.to_le_bytes()[0]; 32]),
            executable: venue != VenueId::MeteoraMock,
            amount_in: BaseUnits::new(amount_in),
            amount_out: BaseUnits::new(amount_out),
            trade_fee: BaseUnits::ZERO,
            creator_fee: BaseUnits::ZERO,
            creator_fee_on_input: true,
            transfer_fee_in: BaseUnits::ZERO,
            transfer_fee_out: BaseUnits::ZERO,
            price_impact_bps: Bps::default(),
            context_slot: Slot(1),
        }
    }

    pub fn giving(quote: Quote) -> Self {
        let (id, executes) = (quote.venue, quote.executable);
        Self { id, executes, after: Duration::ZERO, answer: Box::new(move || Ok(quote.clone())) }
    }

    pub fn refusing(id: VenueId, error: impl Fn() -> VenueError + Send + Sync + 'static) -> Self {
        let executes = id != VenueId::MeteoraMock;
        Self { id, executes, after: Duration::ZERO, answer: Box::new(move || Err(error())) }
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

#[async_trait]
impl Venue for Stub {
    fn id(&self) -> VenueId {
        self.id
    }

    fn executes(&self) -> bool {
        self.executes
    }

    async fn quote(&self, _request: &QuoteRequest) -> Result<Quote, VenueError> {
        tokio::time::sleep(self.after).await;
        (self.answer)()
    }

    async fn quote_in(&self, pool: &Pubkey, request: &QuoteRequest) -> Result<Quote, VenueError> {
        let quote = self.quote(request).await?;
        if quote.pool == *pool { Ok(quote) } else { Err(VenueError::NoPool) }
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
