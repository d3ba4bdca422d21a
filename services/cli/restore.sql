-- empty: whether nothing has been made in this database yet
select not exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
      and c.oid is distinct from to_regclass('public.unfinished_restore'))

-- loaded: whether a restore that was interrupted had come so far; it loads all or nothing
select to_regclass('eventlog.events') is not null

-- line: which server this is, and its timeline; each recovery to a moment begins another one
select s.system_identifier::text as server,
    ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as line
from pg_control_system() s

-- others: who else works with this database
select distinct coalesce(nullif(application_name, ''), usename) as name from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' order by 1

-- last: what the log holds
select count(*) as events, coalesce(max(recorded_time), now()) as at from eventlog.events

-- figures: of the log and the audit, at one moment
select (select current from eventlog.epoch) as epoch, (select count(*) from eventlog.events) as events,
    h.number as audit_number, encode(h.digest, 'hex') as audit_digest from kernel.audit_head h

-- steps: the migrations of this database
select owner, name, digest from public.migration order by owner, name

-- erased: the names of all keys of approved erasures
select 'child:' || c as name from kernel.erasure cross join unnest(children) c where approved_at is not null
union select 'case:' || c from kernel.erasure cross join unnest(cases) c where approved_at is not null
union select 'alert:' || a.alert_id from kernel.erasure e join dispatch.alert a on a.case_id = any(e.cases)
where e.approved_at is not null and (a.kind <> 'standby' or a.withdrawn)
union select 'callout:' || o.callout_id from kernel.erasure e join volunteers.callout o on o.case_id = any(e.cases)
where e.approved_at is not null and o.state = 'over'

-- keys_of_cases: what else is sealed about these cases
select 'alert:' || alert_id as name from dispatch.alert where case_id = any($1::uuid[]) and kind <> 'standby'
union select 'callout:' || callout_id from volunteers.callout where case_id = any($1::uuid[])

-- sealed_with: the keys of the vault that sealed something in the log
select distinct name #>> '{}' as name
from eventlog.events e, jsonb_path_query(e.data, 'lax $.** ? (exists(@.box)).key') name
where e.data::text like '%"box"%' and name #>> '{}' ~ '^[a-z]+:[0-9a-f-]{36}$'

-- going_on: live campaigns that are not over, lit or only asked for
select c.campaign_id, c.case_id, o.case_number,
    exists (select from eventlog.events e where e.stream = 'campaign-' || c.campaign_id
            and e.type = 'campaign.released.v1') as lit
from intake.campaign c join intake.case_open o using (case_id)
where exists (select from eventlog.events e where e.stream = 'campaign-' || c.campaign_id and e.version = 1
              and e.origin = 'live')
  and not exists (select from eventlog.events e where e.stream = 'campaign-' || c.campaign_id
                  and e.type = 'campaign.ended.v1')
order by o.case_number, c.campaign_id

-- lit: alerts that displays may show
select * from dispatch.alert where kind <> 'standby' and not withdrawn order by alert_id

-- called_out: call-outs that ask people
select c.callout_id, c.case_id, o.case_number from volunteers.callout c left join intake.case_open o using (case_id)
where c.state = 'called' order by o.case_number

-- standing_by: standby alerts that are lit; they name nobody
select count(*) from dispatch.alert where kind = 'standby' and not withdrawn

-- forget_offsets: what was read of topics that are gone
delete from kernel.consumer_progress

-- sign_out: sessions that may have been ended since
delete from kernel.session
