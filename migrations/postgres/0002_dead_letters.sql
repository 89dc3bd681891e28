-- A dead letter is an order that is set aside: its status stays what it is, and nobody drives it until it is replayed.
alter table orders add column set_aside_at timestamptz;
alter table orders add column set_aside_cause text;
alter table orders add column set_aside_reason text;
alter table orders add check (num_nulls(set_aside_at, set_aside_cause, set_aside_reason) in (0, 3));

-- How often somebody took the order up since its last event without leaving it in order: each of them died.
alter table orders add column take_ups integer not null default 0 check (take_ups >= 0);

-- While nobody can say what became of the order's signature.
alter table orders add column unknown_since timestamptz;
alter table orders add column unknown_reason text;
alter table orders add check (num_nulls(unknown_since, unknown_reason) in (0, 2));

-- The list of dead letters, and their number.
create index orders_set_aside on orders (id) where set_aside_at is not null;
