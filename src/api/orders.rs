//! Orders over REST: submit, show, list, cancel.
//!
//! Owns the words of `/v1/orders`. Never validates what an order means and never changes one: that is the intake's.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use solana_sdk::pubkey::Pubkey;
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, ApiState, Caller,
    body::{Decimal, IdInPath, JsonBytes, Params, idempotency_key},
    openapi::{
        IdempotencyKey, OrderIdInPath,
        refusals::{Cancelling, Finding, Listing, Submitting},
        shapes::{OrderInFull, OrdersPage, Submitted},
        tag,
        words::{BaseAmount, SlippageBps, TokenName, UiAmount, WalletAddress},
    },
    paging::{PageSize, before},
    views::{self, OrderView},
};
use crate::{
    domain::{AmountText, Dialect, ErrorCode, Order, OrderId, OrderKind, OrderRequest, Rules, Status},
    engine::CancelError,
    store::{OrderFilter, Unreadable},
};

/// What a client asks for, in a body or in a quote's query.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderWords {
    /// What is paid.
    #[serde(default)]
    #[schema(value_type = TokenName, required)]
    pub(super) token_in: String,
    /// What is received.
    #[serde(default)]
    #[schema(value_type = TokenName, required)]
    pub(super) token_out: String,
    /// Pay exactly this; `amount` is another name for it. Of the four amounts exactly one is given.
    #[serde(alias = "amount")]
    #[schema(value_type = Option<UiAmount>)]
    pub(super) amount_in: Option<Decimal>,
    /// Pay exactly this.
    #[schema(value_type = Option<BaseAmount>)]
    pub(super) amount_in_base: Option<Decimal>,
    /// Receive exactly this.
    #[schema(value_type = Option<UiAmount>)]
    pub(super) amount_out: Option<Decimal>,
    /// Receive exactly this.
    #[schema(value_type = Option<BaseAmount>)]
    pub(super) amount_out_base: Option<Decimal>,
    /// The least to receive for an exact input, in place of the slippage.
    #[schema(value_type = Option<UiAmount>)]
    pub(super) min_out: Option<Decimal>,
    /// The same.
    #[schema(value_type = Option<BaseAmount>)]
    pub(super) min_out_base: Option<Decimal>,
    /// The most to pay for an exact output, in place of the slippage.
    #[schema(value_type = Option<UiAmount>)]
    pub(super) max_in: Option<Decimal>,
    /// The same.
    #[schema(value_type = Option<BaseAmount>)]
    pub(super) max_in_base: Option<Decimal>,
    /// How far the fill may be from the first quote.
    #[schema(value_type = Option<SlippageBps>)]
    pub(super) slippage_bps: Option<Decimal>,
    /// The address that pays; left out, the least busy wallet that can.
    #[schema(value_type = Option<WalletAddress>)]
    pub(super) wallet: Option<String>,
    /// Milliseconds after which nothing is signed for it any more, at most seven days.
    #[schema(minimum = 1, maximum = 604_800_000)]
    pub(super) expires_in_ms: Option<i64>,
    /// The same as a time.
    #[schema(format = DateTime)]
    pub(super) expires_at: Option<String>,
    /// Say what it would do, and do nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// When it executes: at once.
    #[schema(value_type = Option<OrderKind>)]
    pub(super) kind: Option<String>,
}

impl OrderWords {
    /// The request that the intake checks.
    ///
    /// # Errors
    /// When an amount is given twice, or the kind or slippage is no such thing.
    pub fn request(self) -> Result<OrderRequest, ApiError> {
        if let Some(kind) = &self.kind
            && kind != "market"
        {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "`kind` must be `market`, the only kind there is"));
        }
        let slippage_bps = self
            .slippage_bps
            .map(|Decimal(text)| {
                text.parse::<i64>().map_err(|_| {
                    ApiError::new(ErrorCode::InvalidSlippage, "`slippageBps` must be a whole number of basis points")
                })
            })
            .transpose()?;
        Ok(OrderRequest {
            token_in: self.token_in,
            token_out: self.token_out,
            amount_in: either("amountIn", self.amount_in, self.amount_in_base)?,
            amount_out: either("amountOut", self.amount_out, self.amount_out_base)?,
            min_out: either("minOut", self.min_out, self.min_out_base)?,
            max_in: either("maxIn", self.max_in, self.max_in_base)?,
            slippage_bps,
            wallet: self.wallet,
            expires_in_ms: self.expires_in_ms,
            expires_at: self.expires_at,
            pool_wish: None,
        })
    }
}

fn either(name: &str, ui: Option<Decimal>, base: Option<Decimal>) -> Result<Option<AmountText>, ApiError> {
    match (ui, base) {
        (Some(_), Some(_)) => Err(ApiError::new(
            ErrorCode::InvalidAmount,
            format!("`{name}` and `{name}Base` exclude each other: give one of them"),
        )),
        (Some(Decimal(text)), None) => Ok(Some(AmountText::Ui(text))),
        (None, Some(Decimal(text))) => Ok(Some(AmountText::Base(text))),
        (None, None) => Ok(None),
    }
}

/// `POST /v1/orders`: 201, or 200 with the first order when the idempotency key was used before. With `dryRun` 200 and
/// what the order would do; nothing is stored, signed or sent then, and the key is not used.
#[utoipa::path(
    post, path = "/v1/orders", operation_id = "submitOrder", tag = tag::ORDERS,
    params(IdempotencyKey),
    request_body(content = OrderWords, examples(
        ("exact input" = (value = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.01", "slippageBps": 100}))),
        ("exact output" = (value = json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": "1.5"}))),
    )),
    responses(Submitted, Submitting)
)]
pub async fn submit(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonBytes,
) -> Result<Response, ApiError> {
    let key = idempotency_key(&headers)?.map(|key| format!("{}:{key}", caller.idempotency_scope("v1")));
    let words = body.parse::<OrderWords>()?;
    let dry_run = words.dry_run;
    let request = words.request()?;
    if dry_run {
        let asked = state.intake().check(&request, Dialect::V1)?;
        let rehearsed = state.rehearsal().of(asked.clone()).await?;
        return Ok(Json(state.views().rehearsed(&asked, &rehearsed)).into_response());
    }
    let accepted = state.intake().submit(&request, Dialect::V1, key.as_deref()).await?;
    let status = if accepted.fresh { StatusCode::CREATED } else { StatusCode::OK };
    let location = [(header::LOCATION, format!("/v1/orders/{}", accepted.order.id))];
    Ok((status, location, Json(state.views().order(&accepted.order))).into_response())
}

/// `GET /v1/orders/{id}`: the order, its events and its signatures.
#[utoipa::path(
    get, path = "/v1/orders/{id}", operation_id = "showOrder", tag = tag::ORDERS, params(OrderIdInPath),
    responses((status = 200, description = "The order", body = OrderInFull), Finding)
)]
pub async fn show(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let order = find(&state, id).await?;
    let (history, attempts) = tokio::try_join!(state.store().history(id, 0), state.store().attempts(id))?;
    Ok(Json(state.views().order_in_full(&order, &history, &attempts)).into_response())
}

/// `POST /v1/orders/{id}/cancel`: the cancelled order. Cancelling twice is no error.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancel", operation_id = "cancelOrder", tag = tag::ORDERS, params(OrderIdInPath),
    responses((status = 200, description = "The cancelled order", body = OrderView), Cancelling)
)]
pub async fn cancel(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let order = match state.intake().cancel(id).await {
        Ok(order) => order,
        Err(CancelError::TooLate(status)) if status == Status::Cancelled.as_str() => find(&state, id).await?,
        Err(error) => return Err(error.into()),
    };
    Ok(Json(state.views().order(&order)).into_response())
}

/// The order, or 404.
pub async fn find(state: &ApiState, id: OrderId) -> Result<Order, ApiError> {
    state.store().order(id).await?.ok_or_else(ApiError::no_order)
}

/// Which orders to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only orders in one of these, comma-separated.
    #[param(value_type = Vec<Status>, style = Form, explode = false, required = false)]
    status: Option<String>,
    /// Only orders that pay this.
    #[param(value_type = TokenName, required = false)]
    token_in: Option<String>,
    /// Only orders that receive this.
    #[param(value_type = TokenName, required = false)]
    token_out: Option<String>,
    /// Only orders that this address pays.
    #[param(value_type = WalletAddress, required = false)]
    wallet: Option<String>,
    /// Orders on a page; 50 when left out.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins: `nextCursor` of the one before.
    #[param(value_type = OrderId, required = false)]
    cursor: Option<String>,
}

/// `GET /v1/orders`: newest first, with the `cursor` of the next page if there is one.
#[utoipa::path(
    get, path = "/v1/orders", operation_id = "listOrders", tag = tag::ORDERS, params(ListParams),
    responses((status = 200, description = "A page of orders", body = OrdersPage), Listing)
)]
pub async fn list(State(state): State<ApiState>, Params(params): Params<ListParams>) -> Result<Response, ApiError> {
    let rules = state.intake().rules();
    let filter = OrderFilter {
        statuses: statuses(params.status.as_deref())?,
        token_in: symbol(rules, "tokenIn", params.token_in.as_deref())?,
        token_out: symbol(rules, "tokenOut", params.token_out.as_deref())?,
        wallet: params.wallet.as_deref().map(wallet).transpose()?,
        before: before(params.cursor.as_deref())?,
    };
    let size = PageSize::new(params.limit)?;
    let orders = state.store().list(&filter, size.and_one()).await?;
    let id = |listed: &Result<Order, Unreadable>| match listed {
        Ok(order) => order.id,
        Err(unreadable) => unreadable.id,
    };
    let (orders, next_cursor) = size.cut(orders, id);
    let view = |listed: &Result<Order, Unreadable>| match listed {
        Ok(order) => json!(state.views().order(order)),
        Err(unreadable) => views::unreadable(unreadable),
    };
    let orders: Vec<_> = orders.iter().map(view).collect();
    Ok(Json(json!({ "orders": orders, "nextCursor": next_cursor })).into_response())
}

/// A comma-separated list of statuses.
///
/// # Errors
/// When one is no status.
pub fn statuses(text: Option<&str>) -> Result<Vec<Status>, ApiError> {
    text.unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| {
            Status::from_name(name).ok_or_else(|| {
                let known: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
                ApiError::new(ErrorCode::InvalidRequest, format!("`status` must be of {}", known.join(", ")))
            })
        })
        .collect()
}

/// The symbol of a token given by symbol or mint.
///
/// # Errors
/// When no such token is configured.
pub fn symbol(rules: &Rules, field: &str, name: Option<&str>) -> Result<Option<String>, ApiError> {
    name.map(|name| {
        rules
            .token(name)
            .map(|token| token.symbol.clone())
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownToken, format!("`{field}` names no configured token")))
    })
    .transpose()
}

/// The address of a wallet.
///
/// # Errors
/// When the text is none.
pub fn wallet(text: &str) -> Result<Pubkey, ApiError> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "`wallet` is not a base58 public key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<OrderRequest, ErrorCode> {
        let body = JsonBytes(json.as_bytes().to_vec());
        body.parse::<OrderWords>().and_then(OrderWords::request).map_err(|error| error.code())
    }

    #[test]
    fn amounts_are_taken_as_they_were_written() {
        let ui = |text: &str| Some(AmountText::Ui(text.into()));
        let base = |text: &str| Some(AmountText::Base(text.into()));
        assert_eq!(read(r#"{"amountIn":0.1}"#).unwrap().amount_in, ui("0.1"));
        assert_eq!(read(r#"{"amount":"1.50"}"#).unwrap().amount_in, ui("1.50"));
        assert_eq!(read(r#"{"amountInBase":18446744073709551615}"#).unwrap().amount_in, base("18446744073709551615"));
        assert_eq!(read(r#"{"amountOut":1e1000}"#).unwrap().amount_out, ui("1e1000"));
        assert_eq!(read(r#"{"amountIn":null,"kind":"market"}"#).unwrap().amount_in, None);
    }

    #[test]
    fn words_that_make_no_sense_are_refused() {
        for (json, code) in [
            ("", ErrorCode::MalformedBody),
            ("{", ErrorCode::MalformedBody),
            ("[]x", ErrorCode::MalformedBody),
            (r#" ["SOL","USDC",1,null,null,null,null,null,null,null,null,null,null]"#, ErrorCode::MalformedBody),
            (r#"{"amountIn":NaN}"#, ErrorCode::MalformedBody),
            (r#"{"amountIn":true}"#, ErrorCode::MalformedBody),
            (r#"{"amountIn":1,"amount":1}"#, ErrorCode::MalformedBody),
            (r#"{"tokenIn":5}"#, ErrorCode::MalformedBody),
            (r#"{"minimumOut":1}"#, ErrorCode::MalformedBody),
            (r#"{"amountIn":1,"amountInBase":1}"#, ErrorCode::InvalidAmount),
            (r#"{"slippageBps":1.5}"#, ErrorCode::InvalidSlippage),
            (r#"{"kind":"limit"}"#, ErrorCode::InvalidRequest),
        ] {
            assert_eq!(read(json).unwrap_err(), code, "{json}");
        }
    }
}
