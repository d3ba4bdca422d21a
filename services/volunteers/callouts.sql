-- callout: one of them
select callout_id, exercise, case_id, case_version, alert_id, state, correlation_id, opened_at from volunteers.callout
where callout_id = $1

-- callout_of_case: the open one of a case
select callout_id from volunteers.callout where case_id = $1 and state <> 'over'

-- callout_of_alert: the one that a standby alert began, over or not
select callout_id from volunteers.callout where alert_id = $1

-- callouts: the newest first, after one
select callout_id, exercise, case_id, state, opened_at from volunteers.callout
where $1::uuid is null or callout_id < $1 order by callout_id desc limit $2

-- callout_new: begins one
insert into volunteers.callout (callout_id, exercise, case_id, case_version, alert_id, state, correlation_id)
values ($1, $2, $3, $4, $5, 'standby', $6)

-- callout_state: how far it is, and when more people may be asked (null: not now)
update volunteers.callout set state = $2, wave_due_at = case when $3 then clock_timestamp() + $4::interval end
where callout_id = $1

-- waves_due: call-outs that may have to ask more people
select callout_id from volunteers.callout where wave_due_at <= clock_timestamp() order by wave_due_at limit 20

-- cases_over: open call-outs whose case was stopped after they began
select c.callout_id from volunteers.callout c join unnest($1::uuid[], $2::bigint[]) s(case_id, version) using (case_id)
where c.state <> 'over' and s.version > c.case_version

-- moment: the clock by which everything is timed
select clock_timestamp()

-- candidates: who can be called now, the nearest first; having been asked ($9 km) or out ($10 km) in the last 30 days
-- counts as distance; and for each thing in $6, a car, a language or a skill, the nearest who bring it
with reach as materialized (
    select p.volunteer_id, p.exercise, p.car, p.languages, p.skills, p.distance_km, coalesce(l.asked, 0)::int as asked_lately,
        coalesce(l.out, 0)::int as out_lately, p.distance_km + $9 * coalesce(l.asked, 0) + $10 * coalesce(l.out, 0) as cost
    from (
        select *, 12742 * asin(least(1, sqrt(sin(radians(lat - $1) / 2) ^ 2
            + cos(radians($1)) * cos(radians(lat)) * sin(radians(lon - $2) / 2) ^ 2))) as distance_km
        from volunteers.person
        where exercise = $3 and consent and week @> $4::int and not away @> $5::timestamptz
    ) p
    left join (select volunteer_id, count(*) as asked, count(*) filter (where coming) as out from volunteers.asked
               where asked_at > $5::timestamptz - interval '30 days' group by volunteer_id) l using (volunteer_id)
    where (p.team = 'mobile' or p.distance_km <= p.radius_km)
      and not exists (select from volunteers.asked a where a.callout_id = $7 and a.volunteer_id = p.volunteer_id)
      and not exists (select from volunteers.asked a join volunteers.callout c using (callout_id)
                      where a.volunteer_id = p.volunteer_id and a.coming and c.state = 'called')
)
(select * from reach order by cost, volunteer_id limit $8)
union
select r.* from unnest($6::text[]) wanted(what) cross join lateral (
    select * from reach where case when what = 'car' then car when starts_with(what, 'skill:') then substr(what, 7) = any(skills)
                              else what = any(languages) end
    order by cost, volunteer_id limit $8) r

-- left_out: how many are not asked, by the first reason that holds
select reason, count(*)::int as people from (
    select case when not p.consent then 'no_consent' when p.away @> $5::timestamptz then 'away'
                when not p.week @> $4::int then 'off_duty'
                when exists (select from volunteers.asked a where a.callout_id = $6 and a.volunteer_id = p.volunteer_id)
                    then 'asked_already'
                when exists (select from volunteers.asked a join volunteers.callout c using (callout_id)
                             where a.volunteer_id = p.volunteer_id and a.coming and c.state = 'called') then 'out_already'
                when p.team = 'local' and 12742 * asin(least(1, sqrt(sin(radians(lat - $1) / 2) ^ 2
                    + cos(radians($1)) * cos(radians(lat)) * sin(radians(lon - $2) / 2) ^ 2))) > p.radius_km
                    then 'too_far'
                end as reason
    from volunteers.person p where p.exercise = $3) x
where reason is not null group by reason

-- on_standby: of the mobile team who can be called now
select volunteer_id from volunteers.person
where exercise = $1 and team = 'mobile' and consent and week @> $2::int and not away @> $3::timestamptz
order by volunteer_id

-- asked: who was asked
insert into volunteers.asked (callout_id, volunteer_id)
select $1, volunteer_id from volunteers.person where volunteer_id = any($2::uuid[]) on conflict do nothing

-- coming: who comes, and who does not
update volunteers.asked set coming = (volunteer_id = any($2::uuid[])) where callout_id = $1


-- of_cases: every call-out for these cases, and whether it is over
select callout_id, state = 'over' as over from volunteers.callout where case_id = any($1::uuid[])
