//! Orders that wait for a person.

use utoipa::ToSchema;

use crate::{
    api::views::SetAsideView,
    domain::{OrderId, Status},
};

/// An order that waits for a person.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLetterView {
    id: OrderId,
    status: Status,
    token_in: String,
    token_out: String,
    #[schema(required)]
    tx_hash: Option<String>,
    set_aside: SetAsideView<'static>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of them, newest first.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLettersPage {
    dead_letters: Vec<DeadLetterView>,
    /// What `cursor` takes for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<OrderId>,
}

/// An order that goes on.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    id: OrderId,
    replayed: bool,
}
