//! What a pool makes of endpoints that fail, limit, lag, hide or are silent.

use std::{collections::VecDeque, time::Duration};

use axum::http::StatusCode;
use serde_json::{Value, json};
use solana_sdk::{hash::Hash, pubkey::Pubkey, signature::Signature};
use tokio::time::Instant;

use super::{
    ChainError, Limits, Rpc, SendAnswer,
    node_stub::{Node, Reply, over},
};
use crate::domain::Slot;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// For calls that are meant to find nobody.
const SHORT: Duration = Duration::from_millis(300);

fn slot(slot: u64) -> Reply {
    Reply::Result(json!(slot))
}

fn limited(retry_after: Option<&'static str>) -> Reply {
    Reply::Http(StatusCode::TOO_MANY_REQUESTS, retry_after)
}

#[tokio::test]
async fn a_read_fails_over_and_the_one_that_failed_rests() {
    let bad_gateway = Reply::Http(StatusCode::BAD_GATEWAY, None);
    for failure in [bad_gateway, limited(Some("30")), limited(None), Reply::Error(-32005), Reply::Error(429)] {
        let (first, second) = (Node::always(failure).await, Node::always(slot(7)).await);
        let rpc = over(&[&first, &second], LONG);
        assert_eq!(rpc.slot().await.unwrap(), Slot(7));
        assert_eq!((first.asked().len(), second.asked().len()), (1, 1));
    }
    let (first, second) = (Node::always(limited(Some("30"))).await, Node::always(slot(7)).await);
    let rpc = over(&[&first, &second], LONG);
    for _ in 0..5 {
        rpc.slot().await.unwrap();
    }
    assert_eq!((first.asked().len(), second.asked().len()), (1, 5), "it said how long to leave it alone");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_says_zero_seconds_is_no_call_to_ask_at_once() {
    // Whoever asks without a pause has its answer within the second.
    let mut refusals = 10;
    let node = Node::start(move |_, _| {
        refusals -= 1;
        if refusals < 0 { slot(7) } else { limited(Some("0")) }
    })
    .await;
    let error = over(&[&node], Duration::from_secs(1)).slot().await.unwrap_err();
    assert!(matches!(error, ChainError::RateLimited { retry_after: None }), "{error}");
}

#[tokio::test]
async fn a_node_that_nobody_answers_at_is_left_out() {
    let second = Node::always(slot(7)).await;
    let rpc = Rpc::over(vec!["http://127.0.0.1:9".into(), second.url.clone()], LONG, None);
    assert_eq!(rpc.slot().await.unwrap(), Slot(7));
}

#[tokio::test]
async fn what_one_node_does_not_keep_is_asked_of_another_and_nonsense_is_not() {
    let (first, second) = (Node::always(Reply::Error(-32011)).await, Node::always(slot(7)).await);
    assert_eq!(over(&[&first, &second], LONG).slot().await.unwrap(), Slot(7));
    let (first, second) = (Node::always(Reply::Error(-32602)).await, Node::always(slot(7)).await);
    let refused = over(&[&first, &second], LONG).slot().await;
    assert!(matches!(refused, Err(ChainError::Refused { code: -32602, .. })), "{refused:?}");
    assert_eq!(second.asked().len(), 0);
}

#[tokio::test]
async fn a_slow_read_is_asked_of_a_second_node_and_the_first_answer_wins() {
    let (first, second) = (Node::always(Reply::Silence).await, Node::always(slot(7)).await);
    assert_eq!(over(&[&first, &second], LONG).slot().await.unwrap(), Slot(7));
    assert_eq!((first.asked().len(), second.asked().len()), (1, 1));
    let third = Node::always(slot(7)).await;
    second.now(|_, _| Reply::Silence);
    assert_eq!(over(&[&first, &second, &third], LONG).slot().await.unwrap(), Slot(7));
    assert_eq!(third.asked().len(), 1, "and of a third when the second is slow as well");
}

#[tokio::test]
async fn a_search_that_times_out_leaves_time_for_another_node() {
    let (first, second) = (Node::always(Reply::Silence).await, Node::always(Reply::Result(json!([]))).await);
    let rpc = over(&[&first, &second], Duration::from_secs(2));
    let program = Pubkey::default();
    assert!(rpc.program_accounts(&program, 1, &[]).await.unwrap().is_empty());
}

/// E.14, 5.
#[tokio::test]
async fn height_and_slot_come_from_one_node() {
    // The first fails between the two questions; the second is behind, and must not lend its slot to that height.
    let first = Node::start(|method, _| match method {
        "getBlockHeight" => slot(900),
        _ => Reply::Http(StatusCode::BAD_GATEWAY, None),
    })
    .await;
    let second = Node::start(|method, _| if method == "getBlockHeight" { slot(300) } else { slot(400) }).await;
    let tip = over(&[&first, &second], LONG).finalized_tip().await.unwrap();
    assert_eq!((tip.height.0, tip.slot.0), (300, 400));
    assert_eq!(second.asked(), ["getBlockHeight", "getSlot"]);
}

#[tokio::test]
async fn an_airdrop_is_asked_for_once() {
    let (first, second) = (Node::always(Reply::Http(StatusCode::BAD_GATEWAY, None)).await, Node::always(slot(7)).await);
    let rpc = over(&[&first, &second], LONG);
    let to = Pubkey::default();
    assert!(rpc.request_airdrop(&to, crate::domain::Lamports::new(1)).await.is_err());
    assert_eq!(second.asked().len(), 0);
}

#[tokio::test]
async fn a_single_endpoint_is_asked_although_it_rests() {
    let node = Node::always(Reply::Http(StatusCode::BAD_GATEWAY, None)).await;
    let rpc = over(&[&node], LONG);
    for _ in 0..3 {
        assert!(matches!(rpc.slot().await, Err(ChainError::Unreachable(_))));
    }
    node.now(|_, _| slot(7));
    assert_eq!(rpc.slot().await.unwrap(), Slot(7));
    assert_eq!(node.asked().len(), 4);
}

/// E.14, 7.
#[tokio::test]
async fn a_single_endpoint_that_limits_is_left_alone_as_it_asks_and_then_asked_again() {
    // It goes on limiting whoever comes before the second is over.
    let mut first: Option<Instant> = None;
    let node = Node::start(move |_, _| match *first.get_or_insert_with(Instant::now) {
        at if at.elapsed() < Duration::from_millis(900) => limited(Some("1")),
        _ => slot(7),
    })
    .await;
    let rpc = over(&[&node], LONG);
    assert_eq!(rpc.slot().await.unwrap(), Slot(7));
    assert_eq!(node.asked().len(), 2, "it was not asked before the second was over");
}

#[tokio::test]
async fn a_send_goes_to_all_and_the_best_answer_counts() {
    use Reply::{Error, Result, Silence};
    let gone = || Reply::Http(StatusCode::BAD_GATEWAY, None);
    let accepted = || Result(json!("signature"));
    for (replies, best) in [
        ([gone(), accepted(), Error(-32003)], SendAnswer::Accepted),
        ([Silence, accepted(), Silence], SendAnswer::Accepted),
        ([gone(), Error(-32003), limited(None)], SendAnswer::Refused("so says the stub".into())),
    ] {
        let [a, b, c] = replies;
        let nodes = [Node::always(a).await, Node::always(b).await, Node::always(c).await];
        let rpc = over(&[&nodes[0], &nodes[1], &nodes[2]], LONG);
        assert_eq!(rpc.send(&[1, 2, 3], Slot(1)).await.unwrap(), best);
        assert!(nodes.iter().all(|node| node.asked() == ["sendTransaction"]));
    }
}

#[tokio::test]
async fn a_send_that_nobody_answers_is_an_open_question() {
    let (gone, behind) = (Node::always(Reply::Silence).await, Node::always(Reply::Error(-32016)).await);
    let sent = over(&[&behind, &gone], SHORT).send(&[1], Slot(1)).await;
    assert!(matches!(sent, Err(ChainError::TimedOut { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_send_leaves_out_who_rests_unless_all_rest() {
    let (first, second) = (Node::always(limited(Some("30"))).await, Node::always(Reply::Result(json!("s"))).await);
    let rpc = over(&[&first, &second], LONG);
    rpc.send(&[1], Slot(1)).await.unwrap();
    rpc.send(&[1], Slot(1)).await.unwrap();
    assert_eq!((first.asked().len(), second.asked().len()), (1, 2));
    second.now(|_, _| Reply::Http(StatusCode::BAD_GATEWAY, None));
    assert!(rpc.send(&[1], Slot(1)).await.is_err());
    let rpc = over(&[&second], LONG);
    assert!(rpc.send(&[1], Slot(1)).await.is_err());
    assert!(rpc.send(&[1], Slot(1)).await.is_err(), "it rests, and is asked");
    assert_eq!(second.asked().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_their_turn_and_draw_no_refusal() {
    const WINDOW: Duration = Duration::from_secs(10);
    let limits = Limits { per_10s: 100, per_method_10s: 20 };
    let mut times = VecDeque::new();
    let node = Node::start(move |_, _| {
        let now = Instant::now();
        times.retain(|at| now - *at < WINDOW);
        times.push_back(now);
        if times.len() > 20 { limited(None) } else { slot(7) }
    })
    .await;
    let rpc = Rpc::over(vec![node.url.clone()], LONG, Some(limits));
    for _ in 0..60 {
        rpc.slot().await.unwrap();
    }
    assert_eq!(node.asked().len(), 60);
}

#[tokio::test]
async fn a_call_without_a_turn_in_its_time_is_not_asked() {
    let limits = Limits { per_10s: 100, per_method_10s: 20 };
    let node = Node::always(slot(7)).await;
    let rpc = Rpc::over(vec![node.url.clone()], SHORT, Some(limits));
    for _ in 0..5 {
        rpc.confirmed_height().await.unwrap();
    }
    assert!(matches!(rpc.confirmed_height().await, Err(ChainError::RateLimited { retry_after: None })));
    assert_eq!(node.asked().len(), 5);
    rpc.slot().await.expect("another method has turns of its own");
}

#[tokio::test]
async fn an_endpoint_that_was_silent_at_the_start_shows_its_cluster_before_it_is_used() {
    let ours = Hash::new_from_array([1; 32]);
    let hash = move |byte: u8| Reply::Result(json!(Hash::new_from_array([byte; 32]).to_string()));
    let answers = move |byte| move |method: &str, _: &_| if method == "getGenesisHash" { hash(byte) } else { slot(7) };
    let first = Node::always(Reply::Http(StatusCode::BAD_GATEWAY, None)).await;
    let (foreign, good) = (Node::start(answers(2)).await, Node::start(answers(1)).await);
    let rpc = over(&[&first, &foreign, &good], LONG);
    rpc.trust(&ours);
    assert_eq!(rpc.slot().await.unwrap(), Slot(7));
    assert_eq!(rpc.slot().await.unwrap(), Slot(7));
    assert_eq!(foreign.asked(), ["getGenesisHash"], "nothing else is asked of it, ever");
    assert_eq!(good.asked(), ["getGenesisHash", "getSlot", "getSlot"]);
}

#[tokio::test]
async fn enough_witnesses_are_not_kept_waiting_by_one_that_is_silent() {
    let absent = || Reply::Result(json!({"context": {"slot": 5}, "value": [null]}));
    let (first, second) = (Node::always(absent()).await, Node::always(absent()).await);
    let silent = Node::always(Reply::Silence).await;
    let rpc = over(&[&silent, &first, &second], LONG);
    let said = tokio::time::timeout(LONG / 2, rpc.testimonies(&[Signature::default()], 2)).await;
    assert_eq!(said.expect("testimony although one is silent").len(), 2);
    assert_eq!(silent.asked().len(), 1, "it was asked as well");
}

/// E.14, 14: what a node answers to `getTransaction` of a version 1 transaction, if it is asked for that.
fn version_1(_: &str, params: &Value) -> Reply {
    if params[1]["maxSupportedTransactionVersion"].as_u64() < Some(1) {
        return Reply::Error(-32015);
    }
    let balance = |amount: &str| {
        json!([{"accountIndex": 1, "mint": Pubkey::default().to_string(), "uiTokenAmount": {
            "amount": amount, "decimals": 6, "uiAmount": null, "uiAmountString": amount,
        }}])
    };
    Reply::Result(json!({
        "slot": 77, "blockTime": null, "version": 1,
        "meta": {
            "err": null, "status": {"Ok": null}, "fee": 5_100, "logMessages": ["a line"], "innerInstructions": [],
            "preBalances": [9, 0], "postBalances": [4, 0], "computeUnitsConsumed": 150, "costUnits": 1_500,
            "preTokenBalances": balance("40"), "postTokenBalances": balance("70"),
        },
        "transaction": {"signatures": [Signature::default().to_string()], "message": {
            "header": {"numRequiredSignatures": 1, "numReadonlySignedAccounts": 0, "numReadonlyUnsignedAccounts": 0},
            "accountKeys": [Pubkey::default().to_string(), spl_token::ID.to_string()],
            "recentBlockhash": Hash::default().to_string(), "instructions": [],
            "transactionConfig": {"priorityFee": 100, "computeUnitLimit": 200, "loadedAccountsDataSizeLimit": null,
                "heapSize": null},
        }},
    }))
}

/// E.14, 14.
#[tokio::test]
async fn a_version_1_transaction_is_asked_for_and_read() {
    let node = Node::start(version_1).await;
    let rpc = over(&[&node], LONG);
    let read = rpc.transaction(&Signature::default()).await.unwrap().unwrap();
    assert_eq!((read.slot, read.fee.get(), read.error.as_ref()), (Slot(77), 5_100, None));
    assert_eq!(read.logs, ["a line"]);
    assert_eq!((read.post_token_balances[0].account, read.post_token_balances[0].amount), (spl_token::ID, 70));
    assert!(read.moved_tokens());
}

/// E.14, 14: a version that nobody can read yet is no answer, so it is no verdict either.
#[tokio::test]
async fn a_transaction_of_an_unknown_version_is_no_answer() {
    let node = Node::always(Reply::Error(-32015)).await;
    let read = over(&[&node], LONG).transaction(&Signature::default()).await;
    assert!(matches!(read, Err(ChainError::Refused { code: -32015, .. })), "{read:?}");
}
