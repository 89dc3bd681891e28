//! Route: from a claimed order to a stored route with its bound and the wallet that pays.
//!
//! Owns the bound that the first quote makes, and the sentence for what a wallet lacks. Never builds.

use tokio::time::Instant;

use super::{
    JournalError,
    execute::{Executor, Unstored},
    step::StepError,
    treasury::Freshness,
};
use crate::{
    domain::{BaseUnits, ErrorCode, Failure, Order, OrderEvent, Quote, QuoteRequest, SOL_DECIMALS, Swap},
    store::{Shortfall, StoreError, Window},
};

impl Executor {
    /// Asks the venues, fixes the bound and finds a wallet that can pay.
    pub(super) async fn route(&self, order: &mut Order, unstored: &mut Unstored) -> Result<(), StepError> {
        if order.signatures >= self.policy.max_signatures {
            return Err(StepError::Final(Failure::new(
                ErrorCode::Expired,
                format!("{} signatures expired without landing; nothing was swapped", order.signatures),
            )));
        }
        let request = QuoteRequest { pair: order.pair(), swap: order.swap };
        let pool = order.pool_wish.as_ref().map(|wish| wish.pool(&request.pair)).transpose();
        let route = match pool.map_err(StepError::from_failure)?.flatten() {
            Some(pool) => self.parts.router.route_in(&pool, &request).await?,
            None => self.parts.router.route(&request).await?,
        };
        let limit = order.limit.unwrap_or_else(|| first_limit(order, &route.chosen));
        within(order, &route.chosen, limit)?;
        if !route.chosen.executable {
            return self.begin(order, OrderEvent::Routed { route, limit, wallet: None }, unstored).await;
        }
        let candidates = self.parts.treasury.candidates(order);
        if candidates.is_empty() {
            return Err(StepError::Final(Failure::new(
                ErrorCode::InvalidRequest,
                "the order's wallet is not one of this daemon's wallets",
            )));
        }
        self.parts.treasury.allow(order, limit).map_err(StepError::Final)?;
        let mut shortfall = None;
        for freshness in [Freshness::Recent, Freshness::Since(Instant::now())] {
            for address in &candidates {
                let reservation = self.parts.treasury.reservation(address, order, limit, freshness).await?;
                let event = OrderEvent::Routed { route: route.clone(), limit, wallet: Some(*address) };
                match self.parts.journal.append_on(order, event, Some(&reservation), &unstored.line).await {
                    Ok(_) => return Ok(()),
                    Err(JournalError::Store(StoreError::ReservationRefused(lacking))) => {
                        shortfall = Some(lacking);
                        unstored.begin_anew().await?;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let code = shortfall.map_or(ErrorCode::InsufficientFunds, |shortfall| shortfall.code());
        Err(StepError::Final(Failure::new(code, lacking(order, shortfall))))
    }
}

/// The bound that the first quote and the order's slippage make.
pub(super) fn first_limit(order: &Order, quote: &Quote) -> BaseUnits {
    match order.swap {
        Swap::ExactIn(_) => quote.amount_out.min_out(order.slippage),
        Swap::ExactOut(_) => quote.amount_in.max_in(order.slippage),
    }
}

/// Whether the market is still within the bound, which never moves.
pub(super) fn within(order: &Order, quote: &Quote, limit: BaseUnits) -> Result<(), StepError> {
    let (broken, says) = match order.swap {
        Swap::ExactIn(_) => (
            quote.amount_out < limit,
            format!(
                "the best quote gives {} {}, the order demands at least {}",
                quote.amount_out.to_ui(order.token_out.decimals),
                order.token_out.symbol,
                limit.to_ui(order.token_out.decimals)
            ),
        ),
        Swap::ExactOut(_) => (
            quote.amount_in > limit,
            format!(
                "the best quote costs {} {}, the order allows at most {}",
                quote.amount_in.to_ui(order.token_in.decimals),
                order.token_in.symbol,
                limit.to_ui(order.token_in.decimals)
            ),
        ),
    };
    if broken { Err(StepError::Final(Failure::new(ErrorCode::SlippageExceeded, says))) } else { Ok(()) }
}

fn lacking(order: &Order, shortfall: Option<Shortfall>) -> String {
    match shortfall {
        Some(Shortfall::Lamports { needed, free }) => format!(
            "the swap with fees and rent needs {} SOL, the wallet has {} SOL free: fund it or trade less",
            BaseUnits::new(needed.get()).to_ui(SOL_DECIMALS),
            BaseUnits::new(free.get()).to_ui(SOL_DECIMALS)
        ),
        Some(Shortfall::Tokens { needed, free }) => format!(
            "the swap needs {} {token}, the wallet has {} {token} free: fund it or trade less",
            needed.to_ui(order.token_in.decimals),
            free.to_ui(order.token_in.decimals),
            token = order.token_in.symbol
        ),
        Some(Shortfall::Cap { window, cap, spent, needed }) => format!(
            "{needed} {token} more would exceed the cap of {cap} {token} in an hour {of}; {spent} {token} are spent or \
             promised: trade less or later",
            needed = needed.to_ui(order.token_in.decimals),
            cap = cap.to_ui(order.token_in.decimals),
            spent = spent.to_ui(order.token_in.decimals),
            of = match window {
                Window::All => "for all orders",
                Window::Wallet => "for this wallet",
            },
            token = order.token_in.symbol
        ),
        None => "no wallet can pay for this order".to_owned(),
    }
}
