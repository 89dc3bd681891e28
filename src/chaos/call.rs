//! Call: one JSON-RPC call from its arrival to its answer.
//!
//! Owns the order of things: limits, delay and hold, what is answered instead, the node, what is answered in its place, what is
//! altered. Knows nothing of connections.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{
    Fault, Shared, alter,
    fault::{Seen, Which},
    limits::TryIn,
    node::Reply,
    plan::{Hit, Side, Tip},
    refusal,
};

/// What the client gets.
pub(super) enum Outcome {
    Reply(Reply),
    Silence,
    Close,
}

impl From<Seen> for Outcome {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Silence => Self::Silence,
            Seen::Close => Self::Close,
        }
    }
}

/// A call as it came in.
pub(super) struct Call {
    method: String,
    id: Value,
    params: Value,
    raw: Bytes,
}

impl Call {
    /// What cannot be read as a call goes to the node as it is, under no method's name.
    pub fn new(call: &Value, raw: Bytes) -> Self {
        let field = |name: &str| call.get(name).cloned().unwrap_or_default();
        Self {
            method: field("method").as_str().unwrap_or_default().to_owned(),
            id: field("id"),
            params: field("params"),
            raw,
        }
    }

    /// Carries it out, with whatever befalls it.
    pub async fn answer(&self, shared: &Shared) -> Outcome {
        shared.counts.call(&self.method);
        if let Err(TryIn(seconds)) = shared.gate.call(&self.method) {
            shared.counts.limited(&self.method);
            return Outcome::Reply(refusal::too_many(&self.id, Some(seconds)));
        }
        let signature = if self.method == "sendTransaction" { refusal::signature(&self.params) } else { None };
        let hits = shared.plan.hits(Side::Http, &self.method, signature.as_deref());
        if !hits.is_empty() {
            shared.counts.fault(&self.method);
        }
        for hit in &hits {
            match hit.fault() {
                Fault::Delay { min, max } => tokio::time::sleep(hit.within(*min, *max)).await,
                Fault::Hold { forward: false } => shared.plan.ended(hit.id).await,
                _ => {}
            }
        }
        let outcome = match self.instead(shared, &hits, signature.as_deref()).await {
            Some(outcome) => outcome,
            None => self.ask_node(shared, &hits).await,
        };
        if matches!(&outcome, Outcome::Reply(reply) if reply.status == 429) {
            shared.counts.limited(&self.method);
        }
        outcome
    }

    /// What is answered without the node.
    async fn instead(&self, shared: &Shared, hits: &[Hit], signature: Option<&str>) -> Option<Outcome> {
        for hit in hits {
            let reply = match hit.fault() {
                Fault::Drop { seen, forward: false } => return Some((*seen).into()),
                Fault::TooManyRequests { retry_after } => Some(refusal::too_many(&self.id, *retry_after)),
                Fault::Refuse(kind) => Some(refusal::refusal(&self.id, &self.params, *kind)),
                Fault::Swallow => signature.map(|signature| refusal::result(&self.id, json!(signature))),
                Fault::Late(lateness) => match signature {
                    Some(signature) => {
                        shared.late.keep(shared, self.raw.clone(), &self.params, *lateness, hit).await;
                        Some(refusal::result(&self.id, json!(signature)))
                    }
                    None => None,
                },
                Fault::Lag { slots } => self.not_reached(shared, *slots).await,
                _ => None,
            };
            if let Some(reply) = reply {
                return Some(Outcome::Reply(reply));
            }
        }
        None
    }

    /// The refusal of a node that is `slots` behind, when the call demands a slot it has not reached.
    async fn not_reached(&self, shared: &Shared, slots: u64) -> Option<Reply> {
        let demanded = alter::min_context_slot(&self.params)?;
        let reached = shared.node.slot(alter::commitment(&self.params)).await?.saturating_sub(slots);
        (reached < demanded).then(|| refusal::behind(&self.id, reached))
    }

    /// What the node answers, and what becomes of that.
    async fn ask_node(&self, shared: &Shared, hits: &[Hit]) -> Outcome {
        let mut reply = shared.node.forward(self.raw.clone()).await;
        for hit in hits {
            match hit.fault() {
                Fault::Duplicate { answer } => {
                    let second = shared.node.forward(self.raw.clone()).await;
                    if *answer == Which::Second {
                        reply = second;
                    }
                }
                Fault::AcceptThen502 => return Outcome::Reply(refusal::bad_gateway()),
                Fault::Drop { seen, .. } => return (*seen).into(),
                Fault::Hold { forward: true } => shared.plan.ended(hit.id).await,
                _ => {}
            }
        }
        if self.method == "getLatestBlockhash" || hits.iter().any(|hit| alters(hit.fault())) {
            self.altered(shared, hits, &mut reply).await;
        }
        Outcome::Reply(reply)
    }

    async fn altered(&self, shared: &Shared, hits: &[Hit], reply: &mut Reply) {
        let Ok(mut answer) = serde_json::from_slice::<Value>(&reply.body) else { return };
        let Some(result) = answer.get_mut("result") else { return };
        if self.method == "getLatestBlockhash" {
            shared.node.remember(result);
        }
        let older = |slot| shared.node.blockhash_at(slot);
        for hit in hits {
            match hit.fault() {
                Fault::Hide { signatures } => alter::hide(&self.method, &self.params, signatures, result),
                Fault::ForkedError { error } => alter::fork(error, result),
                Fault::NotRun => {
                    let slot = shared.node.slot("confirmed").await.unwrap_or_default();
                    alter::not_run(&self.method, &self.params, slot, result);
                }
                Fault::HeightBack { by } => alter::height_back(*by, result),
                Fault::Lag { slots } => {
                    let newest =
                        if self.method == "getTransaction" { shared.node.slot("confirmed").await } else { None };
                    alter::lag(&self.method, *slots, newest, older, result);
                }
                Fault::FinalityStops => {
                    if let Some(tip) = stopped_at(shared, hit).await {
                        alter::stop_finality(&self.method, &self.params, tip, older, result);
                    }
                }
                _ => {}
            }
        }
        if hits.iter().any(|hit| alters(hit.fault())) {
            reply.body = Bytes::from(answer.to_string());
        }
    }
}

const fn alters(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Hide { .. }
            | Fault::ForkedError { .. }
            | Fault::NotRun
            | Fault::HeightBack { .. }
            | Fault::Lag { .. }
            | Fault::FinalityStops
    )
}

/// Where finality stands since the rule's first call.
async fn stopped_at(shared: &Shared, hit: &Hit) -> Option<Tip> {
    if let Some(tip) = shared.plan.frozen(hit.id) {
        return Some(tip);
    }
    // Not getEpochInfo: the embedded chain answers it for the newest block whatever the commitment. The height is read
    // first, so that the slot is at or after its block.
    let finalized = json!([{"commitment": "finalized"}]);
    let height = shared.node.ask("getBlockHeight", finalized).await?.as_u64()?;
    let tip = Tip { slot: shared.node.slot("finalized").await?, height };
    Some(shared.plan.freeze(hit.id, tip))
}
