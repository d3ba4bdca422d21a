-- In the database `vault`. A destroyed key keeps its name, so that nobody makes it anew.
create table key (
    name text primary key,
    wrapped bytea,
    master_id text not null,
    created_at timestamptz not null default clock_timestamp(),
    destroyed_at timestamptz,
    check ((wrapped is null) = (destroyed_at is not null))
);
