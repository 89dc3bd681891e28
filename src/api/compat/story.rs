//! Story: an order's events as the older clients know them.
//!
//! Those clients know five moments: routing, building, submitted, confirmed, failed. Owns the folding of our events
//! into these moments and the rule that the last one is told once. Knows no client's spelling.

use serde_json::Value;

use crate::{
    api::views::{self, number},
    domain::{Attempt, Failure, Fill, Landing, Order, OrderEvent, Quote, StoredEvent, VenueId},
};

/// The code that stands for a cancelled order: the older clients know no such end.
pub const CANCELLED: &str = "CANCELLED";

/// A moment the older clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Venues are being asked.
    Routing,
    /// A route is chosen.
    Building,
    /// Signed, about to be sent.
    Submitted,
    /// Landed, and what it moved is not read yet: `Confirmed` follows, or is told after a wait.
    Landed,
    /// The swap took place.
    Confirmed,
    /// It did not, and will not.
    Failed,
}

/// How an order ended without a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Failure(Failure),
    Cancelled,
}

/// What is known of an order after some of its events.
#[derive(Clone, Debug)]
pub struct Story {
    /// The order as it was accepted: tokens, amounts, bounds.
    pub order: Order,
    quote: Option<Quote>,
    attempt: Option<Attempt>,
    landing: Option<Landing>,
    fill: Option<Fill>,
    paper: Option<VenueId>,
    end: Option<End>,
    confirmed: bool,
}

impl Story {
    /// Before the first event.
    pub const fn new(order: Order) -> Self {
        Self { order, quote: None, attempt: None, landing: None, fill: None, paper: None, end: None, confirmed: false }
    }

    /// Takes the next event; the moment it means, if it means one.
    pub fn take(&mut self, event: &OrderEvent) -> Option<Moment> {
        if self.has_ended() {
            if let OrderEvent::Settled { fill, .. } = event {
                self.fill = Some(fill.clone());
            }
            return None;
        }
        match event {
            OrderEvent::Claimed => Some(Moment::Routing),
            OrderEvent::Routed { route, .. } => {
                self.quote = Some(route.chosen.clone());
                Some(Moment::Building)
            }
            OrderEvent::Signed { attempt } => {
                self.attempt = Some(attempt.clone());
                Some(Moment::Submitted)
            }
            OrderEvent::Landed { landing, fill, .. } => {
                self.landing = Some(landing.clone());
                self.fill = fill.clone();
                Some(if fill.is_some() { self.confirm() } else { Moment::Landed })
            }
            OrderEvent::Settled { fill, .. } => {
                self.fill = Some(fill.clone());
                Some(self.confirm())
            }
            OrderEvent::PaperFilled { venue, fill } => {
                self.paper = Some(*venue);
                self.fill = Some(fill.clone());
                Some(self.confirm())
            }
            OrderEvent::Failed { failure } => Some(self.fail(End::Failure(failure.clone()))),
            OrderEvent::Rejected { landing, failure } => {
                self.landing = Some(landing.clone());
                Some(self.fail(End::Failure(failure.clone())))
            }
            OrderEvent::ChainReset => {
                let failure = Failure::new(crate::domain::ErrorCode::ChainReset, "the chain was restarted");
                Some(self.fail(End::Failure(failure)))
            }
            OrderEvent::Cancelled => Some(self.fail(End::Cancelled)),
            OrderEvent::Created
            | OrderEvent::Requoted { .. }
            | OrderEvent::Sent { .. }
            | OrderEvent::OutcomeUnknown { .. }
            | OrderEvent::Expired { .. }
            | OrderEvent::Retrying { .. }
            | OrderEvent::SetAside { .. }
            | OrderEvent::Replayed => None,
        }
    }

    /// Takes a whole history; the moments with their events. A landing whose amounts are not read yet is confirmed.
    pub fn tell(&mut self, history: &[StoredEvent]) -> Vec<(Moment, Self, time::OffsetDateTime)> {
        let mut moments = Vec::new();
        let mut landed_at = None;
        for event in history {
            match self.take(&event.event) {
                Some(Moment::Landed) => landed_at = Some(event.at),
                Some(moment) => moments.push((moment, self.clone(), event.at)),
                None => {}
            }
        }
        if let Some(at) = landed_at
            && !self.has_ended()
        {
            moments.push((self.confirm(), self.clone(), at));
        }
        moments
    }

    /// Confirms with what is known now.
    pub fn confirm(&mut self) -> Moment {
        self.confirmed = true;
        Moment::Confirmed
    }

    fn fail(&mut self, end: End) -> Moment {
        self.end = Some(end);
        Moment::Failed
    }

    /// Whether the last moment has been told.
    pub const fn has_ended(&self) -> bool {
        self.confirmed || self.end.is_some()
    }

    /// The status those clients would be told.
    pub const fn status(&self) -> Option<Moment> {
        if self.confirmed {
            Some(Moment::Confirmed)
        } else if self.end.is_some() {
            Some(Moment::Failed)
        } else {
            None
        }
    }

    /// The chosen quote.
    pub const fn quote(&self) -> Option<&Quote> {
        self.quote.as_ref()
    }

    /// `raydium` or `meteora`, once it is chosen.
    pub fn dex(&self) -> Option<&'static str> {
        let venue = self.paper.or(self.attempt.as_ref().map(|attempt| attempt.venue));
        venue.or(self.quote.as_ref().map(|quote| quote.venue)).map(VenueId::family)
    }

    /// The transaction that landed, in base58. A mock's fill has none.
    pub fn tx_hash(&self) -> Option<String> {
        self.landing.as_ref().map(|landing| landing.signature.to_string())
    }

    /// Whether a mock filled it.
    pub const fn is_simulated(&self) -> bool {
        self.paper.is_some()
    }

    /// What was moved, or what was quoted as long as that is not known.
    fn amounts(&self) -> Option<Fill> {
        self.fill.clone().or_else(|| {
            let attempt = self.attempt.as_ref()?;
            Some(Fill { amount_in: attempt.quoted_in, amount_out: attempt.quoted_out })
        })
    }

    /// Output per input in whole tokens, as a JSON number, once something was moved.
    pub fn execution_price(&self) -> Value {
        let fill = if self.confirmed { self.amounts() } else { None };
        fill.map_or(Value::Null, |fill| self.price(&fill))
    }

    /// The price of an exchange of this order's tokens, as a JSON number.
    pub fn price(&self, fill: &Fill) -> Value {
        let price = views::price(fill, self.order.token_in.decimals, self.order.token_out.decimals);
        price.map_or(Value::Null, |price| number(&price))
    }

    /// What was received in whole tokens, as a JSON number.
    pub fn amount_out(&self) -> Value {
        self.amounts().map_or(Value::Null, |fill| number(&fill.amount_out.to_ui(self.order.token_out.decimals)))
    }

    /// The stable code of a failure, in lower case but for a cancelled order's.
    pub fn error(&self) -> Option<&'static str> {
        self.end.as_ref().map(|end| match end {
            End::Failure(failure) => failure.code.as_str(),
            End::Cancelled => CANCELLED,
        })
    }

    /// The sentence of a failure.
    pub fn reason(&self) -> Option<&str> {
        self.end.as_ref().map(|end| match end {
            End::Failure(failure) => failure.reason.as_str(),
            End::Cancelled => "the order was cancelled",
        })
    }

    /// The amount of the order's exact side in whole tokens.
    pub fn amount(&self) -> String {
        let decimals = match self.order.swap {
            crate::domain::Swap::ExactIn(_) => self.order.token_in.decimals,
            crate::domain::Swap::ExactOut(_) => self.order.token_out.decimals,
        };
        self.order.swap.amount().to_ui(decimals)
    }
}
