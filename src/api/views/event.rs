//! The view of an event, as frame and as history.
//!
//! It keeps the shape in which it is stored, and gains what a reader would otherwise have to look up.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Views, price};
use crate::domain::{OrderEvent, StoredEvent};

/// Room that most frames fit into: grown from nothing, one would be moved five times.
const FRAME: usize = 1_024;

/// An event with `txHash` and `explorerUrl` where it names the live signature, and `executionPrice` where it says what was
/// moved.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView<'a> {
    #[serde(flatten)]
    event: &'a StoredEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    tx_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explorer_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_price: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

impl Views {
    /// A stored event.
    pub fn event(&self, event: &StoredEvent) -> Value {
        json!(self.event_view(event))
    }

    /// A stored event as text, written without a detour: frames are made by the thousand.
    pub fn event_text(&self, event: &StoredEvent) -> String {
        let mut text = Vec::with_capacity(FRAME);
        serde_json::to_writer(&mut text, &self.event_view(event)).expect("an event has only string keys");
        text.shrink_to_fit();
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    fn event_view<'a>(&self, event: &'a StoredEvent) -> EventView<'a> {
        let signature = match &event.event {
            OrderEvent::Signed { attempt } => Some(attempt.signature),
            OrderEvent::Sent { signature } => Some(*signature),
            OrderEvent::Landed { landing, .. } | OrderEvent::Rejected { landing, .. } => Some(landing.signature),
            _ => None,
        };
        let fill = match &event.event {
            OrderEvent::Landed { fill: Some(fill), .. }
            | OrderEvent::Settled { fill, .. }
            | OrderEvent::PaperFilled { fill, .. } => Some(fill),
            _ => None,
        };
        let decimals = |symbol: &str| Some(self.rules.token(symbol)?.decimals);
        EventView {
            event,
            tx_hash: signature.map(|signature| signature.to_string()),
            explorer_url: signature.map(|signature| self.explorer_url(&signature)),
            execution_price: fill
                .and_then(|fill| Some(price(fill, decimals(&event.token_in)?, decimals(&event.token_out)?))),
            outcome: matches!(event.event, OrderEvent::OutcomeUnknown { .. }).then_some("unknown"),
            simulated: matches!(event.event, OrderEvent::PaperFilled { .. }).then_some(true),
        }
    }
}
