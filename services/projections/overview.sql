-- open_cases: open cases that are worrying, or that are not, the last opened first
select case_id, case_number, kind, worrying, opened_at, postal_code, municipality, mode
from projections.case_list where case_number is not null and is_open and worrying = $1
order by opened_at desc, case_id desc limit $2

-- open_places: how many cases are open in each municipality, and how many of them are worrying; exercises are none
select municipality, count(*) as open, count(*) filter (where worrying) as worrying
from projections.case_list where case_number is not null and is_open and mode = 'actual' group by municipality

-- opened_days: cases by the day on which they were opened, in the installation's calendar
select (opened_at at time zone $1)::date as day, kind, count(*) as cases, count(*) filter (where worrying) as worrying
from projections.case_list
where case_number is not null and mode = 'actual' and opened_at >= $2 group by 1, 2

-- counted_days: calls, and people and interactions reached, by day
select (time at time zone $1)::date as day, sum(count) filter (where type = 'calls.counted') as calls,
    sum(count) filter (where type = 'reach.reported') as people,
    sum(interactions) filter (where type = 'reach.reported') as interactions
from projections.annual_counter where time >= $2 and type in ('calls.counted', 'reach.reported') group by 1

-- moved: grows whenever a projection takes something in; another number when one was made anew
select coalesce(sum(next_offset), 0)::bigint from projections.checkpoint
