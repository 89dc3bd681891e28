//! Amounts, prices and times as our JSON writes them.
//!
//! Owns their text. Calculates in integers, rounds down, and gives digits up only where an older client wants a number.

use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use crate::domain::{BaseUnits, Fill, Lamports, SOL_DECIMALS};

/// Digits of a price that mean something.
const SIGNIFICANT_DIGITS: usize = 12;
/// Decimals of a price at most.
const MOST_DECIMALS: usize = 24;

/// An amount in both of its forms.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Base units.
    base: BaseUnits,
    /// Whole tokens, as a decimal.
    #[schema(example = "1.5")]
    ui: String,
}

/// Both sides of a swap.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sides {
    /// What is paid.
    pub amount_in: Amount,
    /// What is received.
    pub amount_out: Amount,
}

/// An amount of a token with so many decimals.
pub fn amount(amount: BaseUnits, decimals: u8) -> Amount {
    Amount { base: amount, ui: amount.to_ui(decimals) }
}

/// Lamports as SOL.
pub fn sol(lamports: Lamports) -> Amount {
    amount(BaseUnits::new(lamports.get()), SOL_DECIMALS)
}

/// What one whole input token brought in whole output tokens: 12 significant digits, rounded down. `None` when
/// nothing was paid.
pub fn price(fill: &Fill, dec_in: u8, dec_out: u8) -> Option<String> {
    // out / 10^dec_out divided by in / 10^dec_in
    let numerator = u128::from(fill.amount_out.get()).checked_mul(10_u128.checked_pow(dec_in.into())?)?;
    let denominator = u128::from(fill.amount_in.get()).checked_mul(10_u128.checked_pow(dec_out.into())?)?;
    ratio(numerator, denominator)
}

/// `numerator / denominator` as a decimal of 12 significant digits, rounded down.
pub fn ratio(numerator: u128, denominator: u128) -> Option<String> {
    let mut text = numerator.checked_div(denominator)?.to_string();
    let mut rest = numerator % denominator;
    let mut significant = if text == "0" { 0 } else { text.len() };
    let mut decimals = String::new();
    while rest > 0 && significant < SIGNIFICANT_DIGITS && decimals.len() < MOST_DECIMALS {
        rest = rest.checked_mul(10)?;
        let digit = rest / denominator;
        rest %= denominator;
        decimals.push_str(&digit.to_string());
        if significant > 0 || digit > 0 {
            significant += 1;
        }
    }
    let decimals = decimals.trim_end_matches('0');
    if !decimals.is_empty() {
        text = format!("{text}.{decimals}");
    }
    Some(text)
}

/// A decimal as the JSON number that older clients calculate with. The one place where digits may be lost.
pub fn number(decimal: &str) -> Value {
    serde_json::from_str(decimal).unwrap_or(Value::Null)
}

/// RFC 3339 in UTC.
pub fn timestamp(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(amount_in: u64, amount_out: u64) -> Fill {
        Fill { amount_in: BaseUnits::new(amount_in), amount_out: BaseUnits::new(amount_out) }
    }

    #[test]
    fn a_price_is_output_per_input_in_whole_tokens() {
        for (amount_in, dec_in, amount_out, dec_out, text) in [
            (1_000_000_000, 9, 150_000_000, 6, "150"),
            (2_000_000_000, 9, 301_500_000, 6, "150.75"),
            (150_000_000, 6, 1_000_000_000, 9, "0.00666666666666"),
            (3, 0, 1, 0, "0.333333333333"),
            (1_000_000_000_000, 5, 1, 9, "0.0000000000000001"),
            (1, 9, u64::MAX, 0, "18446744073709551615000000000"),
            (u64::MAX, 9, u64::MAX, 9, "1"),
            (7, 0, 0, 0, "0"),
        ] {
            assert_eq!(price(&fill(amount_in, amount_out), dec_in, dec_out).as_deref(), Some(text));
        }
        assert_eq!(price(&fill(0, 1), 9, 6), None);
        assert_eq!(price(&fill(1, 1), 255, 6), None, "a mint with absurd decimals has no price");
    }

    #[test]
    fn a_price_for_older_clients_is_a_json_number() {
        assert_eq!(number("150.25").to_string(), "150.25");
        assert_eq!(number("150").to_string(), "150");
        assert_eq!(number("0.00666666666666").as_f64(), Some(0.00666666666666));
    }

    #[test]
    fn an_amount_is_given_in_base_units_and_whole_tokens() {
        assert_eq!(json!(amount(BaseUnits::new(1_500_000), 6)), json!({ "base": "1500000", "ui": "1.5" }));
    }
}
