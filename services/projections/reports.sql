-- cases: the beginning of each report query. $1, $2: the year's first moment and the next one's; $3: as of
-- A merged case is the one it was merged into: it counts nowhere itself; its worry counts there, and its children
-- are told there anew when they join.
with recursive
moments as (select * from projections.annual_lifecycle where recorded_time <= $3::timestamptz),
hops as (
    select case_id, merged_into as root, 1 as depth from moments where merged_into is not null
    union all
    select h.case_id, m.merged_into, h.depth + 1 from hops h join moments m on m.case_id = h.root
    where m.merged_into is not null and h.depth < 20),
roots as (select distinct on (case_id) case_id, root from hops order by case_id, depth desc),
spans as (
    select case_id, what, time as begins, lead(time) over (partition by case_id order by version) as ends
    from moments where case_id not in (select case_id from roots)),
lives as (
    select case_id, min(begins) filter (where what = 'opened') as opened_at,
        bool_or(what in ('opened', 'reopened') and begins < $2::timestamptz
            and coalesce(ends, 'infinity') >= $1::timestamptz) as handled,
        bool_or(what in ('opened', 'reopened') and begins < $2 and coalesce(ends, 'infinity') >= $2) as open_after
    from spans group by case_id),
natures as (
    select case_id, (array_agg(kind order by version))[1] as kind,
        (array_agg(status order by version desc) filter (where status is not null))[1] as status,
        (array_agg(abducting_parent order by version desc) filter (where abducting_parent is not null))[1] as parent,
        (array_agg(subject order by version desc) filter (where subject is not null))[1] as subject
    from (select *, max(version) filter (where kind is not null) over (partition by case_id) as since
          from projections.annual_nature where recorded_time <= $3) n
    where version >= since group by case_id),
worries as (
    select distinct coalesce(r.root, w.case_id) as case_id
    from projections.annual_worrying w left join roots r using (case_id) where w.recorded_time <= $3),
cases as materialized (
    select l.case_id, l.opened_at, l.opened_at >= $1 as new, l.handled, not l.open_after as closed, n.kind,
        n.status, n.parent, n.subject, w.case_id is not null as worrying
    from lives l join natures n using (case_id) left join worries w using (case_id)
    where l.opened_at < $2 and (l.opened_at >= $1 or l.handled))

-- by_case: figures that count cases
select count(*) filter (where new and kind = 'runaway') as "new_cases.runaway",
    count(*) filter (where new and kind = 'international_parental_abduction')
        as "new_cases.international_parental_abduction",
    count(*) filter (where new and kind = 'third_party_abduction') as "new_cases.third_party_abduction",
    count(*) filter (where new and kind = 'undefined') as "new_cases.undefined",
    count(*) filter (where new and kind = 'unaccompanied_minor') as "new_cases.unaccompanied_minor",
    count(*) filter (where new) as "new_cases.total",
    count(*) filter (where new and worrying) as "worrying",
    count(*) filter (where handled and kind = 'runaway') as "handled.runaway",
    count(*) filter (where handled and kind = 'international_parental_abduction')
        as "handled.international_parental_abduction",
    count(*) filter (where handled and kind = 'third_party_abduction') as "handled.third_party_abduction",
    count(*) filter (where handled and kind = 'undefined') as "handled.undefined",
    count(*) filter (where handled and kind = 'unaccompanied_minor') as "handled.unaccompanied_minor",
    count(*) filter (where handled) as "handled.total",
    count(*) filter (where handled and status = 'effective')
        as "details.international_parental_abduction.handled_effective",
    count(*) filter (where handled and status = 'preventive')
        as "details.international_parental_abduction.handled_preventive",
    count(*) filter (where new and status = 'effective')
        as "details.international_parental_abduction.new_effective",
    count(*) filter (where new and status = 'preventive')
        as "details.international_parental_abduction.new_preventive",
    count(*) filter (where handled and not new and kind = 'international_parental_abduction')
        as "details.international_parental_abduction.opened_earlier",
    count(*) filter (where handled and closed and status = 'effective')
        as "details.international_parental_abduction.closed",
    count(*) filter (where handled and kind = 'international_parental_abduction' and parent = 'mother') as "mothers",
    count(*) filter (where handled and kind = 'international_parental_abduction' and parent = 'father') as "fathers",
    count(*) filter (where new and subject = 'young_adult') as "details.undefined.young_adults",
    count(*) filter (where new and subject = 'young_child') as "details.undefined.young_children",
    count(*) filter (where new and subject = 'adult_of_limited_self_reliance')
        as "details.undefined.adults_of_limited_self_reliance",
    count(*) filter (where new and subject = 'access_dispute') as "details.undefined.access_disputes",
    count(*) filter (where handled and closed and kind = 'unaccompanied_minor') as "minors_closed"
from cases

-- by_child: figures that count children, each once: of new runaways as at the first case of the year, of
-- other kinds as at the last case handled
, told as (
    select case_id, child, (array_agg(child_id) filter (where child_id is not null))[1] as child_id,
        (array_agg(age_min order by version desc) filter (where age_min is not null))[1] as age_min,
        (array_agg(age_max order by version desc) filter (where age_max is not null))[1] as age_max,
        (array_agg(gender order by version desc) filter (where gender is not null))[1] as gender
    from projections.annual_child where recorded_time <= $3 group by case_id, child),
people as (
    select c.*, t.child, t.child_id, t.age_min, t.age_max, t.gender
    from told t join cases c using (case_id)
    where t.child_id is not null),
runaways as (
    select distinct on (child_id) *, count(*) over (partition by child_id) as episodes
    from (select distinct on (case_id, child_id) * from people where new and kind = 'runaway'
          order by case_id, child_id) p
    order by child_id, opened_at, case_id),
others as (
    select distinct on (kind, child_id) * from people where handled and kind <> 'runaway'
    order by kind, child_id, opened_at desc, case_id),
reopened as (select case_id, max(version) as version from moments where what = 'reopened' group by case_id),
fates as (
    select distinct on (o.case_id, o.child) o.case_id, o.child, o.outcome, o.version
    from projections.annual_outcome o where o.recorded_time <= $3
    order by o.case_id, o.child, o.version desc),
deaths as (
    select distinct t.child_id
    from fates f join people t using (case_id, child) left join reopened a using (case_id)
    where f.outcome = 'found_deceased' and t.new and t.kind = 'undefined' and f.version > coalesce(a.version, 0))
select (select count(*) from runaways) as "runaways",
    (select count(*) from runaways where gender = 'girl') as "runaway_girls",
    (select count(*) from runaways where age_min < 13) as "runaways_under_13",
    (select count(*) from runaways where age_min between 13 and 15) as "runaways_13_to_15",
    (select count(*) from runaways where age_min between 16 and 17) as "runaways_16_to_17",
    (select count(*) from runaways where episodes >= 2) as "details.runaway.repeat_children",
    (select coalesce(max(episodes), 0) from runaways) as "details.runaway.most_episodes_of_one_child",
    (select count(*) from deaths) as "details.undefined.found_deceased",
    count(*) filter (where kind = 'international_parental_abduction')
        as "details.international_parental_abduction.children",
    count(*) filter (where kind = 'international_parental_abduction' and gender = 'girl')
        as "details.international_parental_abduction.girls",
    count(*) filter (where kind = 'international_parental_abduction' and gender = 'boy')
        as "details.international_parental_abduction.boys",
    count(*) filter (where kind = 'international_parental_abduction' and gender = 'unknown')
        as "details.international_parental_abduction.gender_unknown",
    count(*) filter (where kind = 'third_party_abduction') as "third_party",
    count(*) filter (where kind = 'third_party_abduction' and age_max < 10) as "third_party_under_10",
    count(*) filter (where kind = 'unaccompanied_minor') as "minors",
    count(*) filter (where kind = 'unaccompanied_minor' and gender = 'boy') as "minor_boys"
from others

-- by_count: campaigns in the year of their release, and what was counted in the year
, shows as (
    select a.campaign_id, min(s.time) as time
    from projections.annual_alert a join projections.annual_shown s using (alert_id)
    left join roots r using (case_id)
    where a.recorded_time <= $3 and s.recorded_time <= $3
      and coalesce(r.root, a.case_id) in (select case_id from worries)
    group by a.campaign_id),
counted as (
    select c.type, c.count, c.interactions, c.time, coalesce(r.root, c.case_id) as case_id
    from projections.annual_counter c left join roots r using (case_id)
    where c.recorded_time <= $3 and c.time < $2),
released as (
    select kind from projections.annual_campaign
    where recorded_time <= $3 and time >= $1 and time < $2)
select (select count(*) from released where kind = 'public') as "campaigns.public",
    (select count(*) from released where kind = 'vignette') as "campaigns.vignette",
    (select nullif(count(*), 0) from released where kind = 'child_alert') as "campaigns.child_alert",
    (select count(*) from released) as "campaigns.total",
    (select count(*) from shows where time >= $1 and time < $2)
        + coalesce(sum(count) filter (where type = 'partners.engaged' and time >= $1
            and case_id in (select case_id from worries)), 0)::bigint as "details.partner_engagements",
    (array_agg(count order by time desc) filter (where type = 'partners.counted'))[1] as "details.display_partners",
    count(*) filter (where type = 'volunteers.called_out' and time >= $1) as "details.volunteer_callouts",
    count(*) filter (where type = 'app.activated' and time >= $1) as "details.app_activations",
    coalesce(sum(count) filter (where type = 'calls.counted' and time >= $1), 0)::bigint as "details.hotline_calls",
    coalesce(sum(count) filter (where type = 'reach.reported' and time >= $1), 0)::bigint as "details.reach_people",
    coalesce(sum(interactions) filter (where type = 'reach.reported' and time >= $1), 0)::bigint
        as "details.reach_interactions",
    count(distinct case_id) filter (where type = 'reach.reported' and time >= $1) as "reached"
from counted
