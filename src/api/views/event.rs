//! The view of an event, as frame and as history.
//!
//! It keeps the shape in which it is stored, and gains what a reader would otherwise have to look up.

use serde_json::{Value, json};

use super::{Views, price};
use crate::domain::{OrderEvent, StoredEvent};

impl Views {
    /// A stored event, as frame and as history: with `txHash` and `explorerUrl` where it names the live signature,
    /// and `executionPrice` where it says what was moved.
    pub fn event(&self, event: &StoredEvent) -> Value {
        let mut view = json!(event);
        let signature = match &event.event {
            OrderEvent::Signed { attempt } => Some(attempt.signature),
            OrderEvent::Sent { signature } => Some(*signature),
            OrderEvent::Landed { landing, .. } | OrderEvent::Rejected { landing, .. } => Some(landing.signature),
            _ => None,
        };
        if let Some(signature) = signature {
            view["txHash"] = json!(signature.to_string());
            view["explorerUrl"] = json!(self.explorer_url(&signature));
        }
        let fill = match &event.event {
            OrderEvent::Landed { fill: Some(fill), .. }
            | OrderEvent::Settled { fill, .. }
            | OrderEvent::PaperFilled { fill, .. } => Some(fill),
            _ => None,
        };
        if let Some(fill) = fill
            && let (Some(token_in), Some(token_out)) =
                (self.rules.token(&event.token_in), self.rules.token(&event.token_out))
        {
            view["executionPrice"] = json!(price(fill, token_in.decimals, token_out.decimals));
        }
        if let OrderEvent::OutcomeUnknown { .. } = event.event {
            view["outcome"] = json!("unknown");
        }
        if let OrderEvent::PaperFilled { .. } = event.event {
            view["simulated"] = json!(true);
        }
        view
    }
}
