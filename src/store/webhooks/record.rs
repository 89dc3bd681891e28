//! Record: what came of tries, as the statements that store it.
//!
//! As many for hundreds of tries as for one: each statement is a way to the database and back, and all of them must be
//! over in time however far away it is.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    ATTEMPTS_KEPT, Answer, DeliveryState, Disabling, Next, Tried, WebhookId,
    sql::{Arg, Statement, statement},
    statements::{lock, object},
};
use crate::store::rows::{plain_text, time_text};

/// `$1` is an object of tries by their deliveries' ids.
const LOG: &str = "insert into webhook_attempts (delivery_id, n, at, status, error, duration_ms) \
    select d.id, (select coalesce(max(a.n), 0) + 1 from webhook_attempts a where a.delivery_id = d.id), \
    (e.value ->> 'at')::timestamptz, (e.value ->> 'status')::smallint, e.value ->> 'error', \
    (e.value ->> 'took')::bigint from json_each($1::json) as e join webhook_deliveries d on d.id = e.key::uuid";

/// The tries of the keys of `$1`, but the newest.
const FORGET: &str = "delete from webhook_attempts where delivery_id in (select e.key::uuid from json_each($1::json) as e) \
    and n <= (select max(a.n) from webhook_attempts a where a.delivery_id = webhook_attempts.delivery_id) - $2::integer";

/// To their next state and, if they still wait, their next try.
const MOVE: &str = "update webhook_deliveries as d set state = e.value ->> 'state', \
    tries = d.tries + case when e.value ->> 'next' is null then 0 else 1 end, \
    next_try_at = coalesce((e.value ->> 'next')::timestamptz, d.next_try_at) \
    from json_each($1::json) as e where d.id = e.key::uuid and d.state = 'pending'";

/// `$1` is an object of verdicts by their webhooks, here and below. Most often there is nothing new.
const JUDGE: &str = "update webhooks as w set failing_since = case when (e.value ->> 'through')::boolean \
    then (e.value ->> 'failed')::timestamptz else coalesce(w.failing_since, (e.value ->> 'failed')::timestamptz) end \
    from json_each($1::json) as e where w.id = e.key::uuid \
    and (w.failing_since is not null or e.value ->> 'failed' is not null)";

/// What waits for its next try is due, also what failed among these tries.
const REVIVE: &str = "update webhook_deliveries as d set next_try_at = (e.value ->> 'revived')::timestamptz \
    from json_each($1::json) as e where d.webhook_id = e.key::uuid and d.state = 'pending' \
    and d.next_try_at > (e.value ->> 'revived')::timestamptz";

const DISABLE: &str = "update webhooks as w set disabled_at = (e.value ->> 'disabled')::timestamptz, \
    disabled_reason = e.value ->> 'reason' from json_each($1::json) as e where w.id = e.key::uuid \
    and w.disabled_at is null and e.value ->> 'disabled' is not null \
    and (e.value ->> 'since' is null or w.failing_since <= (e.value ->> 'since')::timestamptz)";

/// The statements that store tries, each of another delivery.
pub(super) fn record(tried: &[Tried]) -> Vec<Statement> {
    let mut verdicts: BTreeMap<WebhookId, Verdict<'_>> = BTreeMap::new();
    for tried in tried {
        verdicts.entry(tried.webhook).or_default().take_in(tried);
    }
    let tries = object(tried.iter().map(|tried| (tried.delivery, row(tried))));
    let judged = object(verdicts.iter().map(|(webhook, verdict)| (webhook, verdict.row())));
    let mut all = vec![
        lock(verdicts.keys()),
        statement!(LOG, tries.as_str()),
        statement!(FORGET, tries.as_str(), ATTEMPTS_KEPT),
        statement!(MOVE, tries),
        statement!(JUDGE, judged.as_str()),
    ];
    if verdicts.values().any(|verdict| verdict.revived_at.is_some()) {
        all.push(statement!(REVIVE, judged.as_str()));
    }
    if verdicts.values().any(|verdict| verdict.disabling.is_some()) {
        all.push(statement!(DISABLE, judged));
    }
    all
}

/// What tries come to for their webhook.
#[derive(Default)]
struct Verdict<'t> {
    /// Whether something got through.
    through: bool,
    /// The first failure after that.
    failed_at: Option<OffsetDateTime>,
    /// From when on all that waits is due.
    revived_at: Option<OffsetDateTime>,
    /// What may disable it, and when.
    disabling: Option<(OffsetDateTime, &'t Disabling)>,
}

impl<'t> Verdict<'t> {
    fn take_in(&mut self, tried: &'t Tried) {
        match tried.next {
            Next::Delivered => {
                (self.through, self.failed_at) = (true, None);
                self.disabling = self.disabling.filter(|(_, disabling)| disabling.if_failing_since.is_none());
            }
            Next::Retry(_) | Next::GiveUp if tried.judges => {
                self.failed_at.get_or_insert(tried.at);
            }
            Next::Retry(_) | Next::GiveUp => {}
        }
        if tried.revives {
            self.revived_at = Some(tried.at);
        }
        // One that disables in any case is the last word.
        if let Some(disabling) = &tried.disabling
            && self.disabling.is_none_or(|(_, disabling)| disabling.if_failing_since.is_some())
        {
            self.disabling = Some((tried.at, disabling));
        }
    }

    fn row(&self) -> Value {
        let disabling = self.disabling.map(|(_, disabling)| disabling);
        json!({
            "through": self.through,
            "failed": self.failed_at.map(time_text),
            "revived": self.revived_at.map(time_text),
            "disabled": self.disabling.map(|(at, _)| time_text(at)),
            "reason": disabling.map(|disabling| plain_text(&disabling.reason)),
            "since": disabling.and_then(|disabling| disabling.if_failing_since).map(time_text),
        })
    }
}

fn row(tried: &Tried) -> Value {
    let (status, error) = match &tried.answer {
        Answer::Status(status) => (Some(*status), None),
        Answer::Error(error) => (None, Some(plain_text(error))),
    };
    let (state, next) = match tried.next {
        Next::Delivered => (DeliveryState::Delivered, None),
        Next::Retry(at) => (DeliveryState::Pending, Some(time_text(at))),
        Next::GiveUp => (DeliveryState::Failed, None),
    };
    let took = i64::try_from(tried.took.whole_milliseconds()).unwrap_or_default();
    json!({
        "at": time_text(tried.at),
        "status": status,
        "error": error,
        "took": took,
        "state": state.as_str(),
        "next": next,
    })
}
