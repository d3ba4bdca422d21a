-- tables: facts, not states: each row says when it was recorded, so that a report can be asked as of any moment
create table annual_lifecycle (
    case_id uuid not null,
    version bigint not null,
    recorded_time timestamptz not null,
    time timestamptz not null,
    what text not null check (what in ('opened', 'closed', 'reopened', 'merged')),
    merged_into uuid,
    case_number text,
    primary key (case_id, version)
);

-- Each case once: when it was first and last opened, closed or merged, and whether it is open after the last of these:
-- a year's report looks at no other cases than those that these say may be in it.
create table annual_case (
    case_id uuid primary key,
    last_version bigint not null,
    first_time timestamptz not null,
    last_time timestamptz not null,
    last_recorded timestamptz not null,
    open boolean not null
);
create index annual_case_open on annual_case (first_time) where open;
create index annual_case_last on annual_case (last_time);
create index annual_case_recorded on annual_case (last_recorded);
create index annual_lifecycle_merged on annual_lifecycle (case_id) where merged_into is not null;

-- `kind` is set where a kind begins (opening, reclassification); other columns where they were told. `region` is that
-- of the country.
create table annual_nature (
    case_id uuid not null,
    version bigint not null,
    recorded_time timestamptz not null,
    kind text,
    status text,
    abducting_parent text,
    subject text,
    country text,
    region text,
    towards_belgium boolean,
    helped boolean,
    primary key (case_id, version)
);

-- What was told about a child, first (with `child_id`) and in corrections; ages in years at the disappearance.
create table annual_child (
    case_id uuid not null,
    child int not null,
    version bigint not null,
    recorded_time timestamptz not null,
    child_id uuid,
    age_min int,
    age_max int,
    gender text,
    nationality text,
    primary key (case_id, child, version)
);

-- `time` is when the child was found, where that was told (`located`), else when the outcome was.
create table annual_outcome (
    case_id uuid not null,
    child int not null,
    version bigint not null,
    recorded_time timestamptz not null,
    outcome text not null,
    time timestamptz not null,
    located boolean not null,
    primary key (case_id, child, version)
);

-- Where a child was last seen: a province by its REFNIS code, or the region of Brussels, which is in none.
create table annual_place (
    case_id uuid not null,
    version bigint not null,
    recorded_time timestamptz not null,
    province text not null,
    primary key (case_id, version)
);

-- When a case was first known to be worrying, and when first for each reason.
create table annual_worrying (
    case_id uuid primary key,
    recorded_time timestamptz not null
);
create table annual_reason (
    case_id uuid not null,
    reason text not null,
    recorded_time timestamptz not null,
    primary key (case_id, reason)
);

create table annual_campaign (
    campaign_id uuid primary key,
    case_id uuid not null,
    kind text not null,
    time timestamptz not null,
    recorded_time timestamptz not null
);
create index annual_campaign_time on annual_campaign (time);
create table annual_ending (
    campaign_id uuid primary key,
    time timestamptz not null,
    recorded_time timestamptz not null
);

create index annual_ending_time on annual_ending (time);

-- `displays` are those for which it was planned when it was issued: who joins later is not slow.
create table annual_alert (
    alert_id uuid primary key,
    campaign_id uuid not null,
    case_id uuid not null,
    recorded_time timestamptz not null,
    displays uuid[] not null
);
create index annual_alert_campaign on annual_alert (campaign_id);

-- The first delivery to a display partner of something to show, and of the withdrawal; either may come before its alert.
create table annual_display (
    alert_id uuid not null,
    recipient uuid not null,
    dark boolean not null,
    time timestamptz not null,
    recorded_time timestamptz not null,
    primary key (alert_id, recipient, dark)
);
create index annual_display_shown on annual_display (time) where not dark;

create table annual_counter (
    stream text not null,
    version bigint not null,
    type text not null,
    case_id uuid,
    time timestamptz not null,
    recorded_time timestamptz not null,
    count bigint not null,
    interactions bigint not null,
    primary key (stream, version)
);
create index annual_counter_time on annual_counter (time);
create index annual_counter_stock on annual_counter (time) where type = 'partners.counted';

-- lifecycle: a case opened, closed, reopened or merged
insert into annual_lifecycle (case_id, version, recorded_time, time, what, merged_into, case_number)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::uuid[],
    $7::text[])
on conflict do nothing

-- span: from when to when something was known of a case, and whether it is open
insert into annual_case as c (case_id, last_version, first_time, last_time, last_recorded, open)
select case_id, max(version), min(time), max(time), max(recorded_time), (array_agg(opens order by version desc))[1]
from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::boolean[])
    as n(case_id, version, recorded_time, time, opens)
group by case_id
on conflict (case_id) do update set last_version = greatest(c.last_version, excluded.last_version),
    first_time = least(c.first_time, excluded.first_time), last_time = greatest(c.last_time, excluded.last_time),
    last_recorded = greatest(c.last_recorded, excluded.last_recorded),
    open = case when excluded.last_version > c.last_version then excluded.open else c.open end

-- nature: of what kind a case is
insert into annual_nature (case_id, version, recorded_time, kind, subject, status, abducting_parent,
    country, region, towards_belgium, helped)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::boolean[], $11::boolean[])
on conflict do nothing

-- place: where a child was last seen
insert into annual_place (case_id, version, recorded_time, province)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[])
on conflict do nothing

-- child: what was told about a child
insert into annual_child
    (case_id, version, recorded_time, child, child_id, age_min, age_max, gender, nationality)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::int[], $5::uuid[], $6::int[], $7::int[],
    $8::text[], $9::text[])
on conflict do nothing

-- outcome: what became of a child
insert into annual_outcome (case_id, version, recorded_time, child, outcome, time, located)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::int[], $5::text[], $6::timestamptz[],
    $7::boolean[])
on conflict do nothing

-- worrying: a case was worrying; the earliest moment is kept
insert into annual_worrying as w (case_id, recorded_time)
select case_id, min(recorded_time) from unnest($1::uuid[], $2::timestamptz[]) as n(case_id, recorded_time)
group by case_id
on conflict (case_id) do update set recorded_time = least(w.recorded_time, excluded.recorded_time)

-- reason: a case was worrying for this reason; the earliest moment is kept
insert into annual_reason as r (case_id, reason, recorded_time)
select case_id, reason, min(recorded_time)
from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as n(case_id, reason, recorded_time)
group by case_id, reason
on conflict (case_id, reason) do update set recorded_time = least(r.recorded_time, excluded.recorded_time)

-- campaign: a campaign was released
insert into annual_campaign (campaign_id, case_id, kind, time, recorded_time)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
on conflict do nothing

-- ending: a campaign ended
insert into annual_ending (campaign_id, time, recorded_time)
select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
on conflict do nothing

-- alert: an alert was issued for a campaign
insert into annual_alert (alert_id, campaign_id, case_id, recorded_time, displays)
select alert_id, campaign_id, case_id, recorded_time, displays::uuid[]
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[])
    as n(alert_id, campaign_id, case_id, recorded_time, displays)
on conflict do nothing

-- display: a display partner has an alert, or its withdrawal; the earliest moment is kept
insert into annual_display as d (alert_id, recipient, dark, time, recorded_time)
select alert_id, recipient, dark, min(time), min(recorded_time)
from unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::timestamptz[], $5::timestamptz[])
    as n(alert_id, recipient, dark, time, recorded_time)
group by alert_id, recipient, dark
on conflict (alert_id, recipient, dark) do update set time = least(d.time, excluded.time),
    recorded_time = least(d.recorded_time, excluded.recorded_time)

-- counter: something was counted
insert into annual_counter (stream, version, type, case_id, time, recorded_time, count, interactions)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[],
    $7::bigint[], $8::bigint[])
on conflict do nothing
