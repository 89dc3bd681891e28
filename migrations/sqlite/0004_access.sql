-- From this time on nothing is signed for the order any more.
alter table orders add column expires_at text;

-- Orders that may have to be ended because of it: only those that nothing has been signed for.
create index orders_with_deadline on orders (expires_at)
where expires_at is not null and status in ('pending', 'routing', 'building');

-- Who may use the API. A revoked key stays: its name is in logs, and without any row the API is open.
create table api_keys (
    name text primary key not null,
    -- SHA-256 of the key, which is 256 random bits: there is nothing to guess that a slow hash would protect.
    digest blob not null unique check (length(digest) = 32),
    scope text not null check (scope in ('read', 'trade')),
    -- Requests in a second; null is no limit.
    per_second integer check (per_second > 0),
    created_at text not null,
    revoked_at text
) strict;

-- The most of its input token that an order's newest promise spends, in base units and in halves, and when that was
-- promised: what spend caps are summed over. An order that failed or was cancelled has spent nothing.
alter table orders add column promised_in_hi integer;
alter table orders add column promised_in_lo integer;
alter table orders add column promised_at text;
create index orders_spends on orders (token_in_mint, promised_at)
where promised_at is not null and status not in ('failed', 'cancelled');
