-- log: the number of the newest event, how many Kafka does not have, and how many pages wait for somebody; counting all
-- events would read the whole store at each scrape
select (select coalesce(max(position), 0) from eventlog.events) as events,
       (select count(*) from eventlog.events e
        where (e.epoch, e.transaction_id, e.position) >
              (select epoch, transaction_id, position from eventlog.relay_checkpoint
               union all select 0, '0'::xid8, 0 order by 1 desc, 2 desc, 3 desc limit 1)) as relay_lag,
       (select count(*) from kernel.page where acknowledged_at is null and closed_at is null) as pages_open

-- deliveries: how many deliveries of the last day are in which state, and how many wait, however old
select state, count(*) as value from dispatch.delivery
where state = 'pending' or created_at > now() - interval '1 day' group by state order by state

-- heartbeats: how old the youngest heartbeat of each service is
select service, extract(epoch from clock_timestamp() - max(beat_at)) as value
from kernel.heartbeat group by service order by service

-- consumers: how far each consumer is
select consumer, topic, partition, next_offset from kernel.consumer_progress
union all
select 'projection ' || projection || '.v' || version, topic, partition, next_offset from projections.checkpoint
order by 1, 2, 3
