-- every: every version of every projection, or of one
select projection, version, definition, tables_digest, live, created_at, epoch, transaction_id::text as transaction_id,
    position, events_read, events_total, built_at, swapped_at
from projections.version where $1::text is null or projection = $1 order by projection, version

-- install_lock: one at a time may add versions
select pg_advisory_xact_lock(116003)

-- add: a version with the next number
insert into projections.version (projection, version, definition, tables_digest)
select $1, coalesce(max(version), 0) + 1, $2, $3 from projections.version where projection = $1
returning version

-- adopt: what the tables of versions from before look like is what the software says now
update projections.version set tables_digest = $3 where projection = $1 and version = $2

-- columns: the columns of a version's tables but the engine's own
select c.relname as table_name, a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
    coalesce(a.attnum = any(i.indkey), false) as is_key
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_index i on i.indrelid = c.oid and i.indisprimary
where n.nspname = $1 and c.relkind in ('r', 'p') and c.relname <> 'seen' order by 1, a.attname

-- make_live: readers see this version from now on
update projections.version set live = true, swapped_at = clock_timestamp() where projection = $1 and version = $2

-- no_longer_live: at most one version may be live at any moment
update projections.version set live = false where projection = $1 and live

-- enter: the way into every transaction of a version: its tables come first, and nobody who holds the gate is disturbed
select set_config('search_path', $1, true), set_config('synchronous_commit', 'off', true),
    pg_advisory_xact_lock_shared(hashtextextended($2, 116000))

-- close_gate: waits until no transaction of the version is open; none begins until the gate opens
select pg_advisory_lock(hashtextextended($1, 116000))

-- open_gate: transactions of the version go on
select pg_advisory_unlock(hashtextextended($1, 116000))

-- lock_gate: closes the gate until the end of this transaction
select pg_advisory_xact_lock(hashtextextended($1, 116000))

-- begin_build: how much there is to read; a build that began before goes on where it was
update projections.version set events_total = $3 where projection = $1 and version = $2

-- count_log: how many events `log` finds up to a point
select count(*) from eventlog.events
where (epoch, transaction_id, position) <= ($1, $2::text::xid8, $3) and topic = any($4::text[]) and type <> all($5::text[])

-- log: the next events after a point and up to another, in the order of the log, without those of types nobody asked for
select epoch, transaction_id::text as transaction_id, position, stream, version, event_id, type, topic, subject,
    time, recorded_time, imported_time, correlation_id, causation_id, actor, traceparent, origin, mode, data
from eventlog.events
where (epoch, transaction_id, position) > ($1, $2::text::xid8, $3)
  and (epoch, transaction_id, position) <= ($4, $5::text::xid8, $6)
  and topic = any($7::text[]) and type <> all($8::text[])
order by events.epoch, events.transaction_id, events.position limit $9

-- see_log: what `log` has read of the next streams by name, in the version's own table; returns the last of these names
with streams as (
    select stream, max(version) as version from eventlog.events
    where stream > $1 and (epoch, transaction_id, position) <= ($2, $3::text::xid8, $4) and topic = any($5::text[])
    group by stream order by stream limit $6),
done as (
    insert into seen as s (stream, version) select stream, version from streams
    on conflict (stream) do update set version = excluded.version where s.version < excluded.version)
select max(stream) from streams

-- move_build: compare and set; no row means that another process is at work, or that the version was dropped
update projections.version set epoch = $6, transaction_id = $7::text::xid8, position = $8, events_read = events_read + $9
where projection = $1 and version = $2 and (epoch, transaction_id, position) = ($3, $4::text::xid8, $5)
returning true

-- built: the event store is read; from now on Kafka is followed
update projections.version set built_at = clock_timestamp() where projection = $1 and version = $2

-- apart: streams of which two versions of a projection have not taken in the same
select stream, coalesce(a.version, 0) as one, coalesce(b.version, 0) as other
from {old}.seen a full join {new}.seen b using (stream)
where a.version is distinct from b.version limit $1

-- sum: what the rows of a table add up to; equal tables add up to the same
select count(*) as rows, sum(hashtextextended(t::text, 0)::numeric) as hash from (select {columns} from {table}) t

-- differences: how many rows only one of two tables has, and the keys of some
with a as (select {columns} from {old}), b as (select {columns} from {new}),
only_old as (select * from a except all select * from b),
only_new as (select * from b except all select * from a)
select (select count(*) from only_old) as only_old, (select count(*) from only_new) as only_new,
    (select array_agg(key order by key) from (
        select distinct (row({key}))::text as key from (select * from only_old union all select * from only_new) d
        order by 1 limit $1) k) as keys

-- begun: whether any version of a projection has read anything
select exists (select from projections.checkpoint where projection = $1)

-- create_seen: the last version of each stream that the version has taken in: nobody decides by offset
create table seen (stream text primary key, version bigint not null)

-- missing: events of streams after a version and up to another
select e.*, e.transaction_id::text as transaction_id
from unnest($1::text[], $2::bigint[], $3::bigint[]) as m(stream, after, up_to)
join eventlog.events e on e.stream = m.stream and e.version > m.after and e.version <= m.up_to
order by e.stream, e.version

-- forget_version: what the engine noted of a version
delete from projections.version where projection = $1 and version = $2

-- forget_checkpoint: where it was
delete from projections.checkpoint where projection = $1 and version = $2

-- forget_unknown: what it did not know
delete from projections.unknown where projection = $1 and version = $2

-- forget_stop: what stopped it
delete from projections.stopped where projection = $1 and version = $2
