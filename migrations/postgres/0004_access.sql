-- From this time on nothing is signed for the order any more.
alter table orders add column expires_at timestamptz;

-- Orders that may have to be ended because of it: only those that nothing has been signed for.
create index orders_with_deadline on orders (expires_at)
where expires_at is not null and status in ('pending', 'routing', 'building');
