//! A kill at every step: after each kind of stored event, and between a store and its effect.
//!
//! The proxy makes the points exact. It holds the one call without which the order cannot go on, or hides the answer,
//! and the daemons die while the order stands there. That nothing more was stored before the death is checked too.

use std::time::Duration;

use serde_json::{Value, json};
use swapd::chaos::{Chaos, Fault, Lateness, Refusal, Rule, RuleId, When};

use super::{
    audit::Before,
    chain::Chain,
    fleet::{Backend, Fleet, Victims, proxy},
    load::{self, Client},
    report::{Findings, events},
};
use crate::support::{daemon::World, eventually};

/// At 25 ms a slot a blockhash dies within 4 s.
const SLOT: Duration = Duration::from_millis(25);
/// Few signers, so that they can be kept busy; short waits for what is withheld.
const SETTINGS: &str = "[engine]\nsigners = 2\nmax_signatures = 10\nunknown_after = \"300ms\"\n\
    details_within = \"200ms\"\n[router]\ndeadline = \"10s\"\n";
const SIGNERS: usize = 2;

const QUOTES: &str = "getMultipleAccounts";
const SIMULATION: &str = "simulateTransaction";
const SEND: &str = "sendTransaction";
const STATUSES: &str = "getSignatureStatuses";
const DETAILS: &str = "getTransaction";
const RECORDS: &str = "logsNotification";

/// An order, where it stood at a death, and how it has to end.
struct Expected {
    id: String,
    stood: &'static str,
    kill: usize,
    ends: &'static str,
}

/// A rule, and how many calls of its method had been befallen before it.
struct Befalling {
    rule: RuleId,
    method: &'static str,
    before: u64,
}

struct Stage<'a> {
    fleet: Fleet<'a>,
    backend: Backend,
    chaos: Chaos,
    chain: Chain,
    client: Client,
    whale: Value,
    count: u64,
    expected: Vec<Expected>,
}

/// Every step once.
pub async fn every_step(backend: Backend) -> Findings {
    let world = World::start(SLOT, 2).await;
    let before = Before::read(&world).await;
    let chaos = proxy(&world, "", 0).await;
    let mut setup = backend.setup(&world, SETTINGS).await;
    setup.endpoint = Some((chaos.rpc_url(), chaos.ws_url()));
    let fleet = Fleet::start(&world, setup, backend).await;
    let client = Client::new(fleet.url());
    let whale = load::whale(&world.wallets[1], true);
    let (chain, expected) = (Chain::of(&world), Vec::new());
    let mut stage = Stage { fleet, backend, chaos, chain, client, whale, count: 0, expected };

    stage.before_it_is_signed().await;
    stage.around_the_send().await;
    stage.while_it_is_watched().await;
    stage.once_it_has_landed().await;
    stage.once_it_was_rejected().await;
    stage.once_it_has_ended_otherwise().await;

    let mut audit = before.audit(&world, stage.fleet.api(), &stage.client.given()).await;
    for expected in &stage.expected {
        let order = audit.orders.iter().find(|order| order["id"] == *expected.id);
        let dead = stage.fleet.kills[expected.kill].dead;
        let stood = order.and_then(|order| events(order).take_while(|(_, _, at)| *at <= dead).last());
        let ends = order.and_then(|order| order["failure"]["code"].as_str().or(order["status"].as_str()));
        if stood.map(|(name, ..)| name) != Some(expected.stood) || ends != Some(expected.ends) {
            let (stood, ends) = (expected.stood, expected.ends);
            audit.violations.push(format!("killed at `{stood}` it had to end `{ends}`: {order:?}"));
        }
    }
    let counts = stage.chaos.counts();
    let findings = Findings::new("A kill at every step", backend, stage.fleet.kills.len(), audit);
    Findings { counts: Some(counts), ..findings }
}

impl Stage<'_> {
    async fn before_it_is_signed(&mut self) {
        let busy = self.befall(SIMULATION, Fault::Hold { forward: false });
        let workers = self.fleet.len().saturating_sub(1).max(1);
        for _ in 0..workers * SIGNERS {
            self.order().await;
        }
        self.reached(&busy, workers * SIGNERS).await;
        let id = self.order().await;
        self.dies_at(id, "created", "confirmed").await;

        self.befall(QUOTES, Fault::Hold { forward: false });
        let id = self.order().await;
        self.dies_at(id, "claimed", "confirmed").await;

        self.befall(SIMULATION, Fault::Hold { forward: false });
        let id = self.order().await;
        self.dies_at(id, "routed", "confirmed").await;

        let held = self.befall_when(SIMULATION, When::Once, Fault::Hold { forward: false });
        let id = self.tight_order().await;
        self.reached(&held, 1).await;
        self.whale_moves_the_price().await;
        self.befall(QUOTES, Fault::Hold { forward: false });
        self.chaos.remove(held.rule);
        self.dies_at(id, "requoted", "slippage_exceeded").await;

        self.befall(QUOTES, Fault::Refuse(Refusal::NodeUnhealthy));
        let id = self.order().await;
        self.dies_at(id, "retrying", "confirmed").await;
    }

    async fn around_the_send(&mut self) {
        // Stored, and on its way to the node for ever.
        let held = self.befall(SEND, Fault::Hold { forward: false });
        let id = self.order().await;
        self.reached(&held, 1).await;
        self.dies_at(id, "signed", "confirmed").await;

        // The node has it and it is in a block; that it was sent is not stored.
        self.befall(SEND, Fault::Hold { forward: true });
        let id = self.order().await;
        self.is_on_chain(&id).await;
        self.dies_at(id, "signed", "confirmed").await;

        self.befall(STATUSES, Fault::Hide { signatures: Vec::new() });
        let id = self.order().await;
        self.dies_at(id, "sent", "confirmed").await;
    }

    async fn while_it_is_watched(&mut self) {
        self.befall(STATUSES, Fault::Refuse(Refusal::NodeUnhealthy));
        let id = self.order().await;
        self.dies_at(id, "outcome_unknown", "confirmed").await;

        // It never reaches the node, and its death is proven.
        self.befall(SEND, Fault::Swallow);
        let id = self.order().await;
        self.stands_at(&id, "sent").await;
        self.befall(QUOTES, Fault::Hold { forward: false });
        self.dies_at(id, "expired", "confirmed").await;

        // It lands in its last blocks, of a daemon that was killed and started again meanwhile.
        self.befall(SEND, Fault::Late(Lateness::Expiry { min: -3, max: -3 }));
        let id = self.order().await;
        self.stands_at(&id, "sent").await;
        self.fleet.restart(Victims::All).await;
        assert_eq!(self.fleet.api().ended(&id).await["signatures"], 1, "it landed in time");
        self.chaos.clear();

        // Just too late: the same bytes reach the node when nothing can come of them.
        self.befall(SEND, Fault::Late(Lateness::Expiry { min: 0, max: 0 }));
        let id = self.order().await;
        self.dies_at_without_relief(&id, "sent", "confirmed").await;
        self.stands_at(&id, "expired").await;
        self.chaos.clear();
        self.fleet.api().ended(&id).await;
    }

    async fn once_it_has_landed(&mut self) {
        let id = self.order().await;
        self.dies_at(id, "landed", "confirmed").await;

        self.befall(RECORDS, Fault::LoseNotification);
        self.befall(DETAILS, Fault::Refuse(Refusal::NodeUnhealthy));
        let id = self.order().await;
        self.stands_at(&id, "landed").await;
        let (_, order) = self.fleet.api().get(&format!("/v1/orders/{id}")).await;
        assert_eq!(order["filled"], Value::Null, "without details");
        self.dies_at(id, "landed", "confirmed").await;

        self.befall(RECORDS, Fault::LoseNotification);
        let refused = self.befall(DETAILS, Fault::Refuse(Refusal::NodeUnhealthy));
        let id = self.order().await;
        self.stands_at(&id, "landed").await;
        self.chaos.remove(refused.rule);
        self.dies_at(id, "settled", "confirmed").await;
    }

    async fn once_it_was_rejected(&mut self) {
        // A signed transaction is held back while the price moves past its bound.
        let id = self.overtaken_order(|_| ()).await;
        self.dies_at(id, "rejected", "slippage_exceeded").await;

        // The same, and the daemon dies before it can know.
        let id = self
            .overtaken_order(|stage| {
                stage.befall(STATUSES, Fault::Hide { signatures: Vec::new() });
            })
            .await;
        let error = self.is_on_chain(&id).await;
        assert!(!error.is_null(), "it was to fail");
        self.stands_at(&id, "sent").await;
        self.dies_at(id, "sent", "slippage_exceeded").await;
    }

    async fn once_it_has_ended_otherwise(&mut self) {
        let id =
            self.client.order(&json!({"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1", "minOut": "1000"})).await;
        self.dies_at(id, "failed", "slippage_exceeded").await;

        self.befall(QUOTES, Fault::Hold { forward: false });
        let id = self.order().await;
        self.stands_at(&id, "claimed").await;
        let (status, answer) = self.fleet.api().post(&format!("/v1/orders/{id}/cancel"), &json!({})).await;
        assert_eq!(status, 200, "{answer}");
        self.dies_at(id, "cancelled", "cancelled").await;
    }

    /// An order whose transaction is sent when its bound no longer holds; `then` just before.
    async fn overtaken_order(&mut self, then: impl FnOnce(&Self)) -> String {
        let held = self.befall_when(SEND, When::Once, Fault::Hold { forward: false });
        let id = self.tight_order().await;
        self.reached(&held, 1).await;
        self.whale_moves_the_price().await;
        then(self);
        self.chaos.remove(held.rule);
        id
    }

    async fn order(&mut self) -> String {
        self.count += 1;
        self.client.order(&load::small(self.count * 5)).await
    }

    async fn tight_order(&mut self) -> String {
        self.count += 1;
        self.client.order(&load::tight(self.count)).await
    }

    async fn whale_moves_the_price(&self) {
        let id = self.client.order(&self.whale).await;
        assert_eq!(self.fleet.api().ended(&id).await["status"], "confirmed");
    }

    fn befall(&self, method: &'static str, fault: Fault) -> Befalling {
        self.befall_when(method, When::Always, fault)
    }

    fn befall_when(&self, method: &'static str, when: When, fault: Fault) -> Befalling {
        let before = self.chaos.counts().of(method).faults;
        let rule = self.chaos.add(Rule::new(fault).on(&[method]).when(when)).unwrap();
        Befalling { rule, method, before }
    }

    /// Waits until so many calls have been befallen.
    async fn reached(&self, befalling: &Befalling, calls: usize) {
        let Befalling { method, before, .. } = befalling;
        eventually(&format!("{calls} befallen calls of {method}"), || async {
            let count = self.chaos.counts().of(method).faults - before;
            if count >= calls as u64 { Ok(()) } else { Err(()) }
        })
        .await;
    }

    /// Waits until the order's last event is this one.
    async fn stands_at(&self, id: &str, event: &str) {
        let path = format!("/v1/orders/{id}");
        eventually(&format!("`{event}` of order {id}, {:?}", self.backend), || async {
            let (_, order) = self.fleet.api().get(&path).await;
            if super::audit::last_event(&order) == event { Ok(()) } else { Err(()) }
        })
        .await;
    }

    /// Waits until the chain itself has the order's transaction; its error.
    async fn is_on_chain(&self, id: &str) -> Value {
        let path = format!("/v1/orders/{id}");
        eventually("the transaction on the chain", || async {
            let (_, order) = self.fleet.api().get(&path).await;
            let signature = order["txHash"].as_str().ok_or(())?;
            self.chain.status(signature).await.ok_or(())
        })
        .await
    }

    /// Kills all processes while the order stands there, ends the faults and starts anew.
    async fn dies_at(&mut self, id: String, event: &'static str, ends: &'static str) {
        self.stands_at(&id, event).await;
        self.fleet.kill(Victims::All).await;
        self.chaos.clear();
        self.fleet.start_again(Victims::All).await;
        self.expected.push(Expected { id: id.clone(), stood: event, kill: self.fleet.kills.len() - 1, ends });
        self.fleet.api().ended(&id).await;
    }

    /// The same, and the faults stay.
    async fn dies_at_without_relief(&mut self, id: &str, event: &'static str, ends: &'static str) {
        self.stands_at(id, event).await;
        self.fleet.restart(Victims::All).await;
        self.expected.push(Expected { id: id.to_owned(), stood: event, kill: self.fleet.kills.len() - 1, ends });
    }
}
