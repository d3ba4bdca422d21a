-- Versions of a read model stand side by side, each with tables in a schema of its own. Readers use the views of the
-- same names in schema `projections`, which show the tables of the version that is live.
-- `definition` and `tables_digest`: of the software that made the version. `epoch`, `transaction_id` and
-- `position`: how far the event store was read; `events_total` is null until that begins, `built_at` until it is done.
create table projections.version (
    projection text not null,
    version int not null,
    definition int not null,
    tables_digest text,
    live boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    epoch int not null default 0,
    transaction_id xid8 not null default '0',
    position bigint not null default 0,
    events_read bigint not null default 0,
    events_total bigint,
    built_at timestamptz,
    swapped_at timestamptz,
    primary key (projection, version)
);
create unique index version_live on projections.version (projection) where live;

insert into projections.version (projection, version, definition, live, events_total, built_at, swapped_at)
values ('case_list', 1, 1, true, 0, clock_timestamp(), clock_timestamp()),
    ('annual', 2, 2, true, 0, clock_timestamp(), clock_timestamp());

-- The tables move as they are, with what they hold; the views follow them.
create schema projections_case_list_v1;
alter table projections.case_list_v1 set schema projections_case_list_v1;
alter table projections_case_list_v1.case_list_v1 rename to case_list;

create schema projections_annual_v2;
do $$
declare
    name text;
begin
    foreach name in array array['lifecycle', 'nature', 'child', 'outcome', 'place', 'worrying', 'reason', 'campaign',
        'ending', 'alert', 'display', 'counter']
    loop
        execute format('alter table projections.%I set schema projections_annual_v2', 'annual_v2_' || name);
        execute format('alter table projections_annual_v2.%I rename to %I', 'annual_v2_' || name, 'annual_' || name);
    end loop;
end $$;

-- The versions of streams that a version has taken in stand with its tables: they go when it goes.
create table projections_case_list_v1.seen (stream text primary key, version bigint not null);
insert into projections_case_list_v1.seen
select stream, stream_version from projections.seen where projection = 'case_list' and version = 1;
create table projections_annual_v2.seen (stream text primary key, version bigint not null);
insert into projections_annual_v2.seen
select stream, stream_version from projections.seen where projection = 'annual' and version = 2;
drop table projections.seen;

-- What every version has taken in: for whoever checks that none has seen what is not in the store.
create function projections.seen() returns table (projection text, version int, stream text, stream_version bigint)
language plpgsql stable as $$
declare
    one record;
begin
    for one in select v.projection, v.version from projections.version v loop
        return query execute format('select %L, %L::int, s.stream, s.version from %I.seen s', one.projection,
            one.version, format('projections_%s_v%s', one.projection, one.version));
    end loop;
end $$;
