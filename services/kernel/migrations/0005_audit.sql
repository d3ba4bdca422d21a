-- Who looked at whose identity. `subjects` are kinds and ids such as case:<uuid>; no value is ever written here.
create table kernel.audit (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    principal text not null,
    role text not null,
    action text not null,
    subjects text[] not null,
    correlation_id text not null
);
create index audit_subjects on kernel.audit using gin (subjects);
create index audit_principal on kernel.audit (principal, audit_id);

create function kernel.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit is append-only';
end $$;
create trigger append_only before update or delete or truncate on kernel.audit
    for each statement execute function kernel.refuse_change();
