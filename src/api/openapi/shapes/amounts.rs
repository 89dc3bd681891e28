//! Amounts, and which side of a swap is exact.

use utoipa::ToSchema;

use crate::domain::BaseUnits;

/// An amount in both of its forms.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Base units.
    base: BaseUnits,
    /// Whole tokens, as a decimal.
    #[schema(example = "1.5")]
    ui: String,
}

/// Both sides of a swap.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sides {
    amount_in: Amount,
    amount_out: Amount,
}

/// Which side of a swap is exact.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    ExactIn,
    ExactOut,
}
