-- Which rules a case was looked at last by, and whether other rules, or the clock, may still change what is said of it:
-- it is open, and something about it happened live. Plain columns, so that a change of the state alone touches no index.
alter table criteria.case_state add column rules text not null default '';
alter table criteria.case_state add column watched boolean not null default false;
update criteria.case_state set rules = coalesce(assessment ->> 'rules', ''),
    watched = state @> '{"is_open": true, "live": true}';
create index case_state_watched on criteria.case_state (rules) where watched;

-- Every version of the rules that ever acted, with what it said; the newest `acting_since` is the one that acts.
create table criteria.rules (
    version text primary key,
    digest text not null,
    acting_since timestamptz not null default clock_timestamp()
);
