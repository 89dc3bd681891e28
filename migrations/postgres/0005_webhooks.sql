-- Who is told of orders' events over HTTP.
create table webhooks (
    id uuid primary key,
    url text not null,
    description text not null,
    -- Signs what is sent, so it is kept as it is: whoever can read this table can sign.
    secret text not null,
    -- Which events are wanted: {"events":[],"statuses":[],"orderIds":[]}, where an empty list is no condition.
    filter jsonb not null,
    -- Every event up to this cursor was delivered, waits in webhook_deliveries, or is not wanted.
    cursor bigint not null check (cursor >= 0),
    -- Since when nothing has got through. Null: the last try did, or there was none.
    failing_since timestamptz,
    -- Nothing is sent while this is set; the cursor stays where it is.
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check (num_nulls(disabled_at, disabled_reason) in (0, 2))
);

-- One event for one webhook.
create table webhook_deliveries (
    id uuid primary key,
    webhook_id uuid not null references webhooks (id) on delete cascade,
    cursor bigint not null references order_status_history (cursor),
    -- The event's, for the order within an order's events.
    order_id uuid not null,
    state text not null check (state in ('pending', 'delivered', 'failed', 'skipped')),
    -- Tries that failed since it last began to wait.
    tries integer not null check (tries >= 0),
    -- Asked for once more by a person: it waits for no other event of its order, and none waits for it.
    again boolean not null,
    next_try_at timestamptz not null,
    created_at timestamptz not null,
    -- An event is delivered once, whoever reads the history twice.
    unique (webhook_id, cursor)
);

-- What waits, and what of an order waits before it.
create index webhook_deliveries_pending on webhook_deliveries (webhook_id, order_id, cursor) where state = 'pending';
-- The log of a webhook, newest first.
create index webhook_deliveries_log on webhook_deliveries (webhook_id, id);

-- Every try: what the receiver answered, or why there was no answer.
create table webhook_attempts (
    delivery_id uuid not null references webhook_deliveries (id) on delete cascade,
    n integer not null check (n >= 1),
    at timestamptz not null,
    status smallint,
    error text,
    duration_ms bigint not null check (duration_ms >= 0),
    primary key (delivery_id, n),
    check (num_nulls(status, error) = 1)
);

-- Work that one process does at a time, by the database's clock.
create table leases (
    name text primary key,
    holder text not null,
    until timestamptz not null
);
