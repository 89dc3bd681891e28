//! Webhooks over REST: made, looked at, changed, removed, and their log.
//!
//! Owns the words of `/v1/webhooks`, and that a key that may only read is not shown a receiver's whole URL. What a
//! webhook may be and when it is served is `crate::webhooks`.

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, ApiState, Caller,
    body::{JsonBytes, Params},
    openapi::{
        refusals::{Changing, Finding, Logging, Redelivering, Registering, Reporting},
        shapes::webhooks as shapes,
        tag,
        words::EventName,
    },
    paging::{PageSize, before},
    views::timestamp,
};
use crate::{
    domain::{ErrorCode, OrderEvent, OrderId, Status},
    store::{
        Scope,
        webhooks::{
            Answer, AttemptRecord, Backlog, DeliveryId, DeliveryRecord, DeliveryState, Disabled, Resume, Turn, Webhook,
            WebhookChange, WebhookFilter, WebhookId,
        },
    },
    webhooks::{NewWebhook, WebhookError},
};

/// Orders that one webhook may name.
const MOST_ORDERS: usize = 100;
/// The longest description, in characters.
const LONGEST_DESCRIPTION: usize = 200;

/// A webhook that is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookWords {
    /// Where events are posted to. Public addresses over HTTPS only, unless the daemon is configured otherwise.
    #[schema(format = "uri", pattern = "^https?://.+", max_length = 2048)]
    url: String,
    /// What it is called.
    #[serde(default)]
    #[schema(max_length = 200)]
    description: String,
    /// Only events with these names; empty: all.
    #[serde(default)]
    #[schema(value_type = Vec<EventName>)]
    events: Vec<String>,
    /// Only events that leave their order in one of these; empty: all.
    #[serde(default)]
    statuses: Vec<Status>,
    /// Only events of these orders; empty: all.
    #[serde(default)]
    #[schema(max_items = 100)]
    order_ids: Vec<OrderId>,
    /// Only events after this cursor, stored ones first. Left out: from now on.
    since: Option<u64>,
}

/// What shall change. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookChanges {
    /// Where events are posted to.
    #[schema(format = "uri", pattern = "^https?://.+", max_length = 2048)]
    url: Option<String>,
    /// What it is called.
    #[schema(max_length = 200)]
    description: Option<String>,
    /// Only events with these names; empty: all.
    #[schema(value_type = Option<Vec<EventName>>)]
    events: Option<Vec<String>>,
    /// Only events that leave their order in one of these; empty: all.
    statuses: Option<Vec<Status>>,
    /// Only events of these orders; empty: all.
    #[schema(max_items = 100)]
    order_ids: Option<Vec<OrderId>>,
    /// Whether anything is sent.
    enabled: Option<bool>,
    /// Where a disabled one goes on, with `enabled: true`; `cursor` when left out.
    resume_from: Option<ResumeFrom>,
}

/// Where a disabled webhook goes on.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResumeFrom {
    /// Where it stopped: nothing is left out.
    Cursor,
    /// With what happens from now on; what waits is skipped.
    Now,
}

/// Which page of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogParams {
    /// Only deliveries that are so far.
    #[param(value_type = DeliveryState, required = false)]
    state: Option<DeliveryState>,
    /// Deliveries on a page; 50 when left out.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins: `nextCursor` of the one before.
    #[param(value_type = DeliveryId, required = false)]
    cursor: Option<String>,
}

/// A webhook's id in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `WebhookInPath` reads")]
pub struct WebhookIdInPath {
    /// The webhook's id. Anything that is no id names no webhook: 404.
    #[param(rename = "webhookId", format = "uuid", example = "00000000-0000-0000-0000-000000000000")]
    webhook_id: String,
}

/// A delivery's id in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes what `DeliveryInPath` reads")]
pub struct DeliveryIdInPath {
    /// The delivery's id, of the webhook's log.
    #[param(rename = "deliveryId", format = "uuid", example = "00000000-0000-0000-0000-000000000000")]
    delivery_id: String,
}

/// `POST /v1/webhooks`: events from now on, or from `since` on, are posted to `url`.
///
/// The answer is the only one that shows the secret.
#[utoipa::path(
    post, path = "/v1/webhooks", operation_id = "createWebhook", tag = tag::WEBHOOKS,
    request_body(content = WebhookWords, examples(
        ("ends of orders" = (value = json!({
            "url": "https://hooks.example/swapd", "statuses": ["confirmed", "failed", "cancelled"],
        }))),
    )),
    responses(shapes::Made, Registering)
)]
pub async fn create(State(state): State<ApiState>, caller: Caller, body: JsonBytes) -> Result<Response, ApiError> {
    let words = body.parse::<WebhookWords>()?;
    let filter = filter(words.events, words.statuses, words.order_ids)?;
    let description = described(words.description)?;
    let new = NewWebhook { url: words.url, description, filter, since: words.since };
    let webhook = state.webhooks().create(new).await?;
    let mut view = view(&webhook, Backlog::default(), &caller);
    view["secret"] = json!(webhook.secret.expose());
    let location = [(header::LOCATION, format!("/v1/webhooks/{}", webhook.id))];
    Ok((StatusCode::CREATED, location, Json(view)).into_response())
}

/// `GET /v1/webhooks`: all of them, oldest first.
#[utoipa::path(
    get, path = "/v1/webhooks", operation_id = "listWebhooks", tag = tag::WEBHOOKS,
    responses((status = 200, description = "All webhooks", body = shapes::WebhookList), Reporting)
)]
pub async fn list(State(state): State<ApiState>, caller: Caller) -> Result<Response, ApiError> {
    let (webhooks, backlogs) = (state.webhooks().list().await?, state.webhooks().backlogs().await?);
    let backlog = |id| backlogs.get(id).copied().unwrap_or_default();
    let webhooks: Vec<_> = webhooks.iter().map(|webhook| view(webhook, backlog(&webhook.id), &caller)).collect();
    Ok(Json(json!({ "webhooks": webhooks })).into_response())
}

/// `GET /v1/webhooks/{webhookId}`: one of them.
#[utoipa::path(
    get, path = "/v1/webhooks/{webhookId}", operation_id = "showWebhook", tag = tag::WEBHOOKS,
    params(WebhookIdInPath),
    responses((status = 200, description = "The webhook", body = shapes::WebhookView), Finding)
)]
pub async fn show(
    State(state): State<ApiState>,
    caller: Caller,
    WebhookInPath(id): WebhookInPath,
) -> Result<Response, ApiError> {
    let webhook = state.webhooks().find(id).await?;
    Ok(Json(view(&webhook, state.webhooks().backlog(id).await?, &caller)).into_response())
}

/// `PATCH /v1/webhooks/{webhookId}`: changes it, disables it, or lets it go on.
#[utoipa::path(
    patch, path = "/v1/webhooks/{webhookId}", operation_id = "changeWebhook", tag = tag::WEBHOOKS,
    params(WebhookIdInPath),
    request_body(content = WebhookChanges, examples(
        ("go on" = (value = json!({"enabled": true, "resumeFrom": "cursor"}))),
    )),
    responses((status = 200, description = "The webhook as it is now", body = shapes::WebhookView), Changing)
)]
pub async fn change(
    State(state): State<ApiState>,
    caller: Caller,
    WebhookInPath(id): WebhookInPath,
    body: JsonBytes,
) -> Result<Response, ApiError> {
    let words = body.parse::<WebhookChanges>()?;
    let turn = match (words.enabled, words.resume_from) {
        (None, None) => None,
        (Some(false), None) => Some(Turn::Off("it was disabled by hand".to_owned())),
        (Some(true), Some(ResumeFrom::Now)) => Some(Turn::On(Resume::Now)),
        (Some(true), _) => Some(Turn::On(Resume::Cursor)),
        (_, Some(_)) => {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "`resumeFrom` goes with `enabled: true` only"));
        }
    };
    let narrows = words.events.is_some() || words.statuses.is_some() || words.order_ids.is_some();
    let filter = if narrows {
        let is = state.webhooks().find(id).await?.filter;
        let events = words.events.unwrap_or(is.events);
        let statuses = words.statuses.unwrap_or(is.statuses);
        Some(filter(events, statuses, words.order_ids.unwrap_or(is.order_ids))?)
    } else {
        None
    };
    let description = words.description.map(described).transpose()?;
    let change = WebhookChange { url: words.url, description, filter, turn };
    let webhook = state.webhooks().change(id, change).await?;
    Ok(Json(view(&webhook, state.webhooks().backlog(id).await?, &caller)).into_response())
}

/// `DELETE /v1/webhooks/{webhookId}`: removes it with its log; what waits is not delivered.
#[utoipa::path(
    delete, path = "/v1/webhooks/{webhookId}", operation_id = "deleteWebhook", tag = tag::WEBHOOKS,
    params(WebhookIdInPath), responses((status = 204, description = "It is gone"), Finding)
)]
pub async fn delete(State(state): State<ApiState>, WebhookInPath(id): WebhookInPath) -> Result<Response, ApiError> {
    state.webhooks().delete(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v1/webhooks/{webhookId}/deliveries`: its log, newest first, with every try.
#[utoipa::path(
    get, path = "/v1/webhooks/{webhookId}/deliveries", operation_id = "listDeliveries", tag = tag::WEBHOOKS,
    params(WebhookIdInPath, LogParams),
    responses((status = 200, description = "A page of the log", body = shapes::DeliveriesPage), Logging)
)]
pub async fn deliveries(
    State(state): State<ApiState>,
    WebhookInPath(id): WebhookInPath,
    Params(params): Params<LogParams>,
) -> Result<Response, ApiError> {
    let size = PageSize::new(params.limit)?;
    let before = before(params.cursor.as_deref())?;
    let log = state.webhooks().deliveries(id, params.state, before, size.and_one()).await?;
    let (log, next_cursor) = size.cut(log, |delivery| delivery.id);
    let log: Vec<_> = log.iter().map(delivery_view).collect();
    Ok(Json(json!({ "deliveries": log, "nextCursor": next_cursor })).into_response())
}

/// `POST /v1/webhooks/{webhookId}/deliveries/{deliveryId}/redeliver`: makes it once more, or its next try at once.
#[utoipa::path(
    post, path = "/v1/webhooks/{webhookId}/deliveries/{deliveryId}/redeliver", operation_id = "redeliver",
    tag = tag::WEBHOOKS, params(WebhookIdInPath, DeliveryIdInPath),
    responses((status = 202, description = "It waits for its turn", body = shapes::Redelivering), Redelivering)
)]
pub async fn redeliver(
    State(state): State<ApiState>,
    DeliveryInPath(webhook, delivery): DeliveryInPath,
) -> Result<Response, ApiError> {
    state.webhooks().redeliver(webhook, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": delivery, "state": DeliveryState::Pending }))).into_response())
}

/// `POST /v1/webhooks/{webhookId}/test`: sends an event named `test` now, once, and tells what came of it.
#[utoipa::path(
    post, path = "/v1/webhooks/{webhookId}/test", operation_id = "testWebhook", tag = tag::WEBHOOKS,
    params(WebhookIdInPath),
    responses((status = 200, description = "What came of it", body = shapes::Tested), Finding)
)]
pub async fn test(State(state): State<ApiState>, WebhookInPath(id): WebhookInPath) -> Result<Response, ApiError> {
    let tested = state.webhooks().test(id).await?;
    let (status, error) = words(&tested.answer);
    let took = u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX);
    let delivered = status.is_some_and(|status| (200..300).contains(&status));
    Ok(Json(json!({ "delivered": delivered, "status": status, "error": error, "durationMs": took })).into_response())
}

/// The webhook of a path. What is no id names none: 404, never 400.
pub struct WebhookInPath(WebhookId);

impl FromRequestParts<ApiState> for WebhookInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok().and_then(|Path(id)| id.parse().ok());
        Ok(Self(id.ok_or(WebhookError::NotFound)?))
    }
}

/// The webhook and delivery of a path, in the same way.
pub struct DeliveryInPath(WebhookId, DeliveryId);

impl FromRequestParts<ApiState> for DeliveryInPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((webhook, delivery)) = path.map_err(|_| WebhookError::NotFound)?;
        let webhook = webhook.parse().map_err(|_| WebhookError::NotFound)?;
        Ok(Self(webhook, delivery.parse().map_err(|_| WebhookError::NoDelivery)?))
    }
}

fn filter(events: Vec<String>, statuses: Vec<Status>, order_ids: Vec<OrderId>) -> Result<WebhookFilter, ApiError> {
    let refused = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
    if let Some(unknown) = events.iter().find(|name| !OrderEvent::NAMES.contains(&name.as_str())) {
        return refused(format!("`events` names `{unknown}`; there are {}", OrderEvent::NAMES.join(", ")));
    }
    if order_ids.len() > MOST_ORDERS {
        return refused(format!("`orderIds` may name {MOST_ORDERS} orders"));
    }
    Ok(WebhookFilter { events, statuses, order_ids })
}

fn described(description: String) -> Result<String, ApiError> {
    if description.chars().count() > LONGEST_DESCRIPTION {
        let message = format!("`description` is longer than {LONGEST_DESCRIPTION} characters");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(description)
}

/// A receiver's URL may hold a secret of its own: only who may change the webhook is shown more than where it leads.
fn url_for(caller: &Caller, webhook: &Webhook) -> String {
    if caller.may(Scope::Trade).is_ok() {
        return webhook.url.clone();
    }
    Url::parse(&webhook.url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

fn view(webhook: &Webhook, backlog: Backlog, caller: &Caller) -> Value {
    let disabled = |it: &Disabled| json!({ "reason": it.reason, "at": timestamp(it.at) });
    json!({
        "id": webhook.id,
        "url": url_for(caller, webhook),
        "description": webhook.description,
        "events": webhook.filter.events,
        "statuses": webhook.filter.statuses,
        "orderIds": webhook.filter.order_ids,
        "enabled": webhook.disabled.is_none(),
        "disabled": webhook.disabled.as_ref().map(disabled),
        "cursor": webhook.cursor,
        "pending": backlog.deliveries,
        "oldestPendingAt": backlog.oldest.map(timestamp),
        "failingSince": webhook.failing_since.map(timestamp),
        "createdAt": timestamp(webhook.created_at),
        "updatedAt": timestamp(webhook.updated_at),
    })
}

fn delivery_view(delivery: &DeliveryRecord) -> Value {
    let waits = delivery.state == DeliveryState::Pending;
    json!({
        "id": delivery.id,
        "state": delivery.state,
        "cursor": delivery.event.cursor,
        "orderId": delivery.event.order_id,
        "seq": delivery.seq,
        "event": delivery.event.event,
        "status": delivery.event.status,
        "nextTryAt": waits.then(|| timestamp(delivery.next_try_at)),
        "createdAt": timestamp(delivery.created_at),
        "attempts": delivery.attempts.iter().map(try_view).collect::<Vec<_>>(),
    })
}

fn try_view(attempt: &AttemptRecord) -> Value {
    let (status, error) = words(&attempt.answer);
    json!({
        "n": attempt.n,
        "at": timestamp(attempt.at),
        "status": status,
        "error": error,
        "durationMs": attempt.duration_ms,
    })
}

fn words(answer: &Answer) -> (Option<u16>, Option<&str>) {
    match answer {
        Answer::Status(status) => (Some(*status), None),
        Answer::Error(error) => (None, Some(error)),
    }
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        Self::new(error.code(), error.to_string()).because(error)
    }
}
