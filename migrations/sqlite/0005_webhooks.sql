-- Who is told of orders' events over HTTP.
create table webhooks (
    id text primary key not null check (length(id) = 36),
    url text not null,
    description text not null,
    -- Signs what is sent, so it is kept as it is: whoever can read this table can sign.
    secret text not null,
    -- Which events are wanted: {"events":[],"statuses":[],"orderIds":[]}, where an empty list is no condition.
    filter text not null check (json_valid(filter)),
    -- Every event up to this cursor was delivered, waits in webhook_deliveries, or is not wanted.
    cursor integer not null check (cursor >= 0),
    -- Since when nothing has got through. Null: the last try did, or there was none.
    failing_since text,
    -- Nothing is sent while this is set; the cursor stays where it is.
    disabled_at text,
    disabled_reason text,
    created_at text not null,
    updated_at text not null,
    check ((disabled_at is null) = (disabled_reason is null))
) strict;

-- One event for one webhook.
create table webhook_deliveries (
    id text primary key not null check (length(id) = 36),
    webhook_id text not null references webhooks (id) on delete cascade,
    cursor integer not null references order_status_history (cursor),
    -- The event's, for the order within an order's events.
    order_id text not null,
    state text not null check (state in ('pending', 'delivered', 'failed', 'skipped')),
    -- Tries that failed since it last began to wait.
    tries integer not null check (tries >= 0),
    -- Asked for once more by a person: it waits for no other event of its order, and none waits for it.
    again integer not null check (again in (0, 1)),
    next_try_at text not null,
    created_at text not null,
    -- An event is delivered once, whoever reads the history twice.
    unique (webhook_id, cursor)
) strict;

-- What waits, and what of an order waits before it.
create index webhook_deliveries_pending on webhook_deliveries (webhook_id, order_id, cursor) where state = 'pending';
-- The log of a webhook, newest first.
create index webhook_deliveries_log on webhook_deliveries (webhook_id, id);

-- Every try: what the receiver answered, or why there was no answer.
create table webhook_attempts (
    delivery_id text not null references webhook_deliveries (id) on delete cascade,
    n integer not null check (n >= 1),
    at text not null,
    status integer,
    error text,
    duration_ms integer not null check (duration_ms >= 0),
    primary key (delivery_id, n),
    check ((status is null) <> (error is null))
) strict;

-- Work that one process does at a time.
create table leases (
    name text primary key not null,
    holder text not null,
    until text not null
) strict;
