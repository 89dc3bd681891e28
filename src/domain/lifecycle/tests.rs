//! Every state against every event: what may happen, and that nothing else does.

use std::sync::Arc;

use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use time::OffsetDateTime;

use super::*;
use crate::domain::{
    Absence, BaseUnits, BlockHeight, Bps, Commitment, ExpiryProof, OrderId, Poison, QuoteOutcome, Route, Slot,
    StatusAnswer, StoredEvent,
};

pub(super) fn quote(executable: bool) -> Quote {
    Quote {
        venue: if executable { VenueId::RaydiumCpmm } else { VenueId::MeteoraMock },
        pool: Pubkey::new_from_array([7; 32]),
        executable,
        amount_in: BaseUnits::new(100),
        amount_out: BaseUnits::new(200),
        trade_fee: BaseUnits::new(1),
        creator_fee: BaseUnits::ZERO,
        creator_fee_on_input: true,
        transfer_fee_in: BaseUnits::ZERO,
        transfer_fee_out: BaseUnits::ZERO,
        price_impact_bps: Bps::new(1).unwrap(),
        context_slot: Slot(5),
    }
}

fn attempt() -> Attempt {
    Attempt {
        n: 1,
        signature: Signature::from([9; 64]),
        wallet: Pubkey::new_from_array([1; 32]),
        blockhash: Hash::default(),
        last_valid_block_height: BlockHeight(150),
        context_slot: Slot(1),
        venue: VenueId::RaydiumCpmm,
        pool: Pubkey::new_from_array([7; 32]),
        quoted_in: BaseUnits::new(100),
        quoted_out: BaseUnits::new(200),
        limit: BaseUnits::new(198),
        compute_units: 60_000,
        priority_fee: Lamports::new(0),
        wire: Arc::new([1, 2, 3]),
    }
}

fn landing() -> Landing {
    Landing { signature: attempt().signature, slot: Slot(9), answer: None }
}

fn fill() -> Fill {
    Fill { amount_in: BaseUnits::new(100), amount_out: BaseUnits::new(199) }
}

fn proof(height: u64) -> ExpiryProof {
    ExpiryProof {
        signature: attempt().signature,
        last_valid_block_height: BlockHeight(150),
        finalized_height: BlockHeight(height),
        searched_at: Slot(400),
        witnesses: 1,
        finalized_slot: None,
        absences: Vec::new(),
    }
}

fn failure() -> Failure {
    Failure::new(ErrorCode::NoRoute, "none")
}

fn states() -> Vec<(&'static str, OrderStatus)> {
    let confirmed = |fill| OrderStatus::Confirmed { attempt: attempt(), landing: landing(), fill, fee: None };
    vec![
        ("pending", OrderStatus::Pending),
        ("routing", OrderStatus::Routing),
        ("building", OrderStatus::Building { quote: quote(true) }),
        ("building on paper", OrderStatus::Building { quote: quote(false) }),
        ("submitted", OrderStatus::Submitted { attempt: attempt() }),
        ("confirmed, unread", confirmed(None)),
        ("confirmed", confirmed(Some(fill()))),
        ("filled on paper", OrderStatus::PaperFilled { venue: VenueId::MeteoraMock, fill: fill() }),
        ("failed", OrderStatus::Failed { failure: failure(), landing: None }),
        ("cancelled", OrderStatus::Cancelled),
    ]
}

fn events() -> Vec<OrderEvent> {
    use OrderEvent as E;
    let route = Route { chosen: quote(true), reason: String::new(), quotes: Vec::<QuoteOutcome>::new() };
    vec![
        E::Created,
        E::Claimed,
        E::Routed { route, limit: BaseUnits::new(198), wallet: None },
        E::Requoted { reason: String::new() },
        E::Signed { attempt: attempt() },
        E::Sent { signature: attempt().signature },
        E::OutcomeUnknown { reason: String::new() },
        E::Expired { proof: proof(151) },
        E::Landed { landing: landing(), fill: None, fee: None },
        E::Settled { fill: fill(), fee: Lamports::new(5_000) },
        E::Rejected { landing: landing(), failure: failure() },
        E::PaperFilled { venue: VenueId::MeteoraMock, fill: fill() },
        E::Retrying { failure: failure(), delay_ms: 1 },
        E::Failed { failure: failure() },
        E::ChainReset,
        E::Cancelled,
        E::SetAside { cause: Poison::Stuck, reason: String::new() },
        E::Replayed,
    ]
}

#[test]
fn exactly_these_transitions_can_happen() {
    let allowed = [
        ("pending", "claimed", Status::Routing),
        ("pending", "retrying", Status::Pending),
        ("pending", "failed", Status::Failed),
        ("pending", "cancelled", Status::Cancelled),
        ("routing", "routed", Status::Building),
        ("routing", "retrying", Status::Routing),
        ("routing", "failed", Status::Failed),
        ("routing", "cancelled", Status::Cancelled),
        ("building", "requoted", Status::Routing),
        ("building", "signed", Status::Submitted),
        ("building", "retrying", Status::Building),
        ("building", "failed", Status::Failed),
        ("building", "cancelled", Status::Cancelled),
        ("building on paper", "requoted", Status::Routing),
        ("building on paper", "paper_filled", Status::Confirmed),
        ("building on paper", "retrying", Status::Building),
        ("building on paper", "failed", Status::Failed),
        ("building on paper", "cancelled", Status::Cancelled),
        ("submitted", "sent", Status::Submitted),
        ("submitted", "outcome_unknown", Status::Submitted),
        ("submitted", "expired", Status::Routing),
        ("submitted", "landed", Status::Confirmed),
        ("submitted", "rejected", Status::Failed),
        ("submitted", "chain_reset", Status::Failed),
        ("confirmed, unread", "settled", Status::Confirmed),
    ];
    for (name, state) in states() {
        for event in events() {
            if matches!(event, OrderEvent::SetAside { .. } | OrderEvent::Replayed) {
                assert_eq!(
                    state.apply(&event).ok(),
                    state.has_work().then(|| state.clone()),
                    "{name} + {}",
                    event.name()
                );
                continue;
            }
            let expected = allowed.iter().find(|(from, what, _)| *from == name && *what == event.name());
            let got = state.apply(&event);
            assert_eq!(
                got.as_ref().ok().map(OrderStatus::name),
                expected.map(|(.., to)| *to),
                "{name} + {}",
                event.name()
            );
        }
    }
}

/// E.14, 1.
#[test]
fn nothing_but_proof_leads_out_of_submitted_by_expiry() {
    let submitted = OrderStatus::Submitted { attempt: attempt() };
    // At exactly the last valid height it can still land; one above it cannot.
    assert!(submitted.apply(&OrderEvent::Expired { proof: proof(150) }).is_err());
    assert!(submitted.apply(&OrderEvent::Expired { proof: proof(151) }).is_ok());
    let other = ExpiryProof { signature: Signature::from([8; 64]), ..proof(151) };
    assert!(submitted.apply(&OrderEvent::Expired { proof: other }).is_err());
    let landed_elsewhere = Landing { signature: Signature::from([8; 64]), slot: Slot(1), answer: None };
    assert!(submitted.apply(&OrderEvent::Landed { landing: landed_elsewhere, fill: None, fee: None }).is_err());
}

#[test]
fn terminal_statuses_have_no_work_left_but_the_details() {
    for (name, state) in states() {
        let step = state.next_step();
        if name == "confirmed, unread" {
            assert_eq!(step, NextStep::Settle);
        } else {
            assert_eq!(step == NextStep::Nothing, state.name().is_terminal(), "{name}");
        }
    }
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    for event in events() {
        let stored = StoredEvent {
            cursor: 3,
            order_id: OrderId::new(),
            seq: 2,
            status: Status::Routing,
            token_in: "SOL".into(),
            token_out: "USDC".into(),
            at: OffsetDateTime::UNIX_EPOCH,
            event,
        };
        let text = serde_json::to_string(&stored).unwrap();
        let mut read: StoredEvent = serde_json::from_str(&text).unwrap();
        if let OrderEvent::Signed { attempt } = &mut read.event {
            assert!(attempt.wire.is_empty(), "signed bytes are not part of an event");
            attempt.wire = Arc::new([1, 2, 3]);
        }
        assert_eq!(read, stored, "{text}");
    }
}

#[test]
fn a_proof_that_was_stored_before_witnesses_were_counted_has_one_and_none_prove_nothing() {
    let mut stored = serde_json::to_value(proof(151)).unwrap();
    stored.as_object_mut().unwrap().remove("witnesses").unwrap();
    let read: ExpiryProof = serde_json::from_value(stored).unwrap();
    assert_eq!(read, proof(151));
    assert!(read.covers(&attempt()));
    assert!(!ExpiryProof { witnesses: 0, ..read }.covers(&attempt()));
}

#[test]
fn events_that_were_stored_before_answers_were_kept_can_still_be_read() {
    let landed = format!(
        r#"{{"event":"landed","landing":{{"signature":"{}","slot":9}},"fill":null,"fee":null}}"#,
        attempt().signature
    );
    let read: OrderEvent = serde_json::from_str(&landed).unwrap();
    assert_eq!(read, OrderEvent::Landed { landing: landing(), fill: None, fee: None });
    let expired = format!(
        r#"{{"event":"expired","proof":{{"signature":"{}","lastValidBlockHeight":150,"finalizedHeight":151,
            "searchedAt":400,"witnesses":1}}}}"#,
        attempt().signature
    );
    let read: OrderEvent = serde_json::from_str(&expired).unwrap();
    assert_eq!(read, OrderEvent::Expired { proof: proof(151) });
}

#[test]
fn the_answers_that_decided_are_part_of_the_event() {
    let answer = StatusAnswer {
        endpoint: "rpc.example".into(),
        context_slot: Slot(12),
        confirmation_status: Commitment::Finalized,
        err: Some(serde_json::json!({"InstructionError": [3, {"Custom": 6005}]})),
    };
    let absences = vec![Absence { endpoint: "rpc.example".into(), context_slot: Slot(400) }];
    for event in [
        OrderEvent::Rejected { landing: Landing { answer: Some(answer), ..landing() }, failure: failure() },
        OrderEvent::Expired { proof: ExpiryProof { finalized_slot: Some(Slot(399)), absences, ..proof(151) } },
    ] {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<OrderEvent>(&text).unwrap(), event, "{text}");
    }
}
