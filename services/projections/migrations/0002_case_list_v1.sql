-- One row per case. An assessment may come before its case: `case_number` is null until the case is known.
create table projections.case_list_v1 (
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
create index case_list_v1_order on projections.case_list_v1 (opened_at desc, case_id desc)
    where case_number is not null;
create index case_list_v1_watch on projections.case_list_v1 (opened_at desc, case_id desc)
    where case_number is not null and is_open and worrying;
create view projections.case_list as select * from projections.case_list_v1;
