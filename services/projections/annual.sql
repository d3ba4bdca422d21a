-- lifecycle: a case opened, closed, reopened or merged
insert into projections.annual_v2_lifecycle (case_id, version, recorded_time, time, what, merged_into, case_number)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::uuid[],
    $7::text[])
on conflict do nothing

-- nature: of what kind a case is
insert into projections.annual_v2_nature (case_id, version, recorded_time, kind, subject, status, abducting_parent,
    country, region, towards_belgium, helped)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::boolean[], $11::boolean[])
on conflict do nothing

-- place: where a child was last seen
insert into projections.annual_v2_place (case_id, version, recorded_time, province)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[])
on conflict do nothing

-- child: what was told about a child
insert into projections.annual_v2_child
    (case_id, version, recorded_time, child, child_id, age_min, age_max, gender, nationality)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::int[], $5::uuid[], $6::int[], $7::int[],
    $8::text[], $9::text[])
on conflict do nothing

-- outcome: what became of a child
insert into projections.annual_v2_outcome (case_id, version, recorded_time, child, outcome, time, located)
select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::int[], $5::text[], $6::timestamptz[],
    $7::boolean[])
on conflict do nothing

-- worrying: a case was worrying; the earliest moment is kept
insert into projections.annual_v2_worrying as w (case_id, recorded_time)
select case_id, min(recorded_time) from unnest($1::uuid[], $2::timestamptz[]) as n(case_id, recorded_time)
group by case_id
on conflict (case_id) do update set recorded_time = least(w.recorded_time, excluded.recorded_time)

-- reason: a case was worrying for this reason; the earliest moment is kept
insert into projections.annual_v2_reason as r (case_id, reason, recorded_time)
select case_id, reason, min(recorded_time)
from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as n(case_id, reason, recorded_time)
group by case_id, reason
on conflict (case_id, reason) do update set recorded_time = least(r.recorded_time, excluded.recorded_time)

-- campaign: a campaign was released
insert into projections.annual_v2_campaign (campaign_id, case_id, kind, time, recorded_time)
select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
on conflict do nothing

-- ending: a campaign ended
insert into projections.annual_v2_ending (campaign_id, time, recorded_time)
select * from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
on conflict do nothing

-- alert: an alert was issued for a campaign
insert into projections.annual_v2_alert (alert_id, campaign_id, case_id, recorded_time, displays)
select alert_id, campaign_id, case_id, recorded_time, displays::uuid[]
from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[])
    as n(alert_id, campaign_id, case_id, recorded_time, displays)
on conflict do nothing

-- display: a display partner has an alert, or its withdrawal; the earliest moment is kept
insert into projections.annual_v2_display as d (alert_id, recipient, dark, time, recorded_time)
select alert_id, recipient, dark, min(time), min(recorded_time)
from unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::timestamptz[], $5::timestamptz[])
    as n(alert_id, recipient, dark, time, recorded_time)
group by alert_id, recipient, dark
on conflict (alert_id, recipient, dark) do update set time = least(d.time, excluded.time),
    recorded_time = least(d.recorded_time, excluded.recorded_time)

-- counter: something was counted
insert into projections.annual_v2_counter (stream, version, type, case_id, time, recorded_time, count, interactions)
select * from unnest($1::text[], $2::bigint[], $3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[],
    $7::bigint[], $8::bigint[])
on conflict do nothing
