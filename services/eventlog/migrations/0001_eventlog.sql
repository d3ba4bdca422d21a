create schema eventlog;

-- Raised by `migrate --new-epoch` after a logical restore, when transaction ids start again below old ones.
create table eventlog.epoch (current int not null);
insert into eventlog.epoch values (1);

create table eventlog.events (
    position bigint generated always as identity primary key,
    epoch int not null,
    transaction_id xid8 not null default pg_current_xact_id(),
    stream text not null,
    version bigint not null,
    event_id uuid not null unique,
    type text not null,
    topic text not null,
    subject text not null,
    time timestamptz not null,
    recorded_time timestamptz not null default clock_timestamp(),
    imported_time timestamptz,
    correlation_id text not null,
    causation_id text,
    actor text not null,
    traceparent text,
    origin text not null check (origin in ('live', 'import')),
    mode text not null check (mode in ('actual', 'exercise')),
    data jsonb not null check (octet_length(data::text) <= 524288),
    unique (stream, version)
);
create index events_relay on eventlog.events (epoch, transaction_id, position);
create index events_subject on eventlog.events (subject, position);

create function eventlog.refuse() returns trigger language plpgsql as $$
begin
    raise exception 'events are append-only: append a correcting event instead';
end $$;
create trigger append_only before update or delete or truncate on eventlog.events
    for each statement execute function eventlog.refuse();

-- What must go dark without waiting for Kafka. kind 'campaign': that campaign; kind 'case': the standby alerts of
-- the case that rest on a version of the case below `version`.
create table eventlog.stop (
    kind text not null check (kind in ('campaign', 'case')),
    id uuid not null,
    case_id uuid not null,
    version bigint not null,
    event_id uuid not null,
    mode text not null,
    stopped_at timestamptz not null default clock_timestamp(),
    primary key (kind, id)
);
create index stop_recent on eventlog.stop (stopped_at);

create table eventlog.relay_checkpoint (
    only_one boolean primary key default true check (only_one),
    epoch int not null,
    transaction_id xid8 not null,
    position bigint not null,
    cluster_id text not null,
    topic_ids jsonb not null,
    clean_stop boolean not null default false,
    moved_at timestamptz not null default clock_timestamp()
);
