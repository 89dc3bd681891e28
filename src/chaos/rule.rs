//! Rule: which messages a fault befalls, and when, as data that a TOML file can hold.
//!
//! Owns the form of a rule and the check that it makes sense. Never counts, draws or carries anything out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ChaosError, Fault};

/// One fault, the methods it befalls and the calls among them.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// JSON-RPC methods as they are on the wire, for sockets also notifications. Empty: all that the fault can befall.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Which of these calls.
    #[serde(default)]
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
    /// The rule ends this long after it was added; without it, when it is removed.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// Which of a rule's calls are befallen. They are counted from one, for each rule by itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// Each one.
    #[default]
    Always,
    /// The first one.
    Once,
    /// The first n.
    Times(u64),
    /// All but the first n.
    AfterCalls(u64),
    /// Each nth: the nth, the 2nth and so on.
    Every(u64),
    /// This many of a thousand, drawn from the seed, the rule's number and the call's number.
    PerMille(u16),
    /// This many of a thousand transactions, drawn from the seed, the rule's number and the signature: all sends of the
    /// same bytes have the same fate. Only sends are befallen.
    SignaturesPerMille(u16),
}

/// What a rules file holds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// In order: of two faults that both end a call, the earlier one does.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

impl Rule {
    /// `fault`, always and for ever, for all methods it can befall.
    pub const fn new(fault: Fault) -> Self {
        Self { methods: Vec::new(), when: When::Always, fault, lasts: None }
    }

    /// For these methods only.
    #[must_use]
    pub fn on(mut self, methods: &[&str]) -> Self {
        self.methods = methods.iter().map(|&method| method.to_owned()).collect();
        self
    }

    /// For these calls only.
    #[must_use]
    pub const fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    /// For this long only.
    #[must_use]
    pub const fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }

    /// Whether a message with this method is one of the rule's.
    pub(super) fn concerns(&self, method: &str) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|named| named == method)) && self.fault.befalls(method)
    }

    /// # Errors
    /// When the rule could never do what it says.
    pub(super) fn check(&self) -> Result<(), ChaosError> {
        let wrong = |reason: String| Err(ChaosError::Rule(reason));
        match self.when {
            When::PerMille(share) | When::SignaturesPerMille(share) if share > 1_000 => {
                return wrong(format!("{share} of a thousand calls"));
            }
            When::Every(0) => return wrong("every 0th call".into()),
            _ => {}
        }
        if let Some(method) = self.methods.iter().find(|method| !self.fault.befalls(method)) {
            return wrong(format!("the fault cannot befall {method}"));
        }
        self.fault.check()
    }
}

impl When {
    /// Whether the rule's `nth` call (from one) is befallen. `drawn` is below a thousand, for the call or for the
    /// signature.
    pub(super) const fn holds(self, nth: u64, drawn: u16) -> bool {
        match self {
            Self::Always => true,
            Self::Once => nth == 1,
            Self::Times(n) => nth <= n,
            Self::AfterCalls(n) => nth > n,
            Self::Every(n) => n != 0 && nth.is_multiple_of(n),
            Self::PerMille(share) | Self::SignaturesPerMille(share) => drawn < share,
        }
    }
}

impl Rules {
    /// Reads a TOML file of `[[rules]]`.
    ///
    /// # Errors
    /// When there is no such file, or a key in it is unknown, missing or of the wrong type, or a rule makes no sense.
    pub fn read(path: &std::path::Path) -> Result<Self, ChaosError> {
        use figment::providers::{Format, Toml};

        if !path.is_file() {
            return Err(ChaosError::NoFile(path.to_owned()));
        }
        let rules: Self = figment::Figment::from(Toml::file_exact(path))
            .extract()
            .map_err(|error| ChaosError::Rule(error.to_string()))?;
        rules.rules.iter().try_for_each(Rule::check)?;
        Ok(rules)
    }
}
