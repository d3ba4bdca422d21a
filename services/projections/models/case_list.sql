-- tables: one row per case; an assessment may come before its case: until then `case_number` is null
create table case_list (
    case_id uuid primary key,
    case_number text,
    kind text,
    is_open boolean not null default true,
    worrying boolean not null default false,
    version bigint not null default 0,
    opened_at timestamptz,
    postal_code text,
    municipality text,
    mode text
);
create index case_list_order on case_list (opened_at desc, case_id desc) where case_number is not null;
create index case_list_watch on case_list (opened_at desc, case_id desc)
    where case_number is not null and is_open and worrying;

-- upsert: what is new about cases; null leaves a column as it was
insert into case_list as c
    (case_id, case_number, kind, is_open, worrying, version, opened_at, postal_code, municipality, mode)
select n.case_id, n.case_number, n.kind, coalesce(n.is_open, true), coalesce(n.worrying, false),
    coalesce(n.version, 0), n.opened_at, n.postal_code, n.municipality, n.mode
from unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::bigint[], $7::timestamptz[],
    $8::text[], $9::text[], $10::text[])
    as n(case_id, case_number, kind, is_open, worrying, version, opened_at, postal_code, municipality, mode)
on conflict (case_id) do update set
    case_number = coalesce(excluded.case_number, c.case_number),
    kind = coalesce(excluded.kind, c.kind),
    is_open = case when excluded.case_id = any($11::uuid[]) then excluded.is_open else c.is_open end,
    worrying = case when excluded.case_id = any($12::uuid[]) then excluded.worrying else c.worrying end,
    version = greatest(excluded.version, c.version),
    opened_at = coalesce(excluded.opened_at, c.opened_at),
    postal_code = coalesce(excluded.postal_code, c.postal_code),
    municipality = coalesce(excluded.municipality, c.municipality),
    mode = coalesce(excluded.mode, c.mode)

-- page: cases, the last opened first, after a place in the list
select case_id, case_number, kind, is_open, worrying, version, opened_at, postal_code, municipality, mode
from projections.case_list
where case_number is not null
  and ($1::boolean is null or worrying = $1)
  and ($2::boolean is null or is_open = $2)
  and ($3::text is null or strpos(lower(case_number), lower($3)) > 0 or starts_with(postal_code, $3))
  and ($4::timestamptz is null or (opened_at, case_id) < ($4, $5::uuid))
order by opened_at desc, case_id desc limit $6
