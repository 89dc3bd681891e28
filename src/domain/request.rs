//! Requests: what every dialect is translated to, and the one place where it is checked.

use std::fmt;

use solana_sdk::pubkey::Pubkey;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{AmountError, BaseUnits, Bps, Dialect, ErrorCode, Expiry, NewOrder, OrderKind, PoolWish, Swap, Token};

/// The longest a deadline given as a duration may be away.
const LONGEST_EXPIRY: Duration = Duration::days(7);

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
    /// Milliseconds after which nothing may be signed any more.
    pub expires_in_ms: Option<i64>,
    /// The same as a time, RFC 3339.
    pub expires_at: Option<String>,
    /// The pool to use.
    pub pool_wish: Option<PoolWish>,
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
        parsed.map_err(|error| OrderRefused::of(field, ErrorCode::InvalidAmount, error.to_string()))
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRefused {
    /// Stable code.
    pub code: ErrorCode,
    /// The field of [`/v1/orders`](OrderRequest) that is wrong, where it is one.
    pub field: Option<&'static str>,
    /// What to change: goes on from the field's name, or is a whole sentence.
    message: String,
}

impl OrderRefused {
    /// A refusal with its sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, field: None, message: message.into() }
    }

    /// A refusal of one field, with what follows its name in the sentence.
    pub fn of(field: &'static str, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, field: Some(field), message: message.into() }
    }

    /// What to change, for clients that call our fields by other names.
    pub fn sentence(&self, name: impl FnOnce(&'static str) -> &'static str) -> String {
        match self.field {
            Some(field) => format!("`{}` {}", name(field), self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for OrderRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(|ours| ours))
    }
}

impl std::error::Error for OrderRefused {}

/// Checks a request against the rules.
///
/// # Errors
/// The first thing that is wrong, in the order tokens, amounts, slippage, wallet, deadline.
pub fn validate(request: &OrderRequest, dialect: Dialect, rules: &Rules) -> Result<NewOrder, OrderRefused> {
    let token = |field: &'static str, name: &str| {
        if name.is_empty() {
            return Err(OrderRefused::of(
                field,
                ErrorCode::InvalidRequest,
                "is missing: give a symbol or a mint address",
            ));
        }
        rules.token(name).cloned().ok_or_else(|| {
            let known: Vec<_> = rules.tokens.iter().map(|token| token.symbol.as_str()).collect();
            OrderRefused::of(
                field,
                ErrorCode::UnknownToken,
                format!("names no configured token: use one of {} or its mint", known.join(", ")),
            )
        })
    };
    let token_in = token("tokenIn", &request.token_in)?;
    let token_out = token("tokenOut", &request.token_out)?;
    if token_in.mint == token_out.mint {
        return Err(OrderRefused::of(
            "tokenOut",
            ErrorCode::InvalidRequest,
            "names the token that is paid: name two different ones",
        ));
    }
    let (swap, limit) = match (&request.amount_in, &request.amount_out) {
        (Some(amount), None) => {
            if request.max_in.is_some() {
                return Err(OrderRefused::of(
                    "maxIn",
                    ErrorCode::InvalidRequest,
                    "bounds an exact output: with `amountIn` give `minOut`",
                ));
            }
            let amount = amount.parse("amountIn", token_in.decimals)?;
            let limit = request.min_out.as_ref().map(|text| text.parse("minOut", token_out.decimals)).transpose()?;
            (Swap::ExactIn(amount), limit)
        }
        (None, Some(amount)) => {
            if request.min_out.is_some() {
                return Err(OrderRefused::of(
                    "minOut",
                    ErrorCode::InvalidRequest,
                    "bounds an exact input: with `amountOut` give `maxIn`",
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
                OrderRefused::of(
                    "slippageBps",
                    ErrorCode::InvalidSlippage,
                    format!("must be a whole number from 0 to {}", rules.max_slippage.get()),
                )
            })?,
    };
    let wallet = request
        .wallet
        .as_ref()
        .map(|text| {
            text.parse::<Pubkey>()
                .map_err(|_| OrderRefused::of("wallet", ErrorCode::InvalidRequest, "is not a base58 public key"))
        })
        .transpose()?;
    let expiry = expiry(request)?;
    let pool_wish = request.pool_wish.clone();
    Ok(NewOrder {
        kind: OrderKind::Market,
        dialect,
        token_in,
        token_out,
        swap,
        slippage,
        limit,
        wallet,
        expiry,
        pool_wish,
    })
}

/// The deadline, if one was given. Whether it lies ahead is for whoever has a clock.
fn expiry(request: &OrderRequest) -> Result<Option<Expiry>, OrderRefused> {
    let refused = |field, message: &str| Err(OrderRefused::of(field, ErrorCode::InvalidRequest, message));
    match (request.expires_in_ms, &request.expires_at) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => refused("expiresInMs", "and `expiresAt` exclude each other: give one of them"),
        (Some(ms), None) => {
            let duration = Duration::milliseconds(ms);
            if !duration.is_positive() || duration > LONGEST_EXPIRY {
                return refused("expiresInMs", "must be from 1 to 604800000, which is seven days");
            }
            Ok(Some(Expiry::In(duration)))
        }
        (None, Some(text)) => match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(at) => Ok(Some(Expiry::At(at))),
            Err(_) => refused("expiresAt", "is no time: write it as 2026-01-31T12:00:00Z"),
        },
    }
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
            (OrderRequest { expires_in_ms: Some(0), ..request() }, ErrorCode::InvalidRequest),
            (OrderRequest { expires_in_ms: Some(i64::MAX), ..request() }, ErrorCode::InvalidRequest),
            (OrderRequest { expires_at: Some("tomorrow".into()), ..request() }, ErrorCode::InvalidRequest),
            (
                OrderRequest { expires_in_ms: Some(1), expires_at: Some("2026-01-31T12:00:00Z".into()), ..request() },
                ErrorCode::InvalidRequest,
            ),
        ];
        for (request, code) in cases {
            assert_eq!(validate(&request, Dialect::V1, &rules()).unwrap_err().code, code, "{request:?}");
        }
    }

    #[test]
    fn a_refusal_names_its_field_as_the_client_calls_it() {
        let same = OrderRequest { token_out: "SOL".into(), ..request() };
        let refused = validate(&same, Dialect::V1, &rules()).unwrap_err();
        assert_eq!(refused.field, Some("tokenOut"));
        assert_eq!(refused.to_string(), "`tokenOut` names the token that is paid: name two different ones");
        assert!(refused.sentence(|_| "pair").starts_with("`pair` names the token"));
        let none = validate(&OrderRequest { amount_in: None, ..request() }, Dialect::V1, &rules()).unwrap_err();
        assert_eq!((none.field, none.sentence(|_| "x")), (None, none.to_string()));
    }
}
