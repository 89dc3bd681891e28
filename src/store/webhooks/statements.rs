//! Statements: what the store of webhooks does, once for both databases.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{
    Answer, AttemptRecord, Backlog, DeliveryId, DeliveryRecord, DeliveryState, Disabled, Due, EventHead, FanOut,
    Resume, SigningSecret, Tried, Turn, Webhook, WebhookChange, WebhookId, WebhookStore, record,
    sql::{Arg, Sql, Statement, statement},
};
use crate::store::{
    StoreError,
    columns::{self, Columns},
    rows::{self, plain_text},
};

const WEBHOOKS: &str = "select id::text, url, description, secret, filter::text, cursor, failing_since, disabled_at, \
    disabled_reason, created_at, updated_at from webhooks where $1::uuid is null or id = $1::uuid order by id";

const BACKLOGS: &str = "select webhook_id::text, count(*) as deliveries, min(created_at) as oldest \
    from webhook_deliveries where state = 'pending' and ($1::uuid is null or webhook_id = $1::uuid) group by webhook_id";

const CREATE: &str = "insert into webhooks \
    (id, url, description, secret, filter, cursor, created_at, updated_at) \
    select $1::uuid, $2::text, $3::text, $4::text, $5::jsonb, $6::bigint, $7::timestamptz, $7::timestamptz \
    where (select count(*) from webhooks) < $8::bigint returning url";

/// Before anything is done to deliveries of the webhooks that are the keys of `$1`. Whoever changes a webhook has its row
/// first and then its deliveries'; all others must come the same way, or they wait for each other.
const LOCK: &str = "select w.id::text as id from webhooks w \
    where w.id in (select e.key::uuid from json_each($1::json) as e) order by w.id for no key update";

const CHANGE: &str = "update webhooks set url = coalesce($2::text, url), \
    description = coalesce($3::text, description), filter = coalesce($4::jsonb, filter), \
    updated_at = $5::timestamptz where id = $1::uuid returning url";

const DISABLE: &str = "update webhooks set disabled_at = $2::timestamptz, disabled_reason = $3::text \
    where id = $1::uuid and disabled_at is null";

const ENABLE: &str = "update webhooks set disabled_at = null, disabled_reason = null, failing_since = null \
    where id = $1::uuid";

/// What waited through an outage gets its tries back.
const TRY_ANEW: &str = "update webhook_deliveries set tries = 0, next_try_at = $2::timestamptz \
    where webhook_id = $1::uuid and state = 'pending'";

const SKIP: &str = "update webhook_deliveries set state = 'skipped' where webhook_id = $1::uuid and state = 'pending'";

const MOVE_TO_NOW: &str = "update webhooks \
    set cursor = (select coalesce(max(cursor), 0) from order_status_history) where id = $1::uuid";

const EVENT_HEADS: &str = "select cursor, order_id::text, status::text, event from order_status_history \
    where cursor > $1::bigint order by cursor limit $2::bigint";

const ADVANCE: &str = "update webhooks set cursor = $3::bigint \
    where id = $1::uuid and cursor = $2::bigint and disabled_at is null";

/// Only if the step before it was made. `$3` is an object of deliveries by their ids.
const DELIVER: &str = "insert into webhook_deliveries \
    (id, webhook_id, cursor, order_id, state, tries, again, next_try_at, created_at) \
    select e.key::uuid, $1::uuid, (e.value ->> 'cursor')::bigint, (e.value ->> 'order')::uuid, 'pending', 0, false, \
    $4::timestamptz, $4::timestamptz from json_each($3::json) as e \
    where exists (select 1 from webhooks where id = $1::uuid and cursor = $2::bigint) \
    on conflict (webhook_id, cursor) do nothing";

/// Whose turn it is, in this order. Which ones is decided before their events are read.
macro_rules! due {
    ($order:literal) => {
        concat!(
            "select d.id::text as delivery_id, d.tries::bigint as tries, e.cursor, e.order_id::text, e.seq, \
            e.status::text, e.payload::text, e.created_at, o.token_in_symbol, o.token_out_symbol \
            from (select d.id, d.tries, d.cursor from webhook_deliveries d \
            where d.webhook_id = $1::uuid and d.state = 'pending' \
            and (d.next_try_at <= $2::timestamptz or d.next_try_at > $3::timestamptz) \
            and (d.again or not exists (select 1 from webhook_deliveries b where b.webhook_id = d.webhook_id \
                and b.order_id = d.order_id and b.state = 'pending' and not b.again and b.cursor < d.cursor)) \
            order by ",
            $order,
            " limit $4::bigint) d join order_status_history e on e.cursor = d.cursor \
            join orders o on o.id = e.order_id order by ",
            $order
        )
    };
}
const DUE: &str = due!("d.cursor");
const PROBE: &str = due!("d.tries, d.cursor");

const DELIVERIES: &str = "select d.id::text as delivery_id, d.cursor, d.order_id::text, e.seq, e.event, \
    e.status::text, d.state, d.next_try_at, d.created_at \
    from webhook_deliveries d join order_status_history e on e.cursor = d.cursor \
    where d.webhook_id = $1::uuid and ($2::text is null or d.state = $2::text) \
    and ($3::uuid is null or d.id < $3::uuid) order by d.id desc limit $4::bigint";

/// Of the deliveries that are the keys of `$1`.
const TRIES: &str = "select a.delivery_id::text, a.n::bigint, a.at, a.status::bigint, a.error, a.duration_ms \
    from webhook_attempts a where a.delivery_id in (select e.key::uuid from json_each($1::json) as e) \
    order by a.delivery_id, a.n";

const REDELIVER: &str = "update webhook_deliveries set tries = 0, next_try_at = $3::timestamptz, \
    again = again or state <> 'pending', state = 'pending' \
    where id = $2::uuid and webhook_id = $1::uuid returning state";

const PRUNE: &str = "delete from webhook_deliveries where webhook_id = $1::uuid and state <> 'pending' \
    and id <= (select id from webhook_deliveries where webhook_id = $1::uuid and state <> 'pending' \
        order by id desc limit 1 offset $2::bigint)";

#[async_trait]
impl<T: Sql> WebhookStore for T {
    async fn create_webhook(&self, webhook: &Webhook, most: u32) -> Result<bool, StoreError> {
        let create = statement!(
            CREATE,
            webhook.id.to_string(),
            plain_text(&webhook.url),
            plain_text(&webhook.description),
            webhook.secret.expose(),
            rows::json(&webhook.filter),
            webhook.cursor,
            webhook.created_at,
            most,
        );
        Ok(has_row(&self.write(vec![create]).await?))
    }

    async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.read(statement!(WEBHOOKS, None)).await?.iter().map(webhook).collect()
    }

    async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
        self.read(statement!(WEBHOOKS, id.to_string())).await?.first().map(webhook).transpose()
    }

    async fn backlogs(&self, of: Option<WebhookId>) -> Result<HashMap<WebhookId, Backlog>, StoreError> {
        let rows = self.read(statement!(BACKLOGS, of.map(|id| id.to_string()))).await?;
        rows.iter()
            .map(|row| {
                let (deliveries, oldest) = (row.count("deliveries")?, row.maybe_time("oldest")?);
                Ok((row.parsed("webhook_id")?, Backlog { deliveries, oldest }))
            })
            .collect()
    }

    async fn change_webhook(
        &self,
        id: WebhookId,
        change: &WebhookChange,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let key = id.to_string();
        let (url, description) = (change.url.as_deref().map(plain_text), change.description.as_deref().map(plain_text));
        let mut all =
            vec![statement!(CHANGE, key.as_str(), url, description, change.filter.as_ref().map(rows::json), now)];
        match &change.turn {
            None => {}
            Some(Turn::Off(reason)) => all.push(statement!(DISABLE, key, now, plain_text(reason))),
            Some(Turn::On(Resume::Cursor)) => {
                all.extend([statement!(TRY_ANEW, key.as_str(), now), statement!(ENABLE, key)]);
            }
            Some(Turn::On(Resume::Now)) => {
                all.extend([SKIP, MOVE_TO_NOW, ENABLE].map(|text| statement!(text, key.as_str())));
            }
        }
        Ok(has_row(&self.write(all).await?))
    }

    async fn delete_webhook(&self, id: WebhookId) -> Result<bool, StoreError> {
        let delete = statement!("delete from webhooks where id = $1::uuid returning url", id.to_string());
        Ok(has_row(&self.write(vec![delete]).await?))
    }

    async fn event_heads(&self, cursor: u64, limit: u32) -> Result<Vec<EventHead>, StoreError> {
        self.read(statement!(EVENT_HEADS, cursor, limit)).await?.iter().map(event_head).collect()
    }

    async fn fan_out(&self, step: &FanOut, now: OffsetDateTime) -> Result<(), StoreError> {
        let webhook = step.webhook.to_string();
        let mut all = vec![statement!(ADVANCE, webhook.as_str(), step.from, step.to)];
        if !step.wanted.is_empty() {
            let delivery =
                |event: &EventHead| (DeliveryId::new(), json!({ "cursor": event.cursor, "order": event.order_id }));
            all.push(statement!(DELIVER, webhook, step.to, object(step.wanted.iter().map(delivery)), now));
        }
        self.write(all).await.map(drop)
    }

    async fn due(
        &self,
        webhook: WebhookId,
        now: OffsetDateTime,
        latest: OffsetDateTime,
        least_tried_first: bool,
        limit: u32,
    ) -> Result<Vec<Due>, StoreError> {
        let text = if least_tried_first { PROBE } else { DUE };
        let rows = self.read(statement!(text, webhook.to_string(), now, latest, limit)).await?;
        rows.iter()
            .map(|row| {
                let (id, tries) = (row.parsed("delivery_id")?, row.small("tries")?);
                Ok(Due { id, tries, event: columns::event(row) })
            })
            .collect()
    }

    async fn record(&self, tried: &[Tried]) -> Result<(), StoreError> {
        self.write(record::record(tried)).await.map(drop)
    }

    async fn deliveries(
        &self,
        webhook: WebhookId,
        state: Option<DeliveryState>,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let state = state.map(|state| state.as_str().to_owned());
        let before = before.map(|id| id.to_string());
        let rows = self.read(statement!(DELIVERIES, webhook.to_string(), state, before, limit)).await?;
        let mut page = rows.iter().map(delivery).collect::<Result<Vec<_>, _>>()?;
        let tries = statement!(TRIES, keys(page.iter().map(|delivery| delivery.id)));
        let mut of_delivery: HashMap<DeliveryId, Vec<AttemptRecord>> = HashMap::new();
        for row in self.read(tries).await? {
            of_delivery.entry(row.parsed("delivery_id")?).or_default().push(attempt(&row)?);
        }
        for delivery in &mut page {
            delivery.attempts = of_delivery.remove(&delivery.id).unwrap_or_default();
        }
        Ok(page)
    }

    async fn redeliver(&self, webhook: WebhookId, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        Ok(has_row(&self.write(vec![statement!(REDELIVER, webhook.to_string(), id.to_string(), now)]).await?))
    }

    async fn prune_deliveries(&self, webhook: WebhookId, keep: u32) -> Result<(), StoreError> {
        self.write(vec![lock([webhook]), statement!(PRUNE, webhook.to_string(), keep)]).await.map(drop)
    }

    async fn take_lease(&self, name: &str, holder: &str, seconds: u32) -> Result<bool, StoreError> {
        Ok(has_row(&self.write(vec![statement!(T::TAKE_LEASE, name, holder, seconds)]).await?))
    }

    async fn give_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let give = statement!("delete from leases where name = $1::text and holder = $2::text", name, holder);
        self.write(vec![give]).await.map(drop)
    }
}

/// Has the rows of webhooks to itself until the end of the transaction.
pub(super) fn lock(webhooks: impl IntoIterator<Item = impl ToString>) -> Statement {
    statement!(LOCK, keys(webhooks))
}

/// An object with these keys: a list of ids for `json_each`, which takes no array on PostgreSQL.
fn keys(ids: impl IntoIterator<Item = impl ToString>) -> String {
    object(ids.into_iter().map(|id| (id, Value::Null)))
}

/// Values by their ids, for `json_each`.
pub(super) fn object(values: impl IntoIterator<Item = (impl ToString, Value)>) -> String {
    let values: Map<_, _> = values.into_iter().map(|(id, value)| (id.to_string(), value)).collect();
    Value::Object(values).to_string()
}

/// Whether the first statement returned a row.
fn has_row<R>(returned: &[Vec<R>]) -> bool {
    returned.first().is_some_and(|rows| !rows.is_empty())
}

fn webhook(row: &impl Columns) -> Result<Webhook, StoreError> {
    let disabled = match row.maybe_time("disabled_at")? {
        Some(at) => Some(Disabled { reason: row.text("disabled_reason")?, at }),
        None => None,
    };
    Ok(Webhook {
        id: row.parsed("id")?,
        url: row.text("url")?,
        description: row.text("description")?,
        secret: SigningSecret::new(row.text("secret")?),
        filter: row.json("filter")?,
        cursor: row.count("cursor")?,
        failing_since: row.maybe_time("failing_since")?,
        disabled,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn event_head(row: &impl Columns) -> Result<EventHead, StoreError> {
    Ok(EventHead {
        cursor: row.count("cursor")?,
        order_id: row.parsed("order_id")?,
        status: row.named("status")?,
        event: row.text("event")?,
    })
}

fn delivery(row: &impl Columns) -> Result<DeliveryRecord, StoreError> {
    Ok(DeliveryRecord {
        id: row.parsed("delivery_id")?,
        event: event_head(row)?,
        seq: row.count("seq")?,
        state: row.named("state")?,
        next_try_at: row.time("next_try_at")?,
        created_at: row.time("created_at")?,
        attempts: Vec::new(),
    })
}

fn attempt(row: &impl Columns) -> Result<AttemptRecord, StoreError> {
    let answer = match row.maybe_count("status")? {
        Some(status) => {
            Answer::Status(u16::try_from(status).map_err(|_| StoreError::Corrupt(format!("`status` is `{status}`")))?)
        }
        None => Answer::Error(row.text("error")?),
    };
    Ok(AttemptRecord { n: row.small("n")?, at: row.time("at")?, answer, duration_ms: row.count("duration_ms")? })
}
