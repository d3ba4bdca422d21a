-- People on duty sit at desks: a page goes to those of its desk, and to the operators when nobody sits there.
alter table kernel.duty add column desk text not null default 'operations'
    check (desk in ('operations', 'missing_persons_unit'));
alter table kernel.page add column desk text not null default 'operations'
    check (desk in ('operations', 'missing_persons_unit'));
