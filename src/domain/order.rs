//! Orders: what a client asks for, checked once, and what the store keeps of it.

use serde::{Deserialize, Serialize};
use serde_with::{As, DisplayFromStr};
use solana_sdk::pubkey::Pubkey;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use super::{
    BaseUnits, Bps, ErrorCode, Failure, IllegalTransition, NextStep, OrderEvent, OrderStatus, Pair, Poison, ids::ids,
};

ids! {
    /// An order's identity: a version 7 UUID, so ids sort by creation time.
    OrderId
}

/// What makes an order execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// At once, at the best price there is.
    Market,
}

impl OrderKind {
    /// The wire form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Market => "market",
        }
    }
}

/// Whose words an order's replies and frames are written in. Chosen at creation and stored with the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Our own API under `/v1`.
    V1,
    /// The engine whose clients post `tokenIn`, `tokenOut`, `amount` and get 202.
    Plain,
    /// The engine whose clients post `amountIn` and `slippage` in percent, also over a socket.
    Percent,
    /// The engine whose clients post `inputToken` and `outputToken` and read statuses in capitals.
    Capitals,
    /// The engine whose clients post `type` and `slippageBps` and read `order` and `history`.
    Typed,
    /// The engine whose clients post `pair` and `side`.
    Pair,
}

impl Dialect {
    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Plain => "plain",
            Self::Percent => "percent",
            Self::Capitals => "capitals",
            Self::Typed => "typed",
            Self::Pair => "pair",
        }
    }
}

/// A token that may be traded: configured by mint, its decimals and program read from the chain at start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// The short name clients may use.
    pub symbol: String,
    /// The mint's address.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub mint: Pubkey,
    /// Fractional digits of a whole token.
    pub decimals: u8,
    /// SPL Token or Token-2022: the program that owns the mint.
    #[serde(with = "As::<DisplayFromStr>")]
    #[schema(value_type = String)]
    pub program: Pubkey,
}

/// How much, and which side is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Swap {
    /// Pay exactly this, receive at least the order's limit.
    ExactIn(BaseUnits),
    /// Receive exactly this, pay at most the order's limit.
    ExactOut(BaseUnits),
}

impl Swap {
    /// The exact side's amount.
    pub const fn amount(self) -> BaseUnits {
        match self {
            Self::ExactIn(amount) | Self::ExactOut(amount) => amount,
        }
    }

    /// The wire form of the mode.
    pub const fn mode(self) -> &'static str {
        match self {
            Self::ExactIn(_) => "exact_in",
            Self::ExactOut(_) => "exact_out",
        }
    }
}

/// Until when an order must be signed, as its caller said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// This long after it is accepted.
    In(Duration),
    /// At this time.
    At(OffsetDateTime),
}

impl Expiry {
    /// The time, for an order that is accepted `now`.
    pub fn counted_from(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::In(duration) => now.saturating_add(duration),
            Self::At(at) => at,
        }
    }
}

/// The pool that an order insists on, as its client wrote it. It is judged when the order is routed: at creation nobody
/// asks the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolWish {
    /// The pool's address; any text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// Whether the pool's base token is what is paid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_in: Option<bool>,
}

impl PoolWish {
    /// The pool that must be used for a swap of `pair`, if one was named.
    ///
    /// # Errors
    /// When what was named is no address, or the direction is not the one that the tokens have. The base of a
    /// constant-product pool is the mint that sorts first: its program creates no other.
    pub fn pool(&self, pair: &Pair) -> Result<Option<Pubkey>, Failure> {
        if self.base_in.is_some_and(|base_in| base_in != (pair.mint_in < pair.mint_out)) {
            let reason = "`baseIn` names the other direction than `tokenIn` and `tokenOut`: nothing was swapped";
            return Err(Failure::new(ErrorCode::InvalidRequest, reason));
        }
        let Some(address) = &self.address else { return Ok(None) };
        address
            .parse()
            .map(Some)
            .map_err(|_| Failure::new(ErrorCode::InvalidRequest, "`poolId` is not the address of a pool"))
    }
}

/// A checked order that has not been stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// What makes it execute.
    pub kind: OrderKind,
    /// Whose words its replies are written in.
    pub dialect: Dialect,
    /// What is paid.
    pub token_in: Token,
    /// What is received.
    pub token_out: Token,
    /// How much.
    pub swap: Swap,
    /// How far the fill may be from the first quote.
    pub slippage: Bps,
    /// The user's own bound, if one was given: least out (exact in) or most in (exact out).
    pub limit: Option<BaseUnits>,
    /// The wallet that must be used, if one was named.
    pub wallet: Option<Pubkey>,
    /// Until when it must be signed, if that was said.
    pub expiry: Option<Expiry>,
    /// The pool that must be used, if one was named.
    pub pool_wish: Option<PoolWish>,
}

/// A stored order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its identity.
    pub id: OrderId,
    /// What makes it execute.
    pub kind: OrderKind,
    /// Whose words its replies are written in.
    pub dialect: Dialect,
    /// What is paid.
    pub token_in: Token,
    /// What is received.
    pub token_out: Token,
    /// How much.
    pub swap: Swap,
    /// How far the fill may be from the first quote.
    pub slippage: Bps,
    /// The bound that every attempt carries: least out (exact in) or most in (exact out). Set by the user or by the
    /// first route, and from then on never changed.
    pub limit: Option<BaseUnits>,
    /// The wallet: named by the user, or leased by the first route and kept from then on.
    pub wallet: Option<Pubkey>,
    /// From this time on nothing is signed for it any more. What is signed by then is followed to its end.
    pub expires_at: Option<OffsetDateTime>,
    /// The pool that must be used, if one was named.
    pub pool_wish: Option<PoolWish>,
    /// Signatures made so far.
    pub signatures: u8,
    /// Tries that ended in something worth trying again.
    pub retries: u8,
    /// Where it stands, with that state's data.
    pub status: OrderStatus,
    /// Set while nobody can say what became of its signature.
    pub unknown: Option<Unknown>,
    /// Set while nobody drives it: it waits for a person.
    pub set_aside: Option<SetAside>,
    /// Number of events so far; the sequence number of the last one. Compare-and-swap is on this.
    pub version: u64,
    /// When it was accepted.
    pub created_at: OffsetDateTime,
    /// When its last event happened: never before the one before it, whatever the clock does.
    pub updated_at: OffsetDateTime,
}

/// That nobody can say what became of a signature. Ends with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Why nobody can say.
    pub reason: String,
    /// When this was first said.
    pub since: OffsetDateTime,
}

/// A dead letter's mark, beside the status, which stays what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// What kind of trouble it makes.
    pub cause: Poison,
    /// What was found.
    pub reason: String,
    /// Since when.
    pub at: OffsetDateTime,
}

impl Order {
    /// A new order as its `Created` event leaves it.
    pub fn create(id: OrderId, new: NewOrder, now: OffsetDateTime) -> Self {
        Self {
            id,
            kind: new.kind,
            dialect: new.dialect,
            token_in: new.token_in,
            token_out: new.token_out,
            swap: new.swap,
            slippage: new.slippage,
            limit: new.limit,
            wallet: new.wallet,
            expires_at: new.expiry.map(|expiry| expiry.counted_from(now)),
            pool_wish: new.pool_wish,
            signatures: 0,
            retries: 0,
            status: OrderStatus::Pending,
            unknown: None,
            set_aside: None,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// The mints in the order's direction.
    pub const fn pair(&self) -> Pair {
        Pair { mint_in: self.token_in.mint, mint_out: self.token_out.mint }
    }

    /// What has to be done for it next.
    pub fn next_step(&self) -> NextStep {
        self.status.next_step()
    }

    /// Whether its deadline has passed. A clock that stands before the order's last event is not believed.
    pub fn is_overdue(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|expires_at| now.max(self.updated_at) >= expires_at)
    }

    /// Moves the order by one event. The only place where an order's fields change.
    ///
    /// An order that is set aside can be replayed, called off, or end with its chain; nothing else moves it, so that
    /// nothing can be signed for it meanwhile.
    ///
    /// # Errors
    /// When the event cannot happen in the order's state; the order is then unchanged.
    pub fn apply(&mut self, event: &OrderEvent, now: OffsetDateTime) -> Result<(), IllegalTransition> {
        let fits = match event {
            OrderEvent::Cancelled | OrderEvent::ChainReset => true,
            OrderEvent::Replayed => self.set_aside.is_some(),
            _ => self.set_aside.is_none(),
        };
        if !fits {
            let from = if self.set_aside.is_some() { "set aside" } else { self.status.name().as_str() };
            return Err(IllegalTransition { from, event: event.name() });
        }
        let status = self.status.apply(event)?;
        let now = now.max(self.updated_at);
        self.set_aside = match event {
            OrderEvent::SetAside { cause, reason } => Some(SetAside { cause: *cause, reason: reason.clone(), at: now }),
            _ => None,
        };
        self.unknown = match (self.unknown.take(), event) {
            _ if status.next_step() != NextStep::Land => None,
            (None, OrderEvent::OutcomeUnknown { reason }) => Some(Unknown { reason: reason.clone(), since: now }),
            (known, _) => known,
        };
        match event {
            OrderEvent::Routed { limit, wallet, .. } => {
                self.limit.get_or_insert(*limit);
                self.wallet = self.wallet.or(*wallet);
            }
            OrderEvent::Signed { attempt } => self.signatures = attempt.n,
            OrderEvent::Retrying { failure, .. } if failure.code.is_outage() => {}
            OrderEvent::Retrying { .. } | OrderEvent::Requoted { .. } => {
                self.retries = self.retries.saturating_add(1);
            }
            _ => {}
        }
        self.status = status;
        self.version += 1;
        self.updated_at = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_a_pool_must_be_an_address_and_agree_with_the_tokens() {
        let [low, high] = [1, 2].map(|byte| Pubkey::new_from_array([byte; 32]));
        let pair = Pair { mint_in: low, mint_out: high };
        let wish = |address: Option<&str>, base_in| PoolWish { address: address.map(str::to_owned), base_in };
        let address = low.to_string();
        assert_eq!(wish(None, None).pool(&pair), Ok(None));
        assert_eq!(wish(Some(&address), None).pool(&pair), Ok(Some(low)));
        assert_eq!(wish(Some(&address), Some(true)).pool(&pair), Ok(Some(low)));
        assert!(wish(Some("test-pool"), None).pool(&pair).unwrap_err().reason.contains("`poolId`"));
        assert!(wish(None, Some(false)).pool(&pair).unwrap_err().reason.contains("`baseIn`"));
        assert_eq!(wish(None, Some(false)).pool(&Pair { mint_in: high, mint_out: low }), Ok(None));
    }
}
