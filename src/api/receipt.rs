//! Receipt: everything that explains how an order ended, on one page of JSON.
//!
//! Put together from what is stored: the order, its events, its signatures. A support case starts and ends here. Never
//! asks the chain: what is not stored was not known when it was decided.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{
    ApiError, ApiState, Views,
    body::IdInPath,
    openapi::{OrderIdInPath, refusals::Finding, shapes::Receipt, tag},
    orders::find,
    views::{amount, timestamp},
};
use crate::{
    domain::{Commitment, Failure, Fill, Landing, Order, OrderEvent, Route, StoredEvent, Swap},
    store::AttemptRow,
};

/// `GET /v1/orders/{id}/receipt`: how the order ended, and everything that explains it.
#[utoipa::path(
    get, path = "/v1/orders/{id}/receipt", operation_id = "showReceipt", tag = tag::ORDERS, params(OrderIdInPath),
    responses((status = 200, description = "The receipt", body = Receipt), Finding)
)]
pub async fn receipt(State(state): State<ApiState>, IdInPath(id): IdInPath) -> Result<Response, ApiError> {
    let order = find(&state, id).await?;
    let (history, attempts) = tokio::try_join!(state.store().history(id, 0), state.store().attempts(id))?;
    Ok(Json(write(state.views(), &order, &history, &attempts)).into_response())
}

fn write(views: &Views, order: &Order, history: &[StoredEvent], attempts: &[AttemptRow]) -> Value {
    let mut view = json!(views.order(order));
    let route = history.iter().rev().find_map(|event| match &event.event {
        OrderEvent::Routed { route, .. } => Some(route),
        _ => None,
    });
    view["route"] = json!(route.map(|route| self::route(order, route)));
    view["realisedSlippageBps"] = json!(route.and_then(|route| realised_slippage(order, route, history)));
    view["signatures"] = attempts.iter().map(|row| self::attempt(views, row, history)).collect();
    view["timings"] = timings(history);
    view["endedAt"] =
        json!(order.status.name().is_terminal().then(|| ending(history).map(|event| timestamp(event.at))).flatten());
    view
}

/// The last decision of the router, as it was made.
fn route(order: &Order, route: &Route) -> Value {
    let chosen = &route.chosen;
    json!({
        "reason": route.reason,
        "venue": chosen.venue,
        "pool": chosen.pool.to_string(),
        "contextSlot": chosen.context_slot,
        "amountIn": amount(chosen.amount_in, order.token_in.decimals),
        "amountOut": amount(chosen.amount_out, order.token_out.decimals),
        "priceImpactBps": chosen.price_impact_bps,
        "quotes": route.quotes,
    })
}

/// One signature: what bounded it, and the answers of the chain that decided it.
fn attempt(views: &Views, row: &AttemptRow, history: &[StoredEvent]) -> Value {
    let signature = row.attempt.signature;
    let decided: Vec<Value> = history
        .iter()
        .filter_map(|event| {
            let what = match &event.event {
                OrderEvent::Sent { signature: sent } if *sent == signature => json!({ "sent": true }),
                OrderEvent::Landed { landing, .. } if landing.signature == signature => {
                    json!({ "landed": landed(landing, None) })
                }
                OrderEvent::Rejected { landing, failure } if landing.signature == signature => {
                    json!({ "landed": landed(landing, Some(failure)) })
                }
                OrderEvent::Expired { proof } if proof.signature == signature => json!({ "expired": proof }),
                _ => return None,
            };
            let mut answer = json!({ "at": timestamp(event.at), "seq": event.seq });
            if let (Value::Object(answer), Value::Object(what)) = (&mut answer, what) {
                answer.extend(what);
            }
            Some(answer)
        })
        .collect();
    json!({
        "n": row.attempt.n,
        "signature": signature.to_string(),
        "explorerUrl": views.explorer_url(&signature),
        "wallet": row.attempt.wallet.to_string(),
        "blockhash": row.attempt.blockhash.to_string(),
        "lastValidBlockHeight": row.attempt.last_valid_block_height,
        "contextSlot": row.attempt.context_slot,
        "limit": row.attempt.limit,
        "computeUnits": row.attempt.compute_units,
        "priorityFee": row.attempt.priority_fee,
        "signedAt": timestamp(row.signed_at),
        "outcome": row.outcome,
        "answers": decided,
    })
}

/// The block, what came of the transaction there, and the endpoint's answer that said so.
fn landed(landing: &Landing, failure: Option<&Failure>) -> Value {
    let commitment = landing.answer.as_ref().map_or(Commitment::Confirmed, |answer| answer.confirmation_status);
    json!({ "slot": landing.slot, "commitment": commitment, "error": failure, "answer": landing.answer })
}

/// How much worse the fill was than the quote it was routed by, in basis points of the quote, rounded up; negative when
/// it was better. On the side that was not exact.
fn realised_slippage(order: &Order, route: &Route, history: &[StoredEvent]) -> Option<i64> {
    let fill = history.iter().rev().find_map(|event| match &event.event {
        OrderEvent::Landed { fill: Some(fill), .. }
        | OrderEvent::Settled { fill, .. }
        | OrderEvent::PaperFilled { fill, .. } => Some(fill),
        _ => None,
    })?;
    let Fill { amount_in, amount_out } = fill;
    let (quoted, worse_by) = match order.swap {
        Swap::ExactIn(_) => {
            let quoted = i128::from(route.chosen.amount_out.get());
            (quoted, quoted - i128::from(amount_out.get()))
        }
        Swap::ExactOut(_) => {
            let quoted = i128::from(route.chosen.amount_in.get());
            (quoted, i128::from(amount_in.get()) - quoted)
        }
    };
    if quoted == 0 {
        return None;
    }
    let scaled = worse_by * 10_000;
    let bps = scaled.div_euclid(quoted) + i128::from(scaled.rem_euclid(quoted) != 0);
    i64::try_from(bps).ok()
}

/// How long the order was in each of its statuses, and in all, in milliseconds.
fn timings(history: &[StoredEvent]) -> Value {
    let millis = |from: OffsetDateTime, to: OffsetDateTime| {
        i64::try_from((to - from).whole_milliseconds().max(0)).unwrap_or(i64::MAX)
    };
    let mut stages = Map::new();
    for pair in history.windows(2) {
        let [before, after] = pair else { continue };
        if before.status.is_terminal() {
            break;
        }
        let spent = stages.entry(before.status.as_str()).or_insert(json!(0));
        *spent = json!(spent.as_i64().unwrap_or_default() + millis(before.at, after.at));
    }
    let total = history.first().zip(ending(history)).map(|(first, end)| millis(first.at, end.at));
    json!({ "stagesMs": stages, "totalMs": total })
}

/// The event that ended the order.
fn ending(history: &[StoredEvent]) -> Option<&StoredEvent> {
    history.iter().find(|event| event.status.is_terminal())
}
