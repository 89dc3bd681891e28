-- An amount in base units or lamports: 64 bits without a sign, which no integer type here can hold.
create domain base_units as numeric(20, 0) check (value between 0 and 18446744073709551615);

-- A status that this version does not know must not reach a client.
create domain order_status as text check (
    value in ('pending', 'routing', 'building', 'submitted', 'confirmed', 'failed', 'cancelled')
);

-- One row per order: what was asked, where it stands, what came of it.
create table orders (
    id uuid primary key,
    kind text not null,
    dialect text not null,
    status order_status not null,
    state jsonb not null,
    token_in_symbol text not null,
    token_in_mint text not null,
    token_in_decimals smallint not null,
    token_in_program text not null,
    token_out_symbol text not null,
    token_out_mint text not null,
    token_out_decimals smallint not null,
    token_out_program text not null,
    mode text not null check (mode in ('exact_in', 'exact_out')),
    amount base_units not null,
    slippage_bps integer not null check (slippage_bps between 0 and 10000),
    -- Least out (exact_in) or most in (exact_out), in base units: the user's bound.
    limit_amount base_units,
    wallet text,
    signatures smallint not null check (signatures >= 0),
    retries smallint not null check (retries >= 0),
    failure_code text,
    failure_reason text,
    tx_signature text,
    executed_in base_units,
    executed_out base_units,
    slot bigint,
    fee base_units,
    simulated boolean not null,
    reserved_wallet text,
    reserved_mint text,
    reserved_amount base_units,
    reserved_lamports base_units,
    -- Cursor of the order's newest event.
    last_cursor bigint not null check (last_cursor >= 1),
    -- False when nothing will ever have to be done for it again.
    has_work boolean not null,
    -- Number of events so far. The compare-and-swap is on this.
    version bigint not null check (version >= 1),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- A simulated fill has no transaction.
    check (not simulated or tx_signature is null),
    -- A promise is complete or absent.
    check (num_nulls(reserved_wallet, reserved_mint, reserved_amount, reserved_lamports) in (0, 4))
);

-- Lists are newest first; ids sort by creation. A page asks for one status at a time, so that each filter's index,
-- with the status and ending in the id, gives the newest of exactly those orders.
create index orders_by_status on orders (status, id);
create index orders_by_token_in on orders (token_in_symbol, status, id);
create index orders_by_token_out on orders (token_out_symbol, status, id);
create index orders_by_wallet on orders (wallet, status, id) where wallet is not null;

-- What the sweeper looks through: only orders with something left to do.
create index orders_with_work on orders (id) where has_work;

-- What a wallet has promised to orders that are open.
create index orders_open_promises on orders (reserved_wallet)
where reserved_wallet is not null and status in ('pending', 'routing', 'building', 'submitted');

-- Promises of orders that ended after a balance was read: the newest end of this index.
create index orders_ended_promises on orders (reserved_wallet, last_cursor)
where reserved_wallet is not null and status in ('confirmed', 'failed', 'cancelled');

-- Every event of every order. The cursor is the position among all of them, in commit order and without a gap:
-- writers number events under one lock that they hold until their commit.
create table order_status_history (
    cursor bigint primary key check (cursor >= 1),
    order_id uuid not null references orders (id),
    seq bigint not null check (seq >= 1),
    status order_status not null,
    event text not null,
    payload jsonb not null,
    created_at timestamptz not null,
    -- No two events share a place in an order's life: the last defence against a lost compare-and-swap.
    unique (order_id, seq)
);

-- Every signature ever made, stored before its first send.
create table attempts (
    order_id uuid not null references orders (id),
    n smallint not null check (n >= 1),
    -- One transaction belongs to one order.
    signature text not null unique,
    wire bytea not null,
    blockhash text not null,
    last_valid_block_height bigint not null,
    context_slot bigint not null,
    venue text not null,
    pool text not null,
    wallet text not null,
    quoted_in base_units not null,
    quoted_out base_units not null,
    limit_amount base_units not null,
    compute_units bigint not null,
    priority_fee base_units not null,
    -- Null while it may still land.
    outcome text check (outcome in ('landed', 'rejected', 'expired', 'chain_reset')),
    slot bigint,
    signed_at timestamptz not null,
    primary key (order_id, n)
);

create table idempotency_keys (
    key text primary key,
    -- SHA-256 of what the key was first used with.
    body bytea not null check (length(body) = 32),
    order_id uuid not null references orders (id),
    created_at timestamptz not null
);

-- Things the daemon remembers about its surroundings, such as the cluster's genesis hash.
create table facts (
    name text primary key,
    value text not null
);
