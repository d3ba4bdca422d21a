-- Facts, not states: each row says when it was recorded, so that a report can be asked as of any moment.
-- Exercises are left out when the facts are written.

create table projections.annual_v1_lifecycle (
    case_id uuid not null,
    version bigint not null,
    recorded_time timestamptz not null,
    time timestamptz not null,
    what text not null check (what in ('opened', 'closed', 'reopened', 'merged')),
    merged_into uuid,
    primary key (case_id, version)
);

-- `kind` is set where a kind begins (opening, reclassification); other columns where they were told.
create table projections.annual_v1_nature (
    case_id uuid not null,
    version bigint not null,
    recorded_time timestamptz not null,
    kind text,
    status text,
    abducting_parent text,
    subject text,
    primary key (case_id, version)
);

-- What was told about a child, first (with `child_id`) and in corrections; ages in years at the disappearance.
create table projections.annual_v1_child (
    case_id uuid not null,
    child int not null,
    version bigint not null,
    recorded_time timestamptz not null,
    child_id uuid,
    age_min int,
    age_max int,
    gender text,
    primary key (case_id, child, version)
);

create table projections.annual_v1_outcome (
    case_id uuid not null,
    child int not null,
    version bigint not null,
    recorded_time timestamptz not null,
    outcome text not null,
    primary key (case_id, child, version)
);

-- When a case was first known to be worrying.
create table projections.annual_v1_worrying (
    case_id uuid primary key,
    recorded_time timestamptz not null
);

create table projections.annual_v1_campaign (
    campaign_id uuid primary key,
    case_id uuid not null,
    kind text not null,
    time timestamptz not null,
    recorded_time timestamptz not null
);

create table projections.annual_v1_alert (
    alert_id uuid primary key,
    campaign_id uuid not null,
    case_id uuid not null,
    recorded_time timestamptz not null
);

-- The first delivery of an alert to a display partner; it may come before the alert itself.
create table projections.annual_v1_shown (
    alert_id uuid primary key,
    time timestamptz not null,
    recorded_time timestamptz not null
);

create table projections.annual_v1_counter (
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
create index annual_v1_counter_time on projections.annual_v1_counter (time);
create index annual_v1_campaign_time on projections.annual_v1_campaign (time);

create view projections.annual_lifecycle as select * from projections.annual_v1_lifecycle;
create view projections.annual_nature as select * from projections.annual_v1_nature;
create view projections.annual_child as select * from projections.annual_v1_child;
create view projections.annual_outcome as select * from projections.annual_v1_outcome;
create view projections.annual_worrying as select * from projections.annual_v1_worrying;
create view projections.annual_campaign as select * from projections.annual_v1_campaign;
create view projections.annual_alert as select * from projections.annual_v1_alert;
create view projections.annual_shown as select * from projections.annual_v1_shown;
create view projections.annual_counter as select * from projections.annual_v1_counter;
