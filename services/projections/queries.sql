-- lock: whether this session is now the one that runs the projection
select pg_try_advisory_lock(hashtextextended($1, 116000))

-- begin: a checkpoint for each partition; 0 where it is new or was made in another cluster or topic
insert into projections.checkpoint as c (projection, version, topic, partition, topic_id, cluster_id, next_offset)
select $1, $2, b.topic, b.partition, b.topic_id, $3, 0
from unnest($4::text[], $5::int[], $6::text[]) as b(topic, partition, topic_id)
on conflict (projection, version, topic, partition) do update
    set topic_id = excluded.topic_id, cluster_id = excluded.cluster_id, next_offset = 0,
        moved_at = clock_timestamp()
    where (c.topic_id, c.cluster_id) <> (excluded.topic_id, excluded.cluster_id)

-- begin_at: the checkpoint of a version that is to be built from the event store; a build that began before goes on
insert into projections.checkpoint (projection, version, topic, partition, topic_id, cluster_id, next_offset)
select $1, $2, b.topic, b.partition, b.topic_id, $3, b.next_offset
from unnest($4::text[], $5::int[], $6::text[], $7::bigint[]) as b(topic, partition, topic_id, next_offset)
on conflict (projection, version, topic, partition) do nothing

-- checkpoints: where the projection is
select topic, partition, next_offset from projections.checkpoint
where projection = $1 and version = $2 and topic = any($3::text[])

-- move: compare and set; fewer rows than partitions mean that another process is at work
update projections.checkpoint c set next_offset = b.next_offset, moved_at = clock_timestamp()
from unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[]) as b(topic, partition, at, next_offset)
where c.projection = $1 and c.version = $2 and c.topic = b.topic and c.partition = b.partition
  and c.next_offset = b.at
returning true

-- seen: the last version of these streams
select stream, version from seen where stream = any($1::text[])

-- see: remembers the last version of each stream
insert into seen as s (stream, version) select * from unnest($1::text[], $2::bigint[])
on conflict (stream) do update set version = excluded.version where s.version < excluded.version

-- unknown: counts event types that this version does not know
insert into projections.unknown as u (projection, version, type, count)
select $1, $2, * from unnest($3::text[], $4::bigint[])
on conflict (projection, version, type) do update set count = u.count + excluded.count

-- stop: an event stopped the projection
insert into projections.stopped (projection, version, place, error) values ($1, $2, $3, $4)
on conflict (projection, version) do update set place = excluded.place, error = excluded.error,
    stopped_at = clock_timestamp()

-- unstop: the projection is at work again
delete from projections.stopped where projection = $1 and version = $2 returning true

-- all_checkpoints: where every projection is
select projection, version, topic, partition, next_offset, moved_at from projections.checkpoint

-- live_checkpoints: where each version is that readers see; one that has not begun has a row without a topic
select v.projection, c.topic, c.partition, case when v.built_at is null then 0 else c.next_offset end as next_offset
from projections.version v left join projections.checkpoint c using (projection, version) where v.live

-- all_stopped: which projections an event stopped
select projection, version, place, error, stopped_at from projections.stopped

-- all_unknown: what each projection skipped because it did not know it
select projection, version, type, count from projections.unknown order by type
