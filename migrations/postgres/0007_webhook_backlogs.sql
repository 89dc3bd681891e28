-- What waits, what of an order waits before it, and since when, so that counting it needs no look at the rows.
drop index webhook_deliveries_pending;
create index webhook_deliveries_pending on webhook_deliveries (webhook_id, order_id, cursor, created_at)
    where state = 'pending';
