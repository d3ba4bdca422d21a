-- pages ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- open: one open page per matter; the same matter again counts up, with its newest text; none when somebody took it on
-- so lately ($4)
insert into kernel.page (matter, text, lasting, desk)
select $1, $2, $3, $5 where not exists (
    select 1 from kernel.page p where p.matter = $1 and p.acknowledged_at > clock_timestamp() - $4::interval)
on conflict (matter) where closed_at is null do update set times = page.times + 1, text = excluded.text

-- close: what these lasting pages were about is over
update kernel.page set closed_at = clock_timestamp()
where closed_at is null and lasting and matter = any($1::text[]) returning matter

-- open_pages: what is not over; with $3 what is over too
select page_id, matter, text, opened_at, times, lasting, acknowledged_at, acknowledged_by, desk, closed_at
from kernel.page where (closed_at is null or $3) and page_id > $1 order by page_id limit $2

-- open_texts: what the open pages of a kind say
select matter, text from kernel.page where closed_at is null and starts_with(matter, $1 || ':') order by matter

-- told: who was told about these pages, in order; the second and later ones are escalations
select n.page_id, n.person_id, d.name, n.created_at as at, n.sent_at, n.attempts
from kernel.notice n join kernel.duty d using (person_id)
where n.kind = 'page' and n.page_id = any($1::bigint[]) order by n.notice_id

-- acknowledge: somebody looks after it; a page that does not last is over with that
update kernel.page set acknowledged_at = clock_timestamp(), acknowledged_by = $2,
    closed_at = case when not lasting then clock_timestamp() end
where page_id = $1 and acknowledged_at is null and closed_at is null returning true

-- one_page: a page, over or not
select page_id, matter, text, opened_at, acknowledged_at, acknowledged_by, closed_at from kernel.page
where page_id = $1

-- people ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- people: everybody who can be paged, in order
select person_id, name, language, place, channels, slots, desk from kernel.duty order by place, person_id

-- person: one of them
select person_id, name, language, place, channels, slots, desk from kernel.duty where person_id = $1

-- staffed: whether anybody sits at a desk
select exists (select from kernel.duty where desk = $1)

-- keep_person: a new one, or the changed one
insert into kernel.duty (person_id, name, language, place, channels, slots, desk) values ($1, $2, $3, $4, $5, $6, $7)
on conflict (person_id) do update set name = excluded.name, language = excluded.language, place = excluded.place,
    channels = excluded.channels, slots = excluded.slots, desk = excluded.desk

-- remove_person: with what was sent to this person
delete from kernel.duty where person_id = $1 returning true

-- last_place: after everybody
select coalesce(max(place), 0) + 1 from kernel.duty

-- pager ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- cancel: nobody is told any more about pages that are over or looked after
update kernel.notice n set due_at = null from kernel.page p
where p.page_id = n.page_id and n.kind = 'page' and n.due_at is not null
  and (p.closed_at is not null or p.acknowledged_at is not null)

-- clear: whoever was told of a lasting page is told once that it is over
insert into kernel.notice (page_id, person_id, kind)
select distinct n.page_id, n.person_id, 'all_clear' from kernel.notice n join kernel.page p using (page_id)
where p.lasting and p.closed_at > clock_timestamp() - interval '1 day' and n.kind = 'page' and n.sent_at is not null
  and not exists (select 1 from kernel.notice c where c.page_id = n.page_id and c.person_id = n.person_id
                  and c.kind = 'all_clear')

-- waiting: pages that nobody looks after, kept from other pagers; those first that were told never, or longest ago, so
-- that a storm hides none
select p.page_id, p.matter, p.desk, clock_timestamp() as now from kernel.page p
where p.closed_at is null and p.acknowledged_at is null
order by (select max(n.created_at) from kernel.notice n where n.page_id = p.page_id and n.kind = 'page') nulls first,
    p.page_id
limit 100 for update of p skip locked

-- notices: what was sent about these pages, oldest first
select page_id, person_id, created_at, sent_at is null and failed_at is not null as failed from kernel.notice
where kind = 'page' and page_id = any($1::bigint[]) order by notice_id

-- tell: somebody is to be told
insert into kernel.notice (page_id, person_id, kind) values ($1, $2, 'page')

-- claim: everything that is due for one person, so that a storm is one message; the lease outlives the sending
with next as (
    select n.person_id from kernel.notice n
    where n.due_at <= clock_timestamp() and (n.lease_until is null or n.lease_until < clock_timestamp())
    order by n.due_at limit 1
), due as materialized (
    select n.notice_id from kernel.notice n join next using (person_id) join kernel.page p using (page_id)
    where n.due_at <= clock_timestamp() and (n.lease_until is null or n.lease_until < clock_timestamp())
      and (n.kind = 'all_clear' or (p.closed_at is null and p.acknowledged_at is null))
    order by n.notice_id limit 20 for update of n skip locked
), taken as (
    update kernel.notice n set lease_until = clock_timestamp() + $1::interval, fence = n.fence + 1,
        attempts = n.attempts + 1
    from due where n.notice_id = due.notice_id returning n.*
)
select t.notice_id, t.fence, t.attempts, t.kind, t.person_id, p.page_id, p.matter, p.text, p.opened_at, p.closed_at,
    p.times, d.name, d.language, d.channels
from taken t join kernel.page p using (page_id) join kernel.duty d using (person_id) order by t.notice_id

-- sent: a channel took it
update kernel.notice n set sent_at = clock_timestamp(), due_at = null, lease_until = null
from unnest($1::bigint[], $2::bigint[]) as x(notice_id, fence)
where n.notice_id = x.notice_id and n.fence = x.fence

-- failed: no channel took it; again after a while
update kernel.notice n set failed_at = clock_timestamp(), lease_until = null,
    due_at = clock_timestamp() + make_interval(secs => x.wait_s)
from unnest($1::bigint[], $2::bigint[], $3::float8[]) as x(notice_id, fence, wait_s)
where n.notice_id = x.notice_id and n.fence = x.fence
