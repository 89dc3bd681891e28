//! Story: an order's events as the older clients know them.
//!
//! Those clients know five moments: routing, building, submitted, confirmed, failed. Owns the folding of our events
//! into these moments and the rule that the last one is told once. Knows no client's spelling.

use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    api::views::{self, number},
    domain::{Attempt, ErrorCode, Failure, Fill, Landing, Order, OrderEvent, Quote, Route, StoredEvent, Swap, VenueId},
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

impl Moment {
    /// Its name in most dialects.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::Building => "building",
            Self::Submitted | Self::Landed => "submitted",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }
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
    /// When the last event that was taken happened.
    pub at: OffsetDateTime,
    route: Option<Route>,
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
        let at = order.created_at;
        Self {
            order,
            at,
            route: None,
            attempt: None,
            landing: None,
            fill: None,
            paper: None,
            end: None,
            confirmed: false,
        }
    }

    /// Takes the next event; the moment it means, if it means one.
    pub fn take(&mut self, stored: &StoredEvent) -> Option<Moment> {
        let event = &stored.event;
        self.at = stored.at;
        if self.has_ended() {
            if let OrderEvent::Settled { fill, .. } = event {
                self.fill = Some(fill.clone());
            }
            return None;
        }
        match event {
            OrderEvent::Claimed => Some(Moment::Routing),
            OrderEvent::Routed { route, .. } => {
                self.route = Some(route.clone());
                self.attempt = None; // the one before is dead
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
                let failure = Failure::new(ErrorCode::ChainReset, "the chain was restarted");
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
    pub fn tell(&mut self, history: &[StoredEvent]) -> Vec<(Moment, Self)> {
        let mut moments = Vec::new();
        for event in history {
            match self.take(event) {
                Some(Moment::Landed) | None => {}
                Some(moment) => moments.push((moment, self.clone())),
            }
        }
        if self.landing.is_some() && !self.has_ended() {
            moments.push((self.confirm(), self.clone()));
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

    /// The status those clients would be told: they know no `cancelled`.
    pub fn status(&self) -> &'static str {
        if self.confirmed {
            Moment::Confirmed.name()
        } else if self.end.is_some() {
            Moment::Failed.name()
        } else {
            self.order.status.name().as_str()
        }
    }

    /// The chosen quote.
    pub fn quote(&self) -> Option<&Quote> {
        self.route.as_ref().map(|route| &route.chosen)
    }

    /// What the venue of a family quoted for the last route, whether or not it was chosen.
    pub fn quote_of(&self, family: &str) -> Option<&Quote> {
        let answers = self.route.iter().flat_map(|route| &route.quotes).filter_map(|outcome| outcome.quote.as_ref());
        answers.into_iter().find(|quote| quote.venue.family() == family)
    }

    /// `raydium` or `meteora`, once it is chosen.
    pub fn dex(&self) -> Option<&'static str> {
        let venue = self.paper.or(self.attempt.as_ref().map(|attempt| attempt.venue));
        venue.or(self.quote().map(|quote| quote.venue)).map(VenueId::family)
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

    /// The same, once the swap took place.
    pub fn executed(&self) -> Option<Fill> {
        if self.confirmed { self.amounts() } else { None }
    }

    /// What was chosen, as if it had been moved.
    pub fn quoted(&self) -> Option<Fill> {
        self.quote().map(|quote| Fill { amount_in: quote.amount_in, amount_out: quote.amount_out })
    }

    /// Output per input in whole tokens, as a JSON number, once something was moved.
    pub fn execution_price(&self) -> Value {
        self.executed().map_or(Value::Null, |fill| self.price(&fill))
    }

    /// The same of the chosen quote.
    pub fn quoted_price(&self) -> Value {
        self.quoted().map_or(Value::Null, |fill| self.price(&fill))
    }

    /// The trade fee of a quote as a part of what is paid.
    pub fn fee(&self, quote: &Quote) -> Value {
        let fee = views::ratio(quote.trade_fee.get().into(), quote.amount_in.get().into());
        fee.map_or(Value::Null, |fee| number(&fee))
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
            Swap::ExactIn(_) => self.order.token_in.decimals,
            Swap::ExactOut(_) => self.order.token_out.decimals,
        };
        self.order.swap.amount().to_ui(decimals)
    }
}
