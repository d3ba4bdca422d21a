-- sources: what figures are counted from, the beginning of each report query
-- $1, $2: the year's first moment and the next one's; $3: as of; $4: the calendar; $5: one province, or null for all
-- A merged case is the one it was merged into: it counts nowhere itself; its worry counts there, and its children
-- are told there anew when they join.
with recursive
merges as (
    select case_id, merged_into from projections.annual_lifecycle
    where merged_into is not null and recorded_time <= $3::timestamptz),
hops as (
    select case_id, merged_into as root, 1 as depth from merges
    union all
    select h.case_id, m.merged_into, h.depth + 1 from hops h join merges m on m.case_id = h.root where h.depth < 20),
roots as (select distinct on (case_id) case_id, root from hops order by case_id, depth desc),
-- The cases that may be in the report: whatever all others were, they were closed for good before the year begins.
candidates as materialized (
    select case_id from projections.annual_case c
    where first_time < $2::timestamptz and (open or last_time >= $1::timestamptz or last_recorded > $3)
      and not exists (select from roots r where r.case_id = c.case_id)),
places as (
    select distinct on (case_id) case_id, province from projections.annual_place join candidates using (case_id)
    where recorded_time <= $3 order by case_id, version desc),
-- Every case of the one province, whenever it was.
there as (
    select case_id from (
        select distinct on (case_id) case_id, province from projections.annual_place
        where recorded_time <= $3 order by case_id, version desc) p
    where province = $5::text),
moments as (
    select * from projections.annual_lifecycle join candidates using (case_id)
    where recorded_time <= $3 and ($5 is null or case_id in (select case_id from places where province = $5))),
spans as (
    select case_id, what, time as begins, lead(time) over (partition by case_id order by version) as ends, case_number
    from moments),
lives as (
    select case_id, min(case_number) as case_number, min(begins) filter (where what = 'opened') as opened_at,
        bool_or(what in ('opened', 'reopened') and begins < $2 and coalesce(ends, 'infinity') >= $1) as handled,
        bool_or(what in ('opened', 'reopened') and begins < $2 and coalesce(ends, 'infinity') >= $2) as open_after
    from spans group by case_id),
natures as (
    select case_id, (array_agg(kind order by version))[1] as kind,
        (array_agg(status order by version desc) filter (where status is not null))[1] as status,
        (array_agg(abducting_parent order by version desc) filter (where abducting_parent is not null))[1] as parent,
        (array_agg(country order by version desc) filter (where country is not null))[1] as country,
        (array_agg(region order by version desc) filter (where region is not null))[1] as region,
        (array_agg(towards_belgium order by version desc) filter (where towards_belgium is not null))[1] as towards_belgium,
        (array_agg(helped order by version desc) filter (where helped is not null))[1] as helped,
        (array_agg(subject order by version desc) filter (where subject is not null))[1] as subject
    from (select *, max(version) filter (where kind is not null) over (partition by case_id) as since
          from projections.annual_nature join candidates using (case_id) where recorded_time <= $3) n
    where version >= since group by case_id),
-- Each of them, and what was merged into it.
members as (
    select case_id, case_id as root from candidates
    union all
    select r.case_id, r.root from roots r join candidates c on c.case_id = r.root),
worries as (
    select distinct m.root as case_id
    from members m join projections.annual_worrying w using (case_id) where w.recorded_time <= $3),
cases as materialized (
    select l.case_id, l.case_number, l.opened_at, l.opened_at >= $1 as new, l.handled, not l.open_after as closed, n.kind,
        n.status, n.parent, coalesce(n.country, 'unknown') as country,
        -- Where the child is now decides: a child that was taken to Belgium is within the Union.
        case when n.towards_belgium then 'european_union' else coalesce(n.region, 'unknown') end as region,
        n.towards_belgium, n.helped, n.subject, w.case_id is not null as worrying,
        to_char(l.opened_at at time zone $4::text, 'MM') as month, coalesce(p.province, 'unknown') as province
    from lives l join natures n using (case_id) left join worries w using (case_id) left join places p using (case_id)
    where l.opened_at < $2 and (l.opened_at >= $1 or l.handled)),
-- Each reason for which a new case was worrying at least once.
reasons as (
    select distinct c.case_id, case when r.reason like '%:%' then split_part(r.reason, ':', 2) else r.reason end as reason
    from projections.annual_reason r join members m using (case_id) join cases c on c.case_id = m.root
    where r.recorded_time <= $3 and c.new),
told as (
    select case_id, child, (array_agg(child_id) filter (where child_id is not null))[1] as child_id,
        (array_agg(age_min order by version desc) filter (where age_min is not null))[1] as age_min,
        (array_agg(age_max order by version desc) filter (where age_max is not null))[1] as age_max,
        (array_agg(gender order by version desc) filter (where gender is not null))[1] as gender,
        coalesce((array_agg(nationality order by version desc) filter (where nationality is not null))[1], 'unknown')
            as nationality
    from projections.annual_child join candidates using (case_id) where recorded_time <= $3 group by case_id, child),
people as (
    select c.*, t.child, t.child_id, t.age_min, t.age_max, t.gender, t.nationality
    from told t join cases c using (case_id)
    where t.child_id is not null),
-- Each new runaway case of each child, with how many that child has; `first` tells the one by which a child counts.
episodes as (
    select *, count(*) over (partition by child_id) as episodes,
        row_number() over (partition by child_id order by opened_at, case_id) = 1 as first
    from (select distinct on (case_id, child_id) * from people where new and kind = 'runaway'
          order by case_id, child_id) p),
-- Of the other kinds each child once, as at the last case handled.
children as (
    select distinct on (kind, child_id) * from people where handled and kind <> 'runaway'
    order by kind, child_id, opened_at desc, case_id),
-- When a case is reopened, the news of its children is void; a child that was located stays so, unless all of them were:
-- then the search is for all again. Nobody is located twice in between, so their number tells whether all were.
news as (select * from projections.annual_outcome join candidates using (case_id) where recorded_time <= $3),
located as (select * from news where located),
reopenings as (
    select *, coalesce(max(version) filter (where for_all) over (
        partition by case_id order by version rows between unbounded preceding and 1 preceding), 0) as since
    from (
        select m.case_id, m.version, count(l.child) filter (where l.version < m.version) % max(n.children) = 0 as for_all
        from moments m join (select case_id, count(*) as children from told group by case_id) n using (case_id)
        left join located l using (case_id)
        where m.what = 'reopened' group by m.case_id, m.version) r),
voided as (
    select case_id, child, max(version) as version
    from (
        select r.case_id, t.child, r.version
        from reopenings r join told t using (case_id) left join located l using (case_id, child)
        group by r.case_id, t.child, r.version, r.for_all, r.since
        having r.for_all or not coalesce(bool_or(l.version > r.since and l.version < r.version), false)) v
    group by case_id, child),
-- What became of each child of each case; `in_year`: the first news of it came in the year, or, when that was before
-- the call, the call.
outcomes as (
    select p.*, f.outcome, greatest(f.time, p.opened_at) >= $1 and greatest(f.time, p.opened_at) < $2 as in_year,
        (extract(epoch from greatest(f.time, p.opened_at) - p.opened_at) / 3600)::double precision as hours
    from people p join (
        select o.case_id, o.child, (array_agg(o.outcome order by o.version desc))[1] as outcome, min(o.time) as time
        from news o left join voided v using (case_id, child) where o.version > coalesce(v.version, 0)
        group by o.case_id, o.child) f using (case_id, child)),
campaigns as (
    select coalesce(r.root, c.case_id) as case_id, c.campaign_id, c.kind, c.time
    from projections.annual_campaign c left join roots r using (case_id)
    where c.recorded_time <= $3
      and c.campaign_id in (
        select campaign_id from projections.annual_campaign where time >= $1 and time < $2
        union select campaign_id from projections.annual_ending where time >= $1 and time < $2)
      and ($5 is null or coalesce(r.root, c.case_id) in (select case_id from there))),
released as (select * from campaigns where time >= $1 and time < $2),
counted as (
    select c.type, c.count, c.interactions, c.time, coalesce(r.root, c.case_id) as case_id
    from projections.annual_counter c left join roots r using (case_id)
    where c.recorded_time <= $3 and c.time < $2 and (c.time >= $1 or c.type = 'partners.counted')
      and ($5 is null or coalesce(r.root, c.case_id) in (select case_id from there))),
-- What was counted; what counts a stock, by its last count up to the end of the year, and not in a part of the country.
counters as (
    select *, time >= $1 as in_year, row_number() over (partition by type order by time desc, count desc) = 1 as last
    from counted),
-- Each delivery of a campaign to a display: how long after its release it was on, after its end it was dark.
displays as (
    select c.case_id, d.dark, d.time,
        extract(epoch from d.time - case when d.dark then n.time else c.time end)::double precision as seconds,
        case when d.dark then n.time else c.time end as since,
        d.dark or a.displays = '{}' or d.recipient = any(a.displays) as planned
    from projections.annual_display d join projections.annual_alert a using (alert_id)
    join campaigns c using (campaign_id)
    left join (select * from projections.annual_ending where recorded_time <= $3) n using (campaign_id)
    where d.recorded_time <= $3 and a.recorded_time <= $3 and (n.time is not null or not d.dark)),
timings as (
    select case_id, case when dark then 'dark' else 'public' end as what, seconds
    from displays where planned and since >= $1 and since < $2),
-- An engagement is a campaign of a worrying case that at least one display got; imported ones were counted elsewhere.
engagements as (
    select case_id, count from (
        select coalesce(r.root, a.case_id) as case_id, 1::bigint as count
        from projections.annual_alert a join projections.annual_display d using (alert_id)
        left join roots r using (case_id)
        where not d.dark and a.recorded_time <= $3 and d.recorded_time <= $3
          and a.campaign_id in (
            select b.campaign_id from projections.annual_alert b join projections.annual_display f using (alert_id)
            where not f.dark and f.time >= $1 and f.time < $2)
        group by 1, a.campaign_id having min(d.time) >= $1 and min(d.time) < $2
        union all
        select case_id, count from counted where type = 'partners.engaged' and time >= $1) e
    where ($5 is null or case_id in (select case_id from there))
      and (exists (
            select from projections.annual_worrying w where w.case_id = e.case_id and w.recorded_time <= $3)
        or exists (
            select from roots r join projections.annual_worrying w using (case_id)
            where r.root = e.case_id and w.recorded_time <= $3)))
