create schema projections;

-- How far each projection has read each partition; moved by compare-and-set in the transaction of the work.
-- An offset means something only in this cluster and this incarnation of the topic.
create table projections.checkpoint (
    projection text not null,
    version int not null,
    topic text not null,
    partition int not null,
    topic_id text not null,
    cluster_id text not null,
    next_offset bigint not null,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (projection, version, topic, partition)
);

-- The last version of each stream that a projection has taken in: nobody decides by offset.
create table projections.seen (
    projection text not null,
    version int not null,
    stream text not null,
    stream_version bigint not null,
    primary key (projection, version, stream)
);

-- Event types that this version of the software does not know; skipped and counted.
create table projections.unknown (
    projection text not null,
    version int not null,
    type text not null,
    count bigint not null,
    primary key (projection, version, type)
);

-- A projection that an event stopped, and where.
create table projections.stopped (
    projection text not null,
    version int not null,
    place text not null,
    error text not null,
    stopped_at timestamptz not null default clock_timestamp(),
    primary key (projection, version)
);
