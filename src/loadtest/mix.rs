//! Mix: which orders a load consists of, the same ones for the same seed.
//!
//! Owns the notation (`SOL/USDC=3,USDC/SOL:out@0.5..2=1`) and the draw. An order depends only on the seed and its number,
//! so that clients may draw in any order and a lost answer can be asked for again with the same body.

use std::{fmt, str::FromStr};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;

use crate::domain::BaseUnits;

/// What is drawn where no amount is said: whole tokens of the exact side.
const DEFAULT_AMOUNT: (&str, &str) = ("0.001", "0.01");

/// Why a mix makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// Not of the form.
    #[error(
        "`{0}` is no part of a mix: write IN/OUT, then `:out` for an exact output, `@MIN..MAX` for the amount, `=WEIGHT`"
    )]
    Malformed(String),
    /// The daemon does not trade it.
    #[error("the daemon has no token {0}")]
    UnknownToken(String),
    /// Not an amount of this token.
    #[error("`{text}` is no amount of {symbol}: it {reason}")]
    Amount {
        /// Of which token.
        symbol: String,
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Which side of a swap is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exact {
    In,
    Out,
}

/// One kind of order, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    token_in: String,
    token_out: String,
    exact: Exact,
    amount: (String, String),
    weight: u32,
}

/// A mix as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MixText(Vec<Kind>);

impl FromStr for MixText {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        text.split(',')
            .map(|part| kind(part).ok_or_else(|| MixError::Malformed(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn kind(part: &str) -> Option<Kind> {
    let (rest, weight) = part.trim().split_once('=').unwrap_or((part.trim(), "1"));
    let (rest, amount) = rest
        .split_once('@')
        .map_or((rest, DEFAULT_AMOUNT), |(rest, amount)| (rest, amount.split_once("..").unwrap_or((amount, amount))));
    let (pair, exact) = match rest.strip_suffix(":out") {
        Some(pair) => (pair, Exact::Out),
        None => (rest.strip_suffix(":in").unwrap_or(rest), Exact::In),
    };
    let (token_in, token_out) = pair.split_once('/')?;
    let named = !token_in.is_empty() && !token_out.is_empty() && !rest.ends_with(':');
    Some(Kind {
        token_in: token_in.to_owned(),
        token_out: token_out.to_owned(),
        exact,
        amount: (amount.0.to_owned(), amount.1.to_owned()),
        weight: weight.parse().ok().filter(|weight| *weight > 0 && named)?,
    })
}

impl fmt::Display for MixText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, kind) in self.0.iter().enumerate() {
            let Kind { token_in, token_out, exact, amount: (least, most), weight } = kind;
            let exact = if *exact == Exact::Out { ":out" } else { "" };
            write!(f, "{}{token_in}/{token_out}{exact}@{least}..{most}={weight}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A mix with the daemon's decimals.
#[derive(Clone, Debug)]
pub struct Mix {
    kinds: Vec<(Kind, u64, u64)>,
    weights: u64,
    seed: u64,
    wallets: Vec<String>,
    slippage_bps: Option<u16>,
}

impl Mix {
    /// Reads the amounts. `decimals` says what the daemon knows of a symbol. Orders name `wallets` in turn, if there are
    /// any.
    ///
    /// # Errors
    /// When a token is unknown or an amount is none of it.
    pub fn new(
        text: &MixText,
        decimals: impl Fn(&str) -> Option<u8>,
        seed: u64,
        wallets: Vec<String>,
        slippage_bps: Option<u16>,
    ) -> Result<Self, MixError> {
        let known = |symbol: &str| decimals(symbol).ok_or_else(|| MixError::UnknownToken(symbol.to_owned()));
        let read = |kind: &Kind| {
            let sides = (known(&kind.token_in)?, known(&kind.token_out)?);
            let (symbol, decimals) =
                if kind.exact == Exact::In { (&kind.token_in, sides.0) } else { (&kind.token_out, sides.1) };
            let amount = |text: &str| {
                BaseUnits::from_ui(text, decimals).map(BaseUnits::get).map_err(|error| MixError::Amount {
                    symbol: symbol.clone(),
                    text: text.to_owned(),
                    reason: error.to_string(),
                })
            };
            let (one, other) = (amount(&kind.amount.0)?, amount(&kind.amount.1)?);
            Ok((kind.clone(), one.min(other), one.max(other)))
        };
        let kinds = text.0.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let weights = kinds.iter().map(|(kind, ..)| u64::from(kind.weight)).sum();
        Ok(Self { kinds, weights, seed, wallets, slippage_bps })
    }

    /// The body of order number `n`.
    pub fn body(&self, n: u64) -> String {
        let mut draw = StdRng::seed_from_u64(self.seed.rotate_left(32) ^ n);
        let mut ticket = draw.random_range(0..self.weights);
        let chosen = self.kinds.iter().find(|(kind, ..)| {
            let here = ticket < u64::from(kind.weight);
            ticket = ticket.saturating_sub(kind.weight.into());
            here
        });
        let (kind, least, most) = chosen.expect("the ticket is below the sum of the weights");
        let amount = draw.random_range(*least..=*most).to_string();
        let mut body = json!({"tokenIn": kind.token_in, "tokenOut": kind.token_out});
        body[if kind.exact == Exact::In { "amountInBase" } else { "amountOutBase" }] = json!(amount);
        if !self.wallets.is_empty() {
            let turn = usize::try_from(n % self.wallets.len() as u64).expect("less than a length");
            body["wallet"] = json!(self.wallets[turn]);
        }
        if let Some(slippage) = self.slippage_bps {
            body["slippageBps"] = json!(slippage);
        }
        body.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn mix(text: &str, seed: u64, wallets: &[&str]) -> Mix {
        let decimals = |symbol: &str| match symbol {
            "SOL" => Some(9),
            "USDC" => Some(6),
            _ => None,
        };
        let wallets = wallets.iter().map(|wallet| (*wallet).to_owned()).collect();
        Mix::new(&text.parse().unwrap(), decimals, seed, wallets, None).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_orders_in_any_sequence() {
        let (one, other) = (mix("SOL/USDC=3,USDC/SOL", 7, &[]), mix("SOL/USDC=3,USDC/SOL", 7, &[]));
        let forth: Vec<_> = (0..100).map(|n| one.body(n)).collect();
        let mut back: Vec<_> = (0..100).rev().map(|n| other.body(n)).collect();
        back.reverse();
        assert_eq!(forth, back);
        assert_ne!(forth[0], mix("SOL/USDC=3,USDC/SOL", 8, &[]).body(0));
    }

    #[test]
    fn weights_amounts_and_wallets_are_kept() {
        let mix = mix("SOL/USDC@0.5..2=3,USDC/SOL:out@0.25=1", 1, &["a", "b"]);
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for n in 0..4_000 {
            let body: Value = serde_json::from_str(&mix.body(n)).unwrap();
            assert_eq!(body["wallet"], if n % 2 == 0 { "a" } else { "b" });
            *seen.entry(body["tokenIn"].as_str().unwrap().to_owned()).or_default() += 1;
            match body["amountInBase"].as_str() {
                Some(amount) => assert!((500_000_000..=2_000_000_000).contains(&amount.parse::<u64>().unwrap())),
                None => assert_eq!((&body["tokenOut"], &body["amountOutBase"]), (&json!("SOL"), &json!("250000000"))),
            }
        }
        assert!((2_800..3_200).contains(&seen["SOL"]), "three of four: {seen:?}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for text in ["", "SOL", "SOL/", "SOL/USDC=0", "SOL/USDC=x", "/USDC", "SOL/USDC:", "SOL/USDC,,"] {
            assert!(matches!(text.parse::<MixText>(), Err(MixError::Malformed(_))), "{text}");
        }
        let read = |text: &str| {
            Mix::new(&text.parse().unwrap(), |it| (it == "SOL" || it == "USDC").then_some(6), 1, Vec::new(), None)
        };
        assert_eq!(read("SOL/BONK").unwrap_err(), MixError::UnknownToken("BONK".into()));
        assert!(matches!(read("SOL/USDC@0..1"), Err(MixError::Amount { .. })));
        assert!(matches!(read("SOL/USDC@0.0000001"), Err(MixError::Amount { .. })));
        assert_eq!("SOL/USDC".parse::<MixText>().unwrap().to_string(), "SOL/USDC@0.001..0.01=1");
    }
}
