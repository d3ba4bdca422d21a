-- How far each stream processor has come: written in the transaction of its work, so it never claims too much.
create table kernel.consumer_progress (
    consumer text not null,
    topic text not null,
    partition int not null,
    next_offset bigint not null,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (consumer, topic, partition)
);
