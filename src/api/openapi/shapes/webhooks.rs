//! What is answered about webhooks.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Content, Ref, RefOr, Response, ResponseBuilder, link::Link},
};

use crate::{
    api::openapi::{text_header, words::EventName},
    domain::{OrderId, Status},
    store::webhooks::{DeliveryId, DeliveryState, WebhookId},
};

/// Who is told of events, and how far that is.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    id: WebhookId,
    /// Where events are posted to; to a key with the scope `read` only its scheme and host.
    url: String,
    description: String,
    /// Only events with these names; empty: all.
    #[schema(value_type = Vec<EventName>)]
    events: Vec<String>,
    /// Only events that leave their order in one of these; empty: all.
    statuses: Vec<Status>,
    /// Only events of these orders; empty: all.
    order_ids: Vec<OrderId>,
    enabled: bool,
    /// Why it is not, and since when.
    #[schema(required)]
    disabled: Option<DisabledBecause>,
    /// Every event up to here was delivered, waits, or is not wanted.
    cursor: u64,
    /// Deliveries that wait.
    pending: u64,
    /// Since when the oldest of them waits.
    #[schema(required, format = DateTime)]
    oldest_pending_at: Option<String>,
    /// Since when nothing has got through.
    #[schema(required, format = DateTime)]
    failing_since: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Why a webhook is disabled.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisabledBecause {
    reason: String,
    #[schema(format = DateTime)]
    at: String,
}

/// A webhook that was made.
#[derive(ToSchema)]
pub struct WebhookMade {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What its deliveries are signed with. Shown here and never again.
    #[schema(example = "whsec_9vYkQ1...")]
    secret: String,
}

/// All webhooks, oldest first.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookList {
    webhooks: Vec<WebhookView>,
}

/// A page of a webhook's log, newest first.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveriesPage {
    deliveries: Vec<DeliveryView>,
    /// What `cursor` takes for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<DeliveryId>,
}

/// One event for one webhook.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeliveryView {
    /// As in the header `Swapd-Delivery-Id`.
    id: DeliveryId,
    state: DeliveryState,
    /// The event's place among those of all orders.
    cursor: u64,
    order_id: OrderId,
    seq: u64,
    #[schema(value_type = EventName)]
    event: String,
    /// The status it left its order in.
    status: Status,
    /// When it is tried next; null unless it waits.
    #[schema(required, format = DateTime)]
    next_try_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Its tries, oldest first, the newest 50.
    attempts: Vec<TryView>,
}

/// One try.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TryView {
    n: u32,
    #[schema(format = DateTime)]
    at: String,
    /// The receiver's HTTP status; null when there was no answer.
    #[schema(required)]
    status: Option<u16>,
    /// Why there was no answer.
    #[schema(required)]
    error: Option<String>,
    duration_ms: u64,
}

/// A delivery that is made once more.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redelivering {
    id: DeliveryId,
    state: DeliveryState,
}

/// What came of a test.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tested {
    /// Whether the receiver answered with 2xx.
    delivered: bool,
    /// The receiver's HTTP status; null when there was no answer.
    #[schema(required)]
    status: Option<u16>,
    /// Why there was no answer.
    #[schema(required)]
    error: Option<String>,
    duration_ms: u64,
}

/// The answer to a webhook that is asked for.
pub struct Made;

impl IntoResponses for Made {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut made = ResponseBuilder::new()
            .description("It is stored; the secret is shown only here")
            .content("application/json", Content::new(Some(Ref::from_schema_name("WebhookMade"))))
            .header("Location", text_header("The webhook's path"));
        for operation in ["showWebhook", "changeWebhook", "testWebhook", "listDeliveries", "deleteWebhook"] {
            let link = Link::builder().operation_id(operation).parameter("webhookId", "$response.body#/id").build();
            made = made.link(operation, link);
        }
        [("201".to_owned(), made.build().into())].into()
    }
}
