-- lock: locks the streams, always in the same order; says whether the transaction had written before
select pg_current_xact_id_if_assigned() is not null as wrote,
       (select count(*) from (select pg_advisory_xact_lock(h) from
            (select distinct hashtextextended(s, 116000) as h from unnest($1::text[]) s order by 1) o) l) as locked

-- versions: the newest version of each of these streams
select s.stream, newest.version from unnest($1::text[]) as s(stream) cross join lateral (
    select version from eventlog.events e where e.stream = s.stream order by version desc limit 1) newest

-- append: appends events, and tells the relay which topics have some; versions are given, so that two writers of one
-- version collide
with added as (
insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, recorded_time,
    imported_time, correlation_id, causation_id, actor, traceparent, origin, mode, data)
select (select current from eventlog.epoch), e.stream, e.version, e.event_id, e.type, e.topic, e.subject,
    coalesce(e.time, clock_timestamp()), coalesce(e.recorded_time, clock_timestamp()), e.imported_time,
    e.correlation_id, e.causation_id, e.actor, e.traceparent, e.origin, e.mode, e.data
from unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
    $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
    $15::text[], $16::jsonb[]) with ordinality
    as e(stream, version, event_id, type, topic, subject, time, recorded_time, imported_time, correlation_id,
         causation_id, actor, traceparent, origin, mode, data, n)
order by e.n returning topic
)
select pg_notify($17, topic) from (select distinct topic from added) told

-- stop: remembers that something must go dark; the highest version counts
insert into eventlog.stop (kind, id, case_id, version, event_id, mode) values ($1, $2, $3, $4, $5, $6)
on conflict (kind, id) do update set version = excluded.version, event_id = excluded.event_id,
    stopped_at = clock_timestamp()
where stop.version < excluded.version

-- stops: what must be dark, newest first
select kind, id, case_id, version, event_id, mode from eventlog.stop
where stopped_at > clock_timestamp() - $1::interval order by stopped_at desc

-- stopped: what is known to be stopped among these campaigns and cases
select kind, id, version from eventlog.stop where id = any($1::uuid[])

-- read_stream: the events of one stream after a version
select * from eventlog.events where stream = $1 and version > $2 order by version limit $3

-- read_streams: the events of these streams, each in order
select * from eventlog.events where stream = any($1::text[]) order by stream, version

-- read_subject: every event of one case in order of appending, as known at a moment
select * from eventlog.events where subject = $1 and ($2::timestamptz is null or recorded_time <= $2)
order by position

-- read_subject_page: the events of one case after a position, in order of appending
select * from eventlog.events where subject = $1 and position > $2 order by position limit $3

-- tail: committed events after a point of the log, in the order that loses nothing (of numbers: qualified, because
-- the bare name in `order by` is the text of the select list, where 1000 comes before 999)
select epoch, transaction_id::text as transaction_id, position, stream, version, event_id, type, topic, subject,
    time, recorded_time, imported_time, correlation_id, causation_id, actor, traceparent, origin, mode, data
from eventlog.events
where (epoch, transaction_id, position) > ($1, $2::text::xid8, $3)
  and (epoch < (select current from eventlog.epoch) or transaction_id < pg_snapshot_xmin(pg_current_snapshot()))
order by events.epoch, events.transaction_id, events.position limit $4

-- unreadable: whether anything of a topic that is committed lies after a point of the log
select exists (select 1 from eventlog.events
               where (epoch, transaction_id, position) > ($1, $2::text::xid8, $3) and topic = $4)

-- head: the last event that a reader may see
select epoch, transaction_id::text as transaction_id, position from eventlog.events
where epoch < (select current from eventlog.epoch) or transaction_id < pg_snapshot_xmin(pg_current_snapshot())
order by events.epoch desc, events.transaction_id desc, events.position desc limit 1

-- checkpoint: where the relay is
select epoch, transaction_id::text as transaction_id, position, cluster_id, topic_ids, clean_stop, boot_id
from eventlog.relay_checkpoint

-- checkpoint_start: the first checkpoint, or a new one for another cluster
insert into eventlog.relay_checkpoint (epoch, transaction_id, position, cluster_id, topic_ids)
values (0, '0'::xid8, 0, $1, $2)
on conflict (only_one) do update set epoch = 0, transaction_id = '0'::xid8, position = 0, cluster_id = $1,
    topic_ids = $2, clean_stop = false

-- checkpoint_rewind: back by an interval, counted from the checkpoint's last move; never forward
update eventlog.relay_checkpoint c set epoch = e.epoch, transaction_id = e.transaction_id, position = 0
from (select epoch, transaction_id from eventlog.events
      where recorded_time > (select moved_at from eventlog.relay_checkpoint) - $1::interval
         or imported_time > (select moved_at from eventlog.relay_checkpoint) - $1::interval
      order by epoch, transaction_id limit 1) e
where (e.epoch, e.transaction_id, 0) < (c.epoch, c.transaction_id, c.position)

-- checkpoint_move: compare and set; no row means another relay is at work
update eventlog.relay_checkpoint set epoch = $1, transaction_id = $2::text::xid8, position = $3,
    moved_at = clock_timestamp(), clean_stop = false
where (epoch, transaction_id, position) = ($4, $5::text::xid8, $6)
returning true

-- checkpoint_open: a relay is at work, on this boot of its machine
update eventlog.relay_checkpoint set clean_stop = false, boot_id = $1

-- checkpoint_close: a clean stop, after which nothing needs to be sent again
update eventlog.relay_checkpoint set clean_stop = true

-- next_transaction: whether every stored id is below the next one of this server
select (select current from eventlog.epoch) as epoch, pg_snapshot_xmax(pg_current_snapshot())::text as next,
    (select max(transaction_id) from eventlog.events where epoch = (select current from eventlog.epoch))
        >= pg_snapshot_xmax(pg_current_snapshot()) as beyond

-- new_epoch: after a restore
update eventlog.epoch set current = current + 1 returning current

-- overdue: whether the newest case event that the relay has sent was written after a consumer last came on
select coalesce((
    select e.recorded_time from eventlog.events e cross join eventlog.relay_checkpoint k
    where (e.epoch, e.transaction_id, e.position) <= (k.epoch, k.transaction_id, k.position) and e.topic = 'case-events'
    order by e.epoch desc, e.transaction_id desc, e.position desc limit 1), '-infinity')
    > coalesce((select max(moved_at) from kernel.consumer_progress where consumer = $1), '-infinity')
