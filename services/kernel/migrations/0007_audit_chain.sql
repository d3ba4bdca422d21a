-- Each entry of the audit carries a digest over itself and the one before, so that what was changed, removed or slipped
-- in is found by whoever counts again. `services/kernel/audit/chain.py` counts the same in Python.
alter table kernel.audit alter column audit_id drop identity;
alter table kernel.audit add column digest bytea;

create function kernel.audit_digest(
    previous bytea, number bigint, at timestamptz, principal text, role text, action text, correlation text, subjects text[]
) returns bytea language sql immutable as $$
    select sha256(previous || convert_to(
        (select string_agg(octet_length(field) || ':' || field, '' order by place)
         from unnest(array[number::text, (extract(epoch from at) * 1000000)::bigint::text, principal, role, action,
                           correlation] || subjects) with ordinality as f(field, place)),
        'UTF8'))
$$;

-- The newest entry, kept apart: an audit whose end was cut off does not fit it.
create table kernel.audit_head (
    only_one boolean primary key default true check (only_one),
    number bigint not null,
    digest bytea not null
);
insert into kernel.audit_head (number, digest) values (0, sha256(''));

create function kernel.chain_audit() returns trigger language plpgsql as $$
declare head kernel.audit_head;
begin
    -- The row stays locked until the transaction ends: entries form one line, without gaps.
    update kernel.audit_head set number = number + 1 returning * into head;
    new.audit_id := head.number;
    new.at := clock_timestamp();
    new.digest := kernel.audit_digest(head.digest, head.number, new.at, new.principal, new.role, new.action,
                                      new.correlation_id, new.subjects);
    update kernel.audit_head set digest = new.digest;
    return new;
end $$;

-- What was written before there was a chain begins it.
create temporary table audit_before on commit drop as select * from kernel.audit;
alter table kernel.audit disable trigger append_only;
delete from kernel.audit;
alter table kernel.audit enable trigger append_only;
do $$
declare
    old record;
    head kernel.audit_head;
    fresh bytea;
begin
    for old in select * from audit_before order by audit_id loop
        update kernel.audit_head set number = number + 1 returning * into head;
        fresh := kernel.audit_digest(head.digest, head.number, old.at, old.principal, old.role, old.action,
                                     old.correlation_id, old.subjects);
        insert into kernel.audit (audit_id, at, principal, role, action, subjects, correlation_id, digest)
        values (head.number, old.at, old.principal, old.role, old.action, old.subjects, old.correlation_id, fresh);
        update kernel.audit_head set digest = fresh;
    end loop;
end $$;
alter table kernel.audit alter column digest set not null;
create trigger chained before insert on kernel.audit for each row execute function kernel.chain_audit();
create index audit_witnessed on kernel.audit (audit_id) where role = 'service';
