//! Orders: what a client asks for, checked once, and what the store keeps of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use solana_sdk::pubkey::Pubkey;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AmountError, BaseUnits, Bps, ErrorCode, IllegalTransition, NextStep, OrderEvent, OrderStatus, Pair};

/// serde for types whose text form is the wire form (public keys, signatures, hashes).
pub mod as_string {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the text form.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The same for a value that may be missing.
pub mod as_optional_string {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the text form or null.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text form or null.
    ///
    /// # Errors
    /// When the text does not parse.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        Option::<String>::deserialize(deserializer)?.map(|text| text.parse().map_err(de::Error::custom)).transpose()
    }
}

/// An order's identity: a version 7 UUID, so ids sort by creation time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl OrderId {
    /// A fresh id.
    #[expect(clippy::new_without_default, reason = "a fresh id is not a default")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OrderId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What makes an order execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Our own API under `/v1`.
    V1,
    /// The engine whose clients post `tokenIn`, `tokenOut`, `amount` and get 202.
    S0,
    /// The engine whose clients post `type` and `slippageBps` and read `order` and `history`.
    S3,
}

impl Dialect {
    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::S0 => "s0",
            Self::S3 => "s3",
        }
    }
}

/// A token that may be traded: configured by mint, its decimals and program read from the chain at start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The short name clients may use.
    pub symbol: String,
    /// The mint's address.
    #[serde(with = "as_string")]
    pub mint: Pubkey,
    /// Fractional digits of a whole token.
    pub decimals: u8,
    /// SPL Token or Token-2022: the program that owns the mint.
    #[serde(with = "as_string")]
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
    /// Signatures made so far.
    pub signatures: u8,
    /// Tries that ended in something worth trying again.
    pub retries: u8,
    /// Where it stands, with that state's data.
    pub status: OrderStatus,
    /// Number of events so far; the sequence number of the last one. Compare-and-swap is on this.
    pub version: u64,
    /// When it was accepted.
    pub created_at: OffsetDateTime,
    /// When its last event happened.
    pub updated_at: OffsetDateTime,
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
            signatures: 0,
            retries: 0,
            status: OrderStatus::Pending,
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

    /// Moves the order by one event. The only place where an order's fields change.
    ///
    /// # Errors
    /// When the event cannot happen in the order's state; the order is then unchanged.
    pub fn apply(&mut self, event: &OrderEvent, now: OffsetDateTime) -> Result<(), IllegalTransition> {
        let status = self.status.apply(event)?;
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

/// A request nobody has checked yet: what every dialect is translated to.
#[derive(Clone, Debug, Default)]
pub struct OrderRequest {
    /// Symbol or mint.
    pub token_in: String,
    /// Symbol or mint.
    pub token_out: String,
    /// Exact input.
    pub amount_in: Option<AmountText>,
    /// Exact output.
    pub amount_out: Option<AmountText>,
    /// The user's own least output (exact in).
    pub min_out: Option<AmountText>,
    /// The user's own most input (exact out).
    pub max_in: Option<AmountText>,
    /// Basis points; absent means the configured default.
    pub slippage_bps: Option<i64>,
    /// Base58 public key of the wallet to use.
    pub wallet: Option<String>,
}

/// An amount as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AmountText {
    /// Whole tokens, decimal.
    Ui(String),
    /// Base units, integer.
    Base(String),
}

impl AmountText {
    fn parse(&self, field: &'static str, decimals: u8) -> Result<BaseUnits, OrderRefused> {
        let parsed = match self {
            Self::Ui(text) => BaseUnits::from_ui(text, decimals),
            Self::Base(text) => text
                .parse::<BaseUnits>()
                .and_then(|amount| if amount.is_zero() { Err(AmountError::NotPositive) } else { Ok(amount) }),
        };
        parsed.map_err(|error| OrderRefused::new(ErrorCode::InvalidAmount, format!("`{field}` {error}")))
    }
}

/// What may be traded and within which limits.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Tradable tokens.
    pub tokens: Vec<Token>,
    /// Slippage when none is given.
    pub default_slippage: Bps,
    /// The largest slippage accepted.
    pub max_slippage: Bps,
}

impl Rules {
    /// Finds a token by symbol (any case) or by mint.
    pub fn token(&self, name: &str) -> Option<&Token> {
        self.tokens
            .iter()
            .find(|token| token.symbol.eq_ignore_ascii_case(name))
            .or_else(|| name.parse::<Pubkey>().ok().and_then(|mint| self.tokens.iter().find(|t| t.mint == mint)))
    }
}

/// A request that cannot become an order. Nothing has been stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OrderRefused {
    /// Stable code.
    pub code: ErrorCode,
    /// What to change.
    pub message: String,
}

impl OrderRefused {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Checks a request against the rules.
///
/// # Errors
/// The first thing that is wrong, in the order tokens, amounts, slippage, wallet.
pub fn validate(request: &OrderRequest, dialect: Dialect, rules: &Rules) -> Result<NewOrder, OrderRefused> {
    let token = |field: &str, name: &str| {
        if name.is_empty() {
            return Err(OrderRefused::new(
                ErrorCode::InvalidRequest,
                format!("`{field}` is missing: give a symbol or a mint address"),
            ));
        }
        rules.token(name).cloned().ok_or_else(|| {
            let known: Vec<_> = rules.tokens.iter().map(|token| token.symbol.as_str()).collect();
            OrderRefused::new(
                ErrorCode::UnknownToken,
                format!("`{field}` names no configured token: use one of {} or its mint", known.join(", ")),
            )
        })
    };
    let token_in = token("tokenIn", &request.token_in)?;
    let token_out = token("tokenOut", &request.token_out)?;
    if token_in.mint == token_out.mint {
        return Err(OrderRefused::new(
            ErrorCode::InvalidRequest,
            "`tokenIn` and `tokenOut` are the same token: name two different ones",
        ));
    }
    let (swap, limit) = match (&request.amount_in, &request.amount_out) {
        (Some(amount), None) => {
            if request.max_in.is_some() {
                return Err(OrderRefused::new(
                    ErrorCode::InvalidRequest,
                    "`maxIn` bounds an exact output: with `amountIn` give `minOut`",
                ));
            }
            let amount = amount.parse("amountIn", token_in.decimals)?;
            let limit = request.min_out.as_ref().map(|text| text.parse("minOut", token_out.decimals)).transpose()?;
            (Swap::ExactIn(amount), limit)
        }
        (None, Some(amount)) => {
            if request.min_out.is_some() {
                return Err(OrderRefused::new(
                    ErrorCode::InvalidRequest,
                    "`minOut` bounds an exact input: with `amountOut` give `maxIn`",
                ));
            }
            let amount = amount.parse("amountOut", token_out.decimals)?;
            let limit = request.max_in.as_ref().map(|text| text.parse("maxIn", token_in.decimals)).transpose()?;
            (Swap::ExactOut(amount), limit)
        }
        (None, None) => {
            return Err(OrderRefused::new(
                ErrorCode::InvalidAmount,
                "no amount: give `amountIn` (pay exactly) or `amountOut` (receive exactly)",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(OrderRefused::new(
                ErrorCode::InvalidAmount,
                "`amountIn` and `amountOut` exclude each other: give the side that is exact",
            ));
        }
    };
    let slippage = match request.slippage_bps {
        None => rules.default_slippage,
        Some(bps) => u16::try_from(bps)
            .ok()
            .and_then(|bps| Bps::new(bps).ok())
            .filter(|bps| *bps <= rules.max_slippage)
            .ok_or_else(|| {
                OrderRefused::new(
                    ErrorCode::InvalidSlippage,
                    format!("`slippageBps` must be a whole number from 0 to {}", rules.max_slippage.get()),
                )
            })?,
    };
    let wallet = request
        .wallet
        .as_ref()
        .map(|text| {
            text.parse::<Pubkey>()
                .map_err(|_| OrderRefused::new(ErrorCode::InvalidRequest, "`wallet` is not a base58 public key"))
        })
        .transpose()?;
    Ok(NewOrder { kind: OrderKind::Market, dialect, token_in, token_out, swap, slippage, limit, wallet })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let token = |symbol: &str, decimals| Token {
            symbol: symbol.into(),
            mint: Pubkey::new_unique(),
            decimals,
            program: Pubkey::new_unique(),
        };
        Rules {
            tokens: vec![token("SOL", 9), token("USDC", 6)],
            default_slippage: Bps::new(100).unwrap(),
            max_slippage: Bps::new(1_000).unwrap(),
        }
    }

    fn request() -> OrderRequest {
        OrderRequest {
            token_in: "SOL".into(),
            token_out: "usdc".into(),
            amount_in: Some(AmountText::Ui("1.5".into())),
            ..OrderRequest::default()
        }
    }

    #[test]
    fn a_plain_market_order_gets_the_defaults() {
        let order = validate(&request(), Dialect::V1, &rules()).unwrap();
        assert_eq!(order.swap, Swap::ExactIn(BaseUnits::new(1_500_000_000)));
        assert_eq!(order.slippage.get(), 100);
        assert_eq!(order.limit, None);
    }

    #[test]
    fn a_token_may_be_named_by_its_mint() {
        let rules = rules();
        let request = OrderRequest { token_out: rules.tokens[1].mint.to_string(), ..request() };
        assert_eq!(validate(&request, Dialect::V1, &rules).unwrap().token_out.symbol, "USDC");
    }

    #[test]
    fn bad_requests_are_refused_with_a_stable_code() {
        let ui = |text: &str| Some(AmountText::Ui(text.into()));
        let base = |text: &str| Some(AmountText::Base(text.into()));
        let cases = [
            (OrderRequest { token_in: String::new(), ..request() }, ErrorCode::InvalidRequest),
            (OrderRequest { token_in: "DOGE".into(), ..request() }, ErrorCode::UnknownToken),
            (OrderRequest { token_out: "SOL".into(), ..request() }, ErrorCode::InvalidRequest),
            (OrderRequest { amount_in: None, ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: ui("0"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: ui("-3"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: ui("NaN"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: ui("0.0000000001"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: base("1.5"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: base("0"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_in: base("18446744073709551616"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { amount_out: ui("1"), ..request() }, ErrorCode::InvalidAmount),
            (OrderRequest { max_in: ui("1"), ..request() }, ErrorCode::InvalidRequest),
            (OrderRequest { slippage_bps: Some(-1), ..request() }, ErrorCode::InvalidSlippage),
            (OrderRequest { slippage_bps: Some(1_001), ..request() }, ErrorCode::InvalidSlippage),
            (OrderRequest { wallet: Some("me".into()), ..request() }, ErrorCode::InvalidRequest),
        ];
        for (request, code) in cases {
            assert_eq!(validate(&request, Dialect::V1, &rules()).unwrap_err().code, code, "{request:?}");
        }
    }
}
