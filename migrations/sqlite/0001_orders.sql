-- One row per order: what was asked, where it stands, what came of it.
--
-- SQLite's integers have 64 bits with a sign, amounts have 64 bits without one. Amounts that are only read are
-- therefore decimal text. What a wallet has promised must be summed by the database, so each promise is split into two
-- halves of 32 bits: sums of halves stay exact for two thousand million open orders.
-- Times are UTC text of fixed width ('2026-01-31T12:00:00.000000Z'): they sort as text, and SQLite's date functions
-- read them.
create table orders (
    id text primary key not null check (length(id) = 36),
    kind text not null,
    dialect text not null,
    -- A status that this version does not know must not reach a client.
    status text not null check (
        status in ('pending', 'routing', 'building', 'submitted', 'confirmed', 'failed', 'cancelled')
    ),
    state text not null check (json_valid(state)),
    token_in_symbol text not null,
    token_in_mint text not null,
    token_in_decimals integer not null,
    token_in_program text not null,
    token_out_symbol text not null,
    token_out_mint text not null,
    token_out_decimals integer not null,
    token_out_program text not null,
    mode text not null check (mode in ('exact_in', 'exact_out')),
    amount text not null,
    slippage_bps integer not null check (slippage_bps between 0 and 10000),
    -- Least out (exact_in) or most in (exact_out), in base units: the user's bound.
    limit_amount text,
    wallet text,
    signatures integer not null check (signatures >= 0),
    retries integer not null check (retries >= 0),
    failure_code text,
    failure_reason text,
    tx_signature text,
    executed_in text,
    executed_out text,
    slot integer,
    fee text,
    simulated integer not null check (simulated in (0, 1)),
    reserved_wallet text,
    reserved_mint text,
    reserved_amount_hi integer,
    reserved_amount_lo integer,
    reserved_lamports_hi integer,
    reserved_lamports_lo integer,
    -- Cursor of the order's newest event.
    last_cursor integer not null check (last_cursor >= 1),
    -- 0 when nothing will ever have to be done for it again.
    has_work integer not null check (has_work in (0, 1)),
    -- Number of events so far. The compare-and-swap is on this.
    version integer not null check (version >= 1),
    created_at text not null,
    updated_at text not null,
    -- A simulated fill has no transaction.
    check (simulated = 0 or tx_signature is null),
    -- A promise is complete or absent.
    check (
        (reserved_wallet is null) = (reserved_mint is null)
        and (reserved_wallet is null) = (reserved_amount_hi is null)
        and (reserved_wallet is null) = (reserved_amount_lo is null)
        and (reserved_wallet is null) = (reserved_lamports_hi is null)
        and (reserved_wallet is null) = (reserved_lamports_lo is null)
    )
) strict;

-- Lists are newest first; ids sort by creation. A page asks for one status at a time, so that each filter's index,
-- with the status and ending in the id, gives the newest of exactly those orders.
create index orders_by_status on orders (status, id);
create index orders_by_token_in on orders (token_in_symbol, status, id);
create index orders_by_token_out on orders (token_out_symbol, status, id);
create index orders_by_wallet on orders (wallet, status, id) where wallet is not null;

-- What the sweeper looks through: only orders with something left to do.
create index orders_with_work on orders (id) where has_work = 1;

-- What a wallet has promised to orders that are open. Holds every column the sum needs.
create index orders_open_promises on orders (
    reserved_wallet, reserved_mint, reserved_amount_hi, reserved_amount_lo, reserved_lamports_hi, reserved_lamports_lo, id
) where reserved_wallet is not null and status in ('pending', 'routing', 'building', 'submitted');

-- Promises of orders that ended after a balance was read: the newest end of this index.
create index orders_ended_promises on orders (reserved_wallet, last_cursor)
where reserved_wallet is not null and status in ('confirmed', 'failed', 'cancelled');

-- Every event of every order. The cursor is the position among all of them, in commit order and without a gap.
create table order_status_history (
    cursor integer primary key not null check (cursor >= 1),
    order_id text not null references orders (id),
    seq integer not null check (seq >= 1),
    status text not null check (
        status in ('pending', 'routing', 'building', 'submitted', 'confirmed', 'failed', 'cancelled')
    ),
    event text not null,
    payload text not null check (json_valid(payload)),
    created_at text not null,
    -- No two events share a place in an order's life: the last defence against a lost compare-and-swap.
    unique (order_id, seq)
) strict;

-- Every signature ever made, stored before its first send.
create table attempts (
    order_id text not null references orders (id),
    n integer not null check (n >= 1),
    -- One transaction belongs to one order.
    signature text not null unique,
    wire blob not null,
    blockhash text not null,
    last_valid_block_height integer not null,
    context_slot integer not null,
    venue text not null,
    pool text not null,
    wallet text not null,
    quoted_in text not null,
    quoted_out text not null,
    limit_amount text not null,
    compute_units integer not null,
    priority_fee text not null,
    -- Null while it may still land.
    outcome text check (outcome in ('landed', 'rejected', 'expired', 'chain_reset')),
    slot integer,
    signed_at text not null,
    primary key (order_id, n)
) strict;

create table idempotency_keys (
    key text primary key not null,
    -- SHA-256 of what the key was first used with.
    body blob not null check (length(body) = 32),
    order_id text not null references orders (id),
    created_at text not null
) strict;

-- Things the daemon remembers about its surroundings, such as the cluster's genesis hash.
create table facts (
    name text primary key not null,
    value text not null
) strict;
