-- cases: what is known of these cases, and which of them are in quarantine; of a row that is still as somebody
-- remembers it (as it was changed at that moment), without its two documents
select i.case_id, s.format, s.version, s.changed_at, i.remembered = s.changed_at as unchanged, s.rules,
    case when i.remembered = s.changed_at then null else s.state end as state,
    case when i.remembered = s.changed_at then null else s.assessment end as assessment,
    coalesce(s.assessment_version, 0) as assessment_version,
    exists (select from criteria.parked p where p.case_id = i.case_id) as parked
from unnest($1::uuid[], $2::timestamptz[]) as i(case_id, remembered) left join criteria.case_state s using (case_id)

-- change_cases: compare and set; no state or no assessment: the one that stands goes on standing; a row that is not returned was changed by somebody else
update criteria.case_state s set format = $1, version = e.version, state = coalesce(e.state, s.state),
    assessment = coalesce(e.assessment, s.assessment),
    assessment_version = e.assessment_version, rules = e.rules, watched = e.watched, changed_at = clock_timestamp()
from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::jsonb[], $8::jsonb[], $9::text[],
    $10::boolean[])
    as e(case_id, version_before, assessment_before, version, assessment_version, state, assessment, rules, watched)
where s.case_id = e.case_id and s.version = e.version_before and s.assessment_version = e.assessment_before
returning s.case_id, s.changed_at

-- add_cases: cases seen for the first time; a row that is not returned was added by somebody else
insert into criteria.case_state (format, case_id, version, assessment_version, state, assessment, rules, watched)
select $1, e.* from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::jsonb[], $6::jsonb[], $7::text[],
    $8::boolean[]) as e
on conflict (case_id) do nothing
returning case_id, changed_at

-- set_timers: when to look at these cases again
insert into criteria.timer (case_id, due_at) select * from unnest($1::uuid[], $2::timestamptz[])
on conflict (case_id) do update set due_at = excluded.due_at where timer.due_at <> excluded.due_at

-- clear_timers: these cases wait for nothing
delete from criteria.timer where case_id = any($1::uuid[])

-- due: cases to look at now, the longest overdue first; a case in quarantine waits until it is resumed
select case_id from criteria.timer t
where due_at <= $1 and not exists (select from criteria.parked p where p.case_id = t.case_id)
order by due_at limit $2

-- due_by_rules: watched cases that were looked at last by other rules than these; none unless these are what acts
select case_id from criteria.case_state s
where watched and (rules < $1 or rules > $1)
  and (select version from criteria.rules order by acting_since desc, version limit 1) = $1
  and not exists (select from criteria.parked p where p.case_id = s.case_id)
limit $2

-- act_by: these rules act from now on, unless they do already; no row: they acted before with another content
insert into criteria.rules as r (version, digest) values ($1, $2)
on conflict (version) do update set acting_since = case
    when r.version = (select version from criteria.rules order by acting_since desc, version limit 1) then r.acting_since
    else clock_timestamp() end
where r.digest = excluded.digest returning true

-- claim_due: those of these cases that are still due and that no other worker holds
select case_id from criteria.timer
where case_id = any($1::uuid[]) and due_at <= $2 order by case_id for update skip locked

-- park: sets messages aside
insert into criteria.parked (case_id, stream_version, error_class, topic, partition, message_offset, headers, value)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing

-- unpark: the quarantine of a case is over
delete from criteria.parked where case_id = $1

-- parked: which cases are in quarantine, since when, and why
select case_id, min(parked_at) as since, count(*) as messages,
    (array_agg(error_class order by parked_id))[1] as error_class
from criteria.parked group by case_id order by since

-- known_cases: cases after one, in order of their ids
select case_id from criteria.case_state where $1::uuid is null or case_id > $1 order by case_id limit $2

-- count_cases: how many cases are known
select count(*) from criteria.case_state

-- case_of_number: the case with this number
select case_id from criteria.case_state where state ->> 'case_number' = $1 order by changed_at desc limit 1

-- heads: how far criteria is in each partition, and since when
select partition, next_offset, extract(epoch from clock_timestamp() - moved_at) as still_s
from kernel.consumer_progress where consumer = $1 and topic = $2

-- workers: what each living worker says of itself
select instance, progress::text as progress from kernel.heartbeat
where service = $1 and beat_at > clock_timestamp() - $2::interval

-- standing: what stands still or waits, and the rules that act
select (select count(distinct case_id) from criteria.parked) as parked_cases,
    (select count(*) from criteria.parked) as parked_messages,
    (select coalesce(extract(epoch from clock_timestamp() - min(parked_at)), 0) from criteria.parked)
        as parked_oldest_seconds,
    (select count(*) from criteria.timer) as timers,
    (select coalesce(greatest(extract(epoch from clock_timestamp() - min(due_at)), 0), 0) from criteria.timer)
        as timer_overdue_seconds,
    (select version from criteria.rules order by acting_since desc, version limit 1) as rules

-- judged: why these cases are worrying, whose dose is overdue, and what is not known of them
select case_id, assessment -> 'reasons' as reasons, jsonb_array_length(assessment -> 'medication_overdue') as overdue,
    jsonb_array_length(assessment -> 'open_questions') as questions
from criteria.case_state where case_id = any($1::uuid[]) and assessment is not null
