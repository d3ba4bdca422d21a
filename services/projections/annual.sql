-- lifecycle: a case opened, closed, reopened or merged
insert into projections.annual_v1_lifecycle (case_id, version, recorded_time, time, what, merged_into)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::uuid[])
on conflict do nothing

-- nature: of what kind a case is
insert into projections.annual_v1_nature
    (case_id, version, recorded_time, kind, status, abducting_parent, subject)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[])
on conflict do nothing

-- child: what was told about a child
insert into projections.annual_v1_child
    (case_id, version, recorded_time, child, child_id, age_min, age_max, gender)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::int[], $5::uuid[], $6::int[], $7::int[],
    $8::text[])
on conflict do nothing

-- outcome: what became of a child
insert into projections.annual_v1_outcome (case_id, version, recorded_time, child, outcome)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::int[], $5::text[])
on conflict do nothing

-- worrying: a case was worrying; the earliest moment is kept
insert into projections.annual_v1_worrying as w (case_id, recorded_time)
select case_id, min(recorded_time) from unnest($1::uuid[], $2::timestamptz[]) as n(case_id, recorded_time)
group by case_id
on conflict (case_id) do update set recorded_time = least(w.recorded_time, excluded.recorded_time)

-- campaign: a campaign was released
insert into projections.annual_v1_campaign (campaign_id, case_id, kind, time, recorded_time)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
on conflict do nothing

-- alert: an alert was issued for a campaign
insert into projections.annual_v1_alert (alert_id, campaign_id, case_id, recorded_time)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[])
on conflict do nothing

-- shown: a display partner has an alert; the earliest moment is kept
insert into projections.annual_v1_shown as s (alert_id, time, recorded_time)
select alert_id, min(time), min(recorded_time)
from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) as n(alert_id, time, recorded_time)
group by alert_id
on conflict (alert_id) do update set time = least(s.time, excluded.time),
    recorded_time = least(s.recorded_time, excluded.recorded_time)

-- counter: something was counted
insert into projections.annual_v1_counter (stream, version, type, case_id, time, recorded_time, count, interactions)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[],
    $7::bigint[], $8::bigint[])
on conflict do nothing
