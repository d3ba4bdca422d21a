-- The second version of the report's facts begins empty and reads everything again: it also holds case numbers, places,
-- countries, help, nationalities, reasons to worry, times of outcomes, and each display of each alert.
drop view projections.annual_lifecycle, projections.annual_nature, projections.annual_child,
    projections.annual_outcome, projections.annual_worrying, projections.annual_campaign, projections.annual_alert,
    projections.annual_shown, projections.annual_counter;
drop table projections.annual_v1_shown;
truncate projections.annual_v1_lifecycle, projections.annual_v1_nature, projections.annual_v1_child,
    projections.annual_v1_outcome, projections.annual_v1_worrying, projections.annual_v1_campaign,
    projections.annual_v1_alert, projections.annual_v1_counter;
delete from projections.checkpoint where projection = 'annual';
delete from projections.seen where projection = 'annual';
delete from projections.unknown where projection = 'annual';
delete from projections.stopped where projection = 'annual';

alter table projections.annual_v1_lifecycle rename to annual_v2_lifecycle;
alter table projections.annual_v2_lifecycle add column case_number text;

-- `region` is that of the destination: within the Union when a child was taken to Belgium.
alter table projections.annual_v1_nature rename to annual_v2_nature;
alter table projections.annual_v2_nature
    add column country text, add column region text, add column towards_belgium boolean, add column helped boolean;

alter table projections.annual_v1_child rename to annual_v2_child;
alter table projections.annual_v2_child add column nationality text;

-- `time` is when the child was found, where that was told (`located`), else when the outcome was.
alter table projections.annual_v1_outcome rename to annual_v2_outcome;
alter table projections.annual_v2_outcome add column time timestamptz not null, add column located boolean not null;

alter table projections.annual_v1_worrying rename to annual_v2_worrying;
alter table projections.annual_v1_campaign rename to annual_v2_campaign;
alter table projections.annual_v1_counter rename to annual_v2_counter;

-- `displays` are those for which it was planned when it was issued: who joins later is not slow.
alter table projections.annual_v1_alert rename to annual_v2_alert;
alter table projections.annual_v2_alert add column displays uuid[] not null;

-- Where a child was last seen: a province by its REFNIS code, or the region of Brussels, which is in none.
create table projections.annual_v2_place (
    case_id uuid not null,
    version bigint not null,
    recorded_time timestamptz not null,
    province text not null,
    primary key (case_id, version)
);

-- When a case was first known to be worrying for a reason.
create table projections.annual_v2_reason (
    case_id uuid not null,
    reason text not null,
    recorded_time timestamptz not null,
    primary key (case_id, reason)
);

create table projections.annual_v2_ending (
    campaign_id uuid primary key,
    time timestamptz not null,
    recorded_time timestamptz not null
);

-- The first delivery to a display partner of something to show, and of the withdrawal; either may come before its alert.
create table projections.annual_v2_display (
    alert_id uuid not null,
    recipient uuid not null,
    dark boolean not null,
    time timestamptz not null,
    recorded_time timestamptz not null,
    primary key (alert_id, recipient, dark)
);

create view projections.annual_lifecycle as select * from projections.annual_v2_lifecycle;
create view projections.annual_nature as select * from projections.annual_v2_nature;
create view projections.annual_child as select * from projections.annual_v2_child;
create view projections.annual_outcome as select * from projections.annual_v2_outcome;
create view projections.annual_place as select * from projections.annual_v2_place;
create view projections.annual_worrying as select * from projections.annual_v2_worrying;
create view projections.annual_reason as select * from projections.annual_v2_reason;
create view projections.annual_campaign as select * from projections.annual_v2_campaign;
create view projections.annual_ending as select * from projections.annual_v2_ending;
create view projections.annual_alert as select * from projections.annual_v2_alert;
create view projections.annual_display as select * from projections.annual_v2_display;
create view projections.annual_counter as select * from projections.annual_v2_counter;
