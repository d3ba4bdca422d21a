-- last: what the newest entry about events says
select subjects from kernel.audit where action = $1 and role = 'service' order by audit_id desc limit 1

-- events_after: committed events after a point of the log, every field as text, in the order of the log
select epoch::text, transaction_id::text, position::text, stream, version::text, event_id::text, type, topic, subject,
    extract(epoch from time)::text as time, extract(epoch from recorded_time)::text as recorded_time,
    extract(epoch from imported_time)::text as imported_time, correlation_id, causation_id, actor, traceparent,
    origin, mode, data::text
from eventlog.events
where (events.epoch, events.transaction_id, events.position) > ($1::text::int, $2::text::xid8, $3::text::bigint)
  and (events.epoch < (select current from eventlog.epoch)
       or events.transaction_id < pg_snapshot_xmin(pg_current_snapshot()))
order by events.epoch, events.transaction_id, events.position limit $4

-- every_event: all of them, the same way
select epoch::text, transaction_id::text, position::text, stream, version::text, event_id::text, type, topic, subject,
    extract(epoch from time)::text as time, extract(epoch from recorded_time)::text as recorded_time,
    extract(epoch from imported_time)::text as imported_time, correlation_id, causation_id, actor, traceparent,
    origin, mode, data::text
from eventlog.events order by events.epoch, events.transaction_id, events.position
