//! Amounts with their units: base units, lamports, basis points, slots and block heights.
//!
//! Integers only; u128 in between; the rounding is in the name. Floats do not exist here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// What is wrong with an amount somebody typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal number.
    #[error("is not a decimal number")]
    NotANumber,
    /// Zero or below.
    #[error("must be above zero")]
    NotPositive,
    /// More fractional digits than the mint has.
    #[error("has more than {0} decimals, which is all this token has")]
    TooManyDecimals(u8),
    /// Does not fit in 64 bits of base units.
    #[error("is larger than a token amount can be")]
    TooLarge,
    /// Above the unit's maximum (10 000 bps).
    #[error("is above 10000 basis points")]
    TooManyBps,
}

/// A token amount in the mint's smallest unit. Crosses JSON as a string: JavaScript loses integers above 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "1500000")]
pub struct BaseUnits(u64);

impl BaseUnits {
    /// No tokens.
    pub const ZERO: Self = Self(0);

    /// Wraps a raw amount read from an account or an instruction.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The raw amount.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// True when there is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Parses a decimal number of whole tokens (`"1.5"`, `"1e-3"`) exactly, for a mint with `decimals`.
    ///
    /// # Errors
    /// When the text is no number, is not above zero, has too many decimals or does not fit.
    pub fn from_ui(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let text = text.trim();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| AmountError::NotANumber)?),
            None => (text, 0),
        };
        let negative = mantissa.starts_with('-');
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if (whole.is_empty() && fraction.is_empty())
            || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return Err(AmountError::NotANumber);
        }
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if negative || digits.is_empty() {
            return Err(AmountError::NotPositive);
        }
        let fraction_len = i64::try_from(fraction.len()).map_err(|_| AmountError::TooLarge)?;
        // value = digits * 10^shift base units
        let shift = i64::from(decimals) + i64::from(exponent) - fraction_len;
        let text = if shift >= 0 {
            let zeros = usize::try_from(shift).map_err(|_| AmountError::TooLarge)?;
            if digits.len() + zeros > 20 {
                return Err(AmountError::TooLarge);
            }
            format!("{digits}{}", "0".repeat(zeros))
        } else {
            let cut = usize::try_from(-shift).map_err(|_| AmountError::TooManyDecimals(decimals))?;
            let trailing = digits.len() - digits.trim_end_matches('0').len();
            if cut > trailing {
                return Err(AmountError::TooManyDecimals(decimals));
            }
            digits[..digits.len() - cut].to_owned()
        };
        text.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// The amount in whole tokens, without trailing zeros: for people and JSON decimals, never for maths.
    pub fn to_ui(self, decimals: u8) -> String {
        let width = usize::from(decimals) + 1;
        let digits = format!("{:0width$}", self.0);
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(decimals));
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }

    /// The least an exact-input swap may return. Rounds up, so rounding never weakens the user's bound.
    pub fn min_out(self, slippage: Bps) -> Self {
        let kept = u128::from(10_000 - slippage.get()); // a Bps is at most 10_000 by construction
        let least = (u128::from(self.0) * kept).div_ceil(10_000);
        Self(u64::try_from(least).expect("a share of a u64 fits in a u64"))
    }

    /// The most an exact-output swap may cost. Rounds down, so rounding never weakens the user's bound;
    /// saturates at the largest amount there is.
    pub fn max_in(self, slippage: Bps) -> Self {
        let most = u128::from(self.0) * u128::from(10_000 + u32::from(slippage.get())) / 10_000;
        Self(u64::try_from(most).unwrap_or(u64::MAX))
    }

    /// Sum, or `None` above 2^64 - 1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, or `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for BaseUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BaseUnits {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(if text.starts_with('-') { AmountError::NotPositive } else { AmountError::NotANumber });
        }
        text.parse().map(Self).map_err(|_| AmountError::TooLarge)
    }
}

impl Serialize for BaseUnits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BaseUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Decimals of SOL: a lamport is 10^-9 of it.
pub const SOL_DECIMALS: u8 = 9;

/// Lamports: the base units of SOL that pay fees and rent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Lamports(u64);

impl Lamports {
    /// Wraps a raw lamport amount.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The raw lamport amount.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Sum; saturates, because what is compared with a balance may only err on the large side.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Lamports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Basis points, 0 to 10 000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Bps(u16);

impl Bps {
    /// Checks the range.
    ///
    /// # Errors
    /// Above 10 000.
    pub const fn new(raw: u16) -> Result<Self, AmountError> {
        if raw > 10_000 { Err(AmountError::TooManyBps) } else { Ok(Self(raw)) }
    }

    /// The raw number of basis points.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// `part / whole` in basis points, rounded up and capped at 10 000; 0 when `whole` is 0.
    pub fn ratio_ceil(part: u128, whole: u128) -> Self {
        if whole == 0 {
            return Self(0);
        }
        let bps = part.saturating_mul(10_000).div_ceil(whole).min(10_000);
        Self(u16::try_from(bps).expect("capped at 10 000"))
    }
}

impl<'de> Deserialize<'de> for Bps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u16::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for Bps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bps", self.0)
    }
}

/// A slot number: counts leader turns, also the skipped ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Slot(pub u64);

/// A block height: counts blocks. This, not the slot, bounds the life of a blockhash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct BlockHeight(pub u64);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which way a division gives up its remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Towards zero.
    Down,
    /// Away from zero.
    Up,
}

/// `a * b / c` in u128; `None` when the product overflows or `c` is zero.
pub fn mul_div(a: u128, b: u128, c: u128, rounding: Rounding) -> Option<u128> {
    let product = a.checked_mul(b)?;
    if c == 0 {
        return None;
    }
    Some(match rounding {
        Rounding::Down => product / c,
        Rounding::Up => product.div_ceil(c),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ui_amounts_parse_exactly() {
        for (text, decimals, base) in [
            ("1", 9, 1_000_000_000),
            ("1.5", 6, 1_500_000),
            ("0.000001", 6, 1),
            (".5", 1, 5),
            ("1e-3", 9, 1_000_000),
            ("1.50E1", 0, 15),
            ("0.1000000000", 1, 1),
            ("18446744073709551615", 0, u64::MAX),
        ] {
            assert_eq!(BaseUnits::from_ui(text, decimals), Ok(BaseUnits(base)), "{text}");
        }
    }

    #[test]
    fn bad_ui_amounts_say_what_is_wrong() {
        for (text, error) in [
            ("", AmountError::NotANumber),
            (".", AmountError::NotANumber),
            ("NaN", AmountError::NotANumber),
            ("inf", AmountError::NotANumber),
            ("1,5", AmountError::NotANumber),
            ("0x10", AmountError::NotANumber),
            ("0", AmountError::NotPositive),
            ("-1", AmountError::NotPositive),
            ("0.0000001", AmountError::TooManyDecimals(6)),
            ("18446744073709.551616", AmountError::TooLarge),
            ("1e400", AmountError::TooLarge),
            ("1e-400", AmountError::TooManyDecimals(6)),
        ] {
            assert_eq!(BaseUnits::from_ui(text, 6), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ui_text_round_trips(raw in 1_u64.., decimals in 0_u8..19) {
            let amount = BaseUnits(raw);
            prop_assert_eq!(BaseUnits::from_ui(&amount.to_ui(decimals), decimals), Ok(amount));
        }

        #[test]
        fn bounds_never_loosen_by_rounding(raw in any::<u64>(), bps in 0_u16..=10_000) {
            let slippage = Bps(bps);
            let exact = u128::from(raw) * u128::from(10_000 - bps);
            prop_assert!(u128::from(BaseUnits(raw).min_out(slippage).get()) * 10_000 >= exact);
            let most = u128::from(raw) * u128::from(10_000 + u32::from(bps));
            prop_assert!(u128::from(BaseUnits(raw).max_in(slippage).get()) * 10_000 <= most);
        }
    }
}
