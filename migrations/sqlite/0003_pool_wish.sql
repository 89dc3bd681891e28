-- The pool that an order insists on, as its client wrote it. Null: any pool.
alter table orders add column pool_wish text check (pool_wish is null or json_valid(pool_wish));

-- Dialects have telling names. What was stored under a key keeps its digest, which has the former name in it: the key is
-- refused from now on rather than used for a second order.
update orders set dialect = 'plain' where dialect = 's0';
update orders set dialect = 'typed' where dialect = 's3';
update idempotency_keys set key = 'plain' || substr(key, 3) where substr(key, 1, 3) = 's0:';
update idempotency_keys set key = 'typed' || substr(key, 3) where substr(key, 1, 3) = 's3:';
