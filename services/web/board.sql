-- backlog: what Kafka does not have yet, which deliveries wait and since when, and how many pages nobody looks after
select (select count(*) from eventlog.events e
        where (e.epoch, e.transaction_id, e.position) >
              (select epoch, transaction_id, position from eventlog.relay_checkpoint
               union all select 0, '0'::xid8, 0 order by 1 desc, 2 desc, 3 desc limit 1)) as relay,
    (select count(*) from dispatch.delivery where state = 'pending') as deliveries,
    (select min(created_at) from dispatch.delivery where state = 'pending') as oldest_delivery_at,
    (select count(*) from kernel.page where acknowledged_at is null and closed_at is null) as pages
