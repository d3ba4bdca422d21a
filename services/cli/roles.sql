-- Who may do what in the main database. Roles without a login: whoever runs a service makes it a user of its own in one
-- of them. May be applied again, and must be after each migration: it covers what is there.

do $$
declare
    role text;
    name text;
    item text;
begin
    foreach role in array array['zoeklicht_relay', 'zoeklicht_criteria', 'zoeklicht_projections', 'zoeklicht_service']
    loop
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then null;  -- roles belong to the server, not to a database
        end;
        execute format('grant connect on database %I to %I', current_database(), role);
        execute format('grant usage on schema kernel, eventlog to %I', role);
        execute format('grant select on public.migration to %I', role);
        execute format('grant select, insert, update, delete on kernel.heartbeat to %I', role);
        execute format('grant select on eventlog.events, eventlog.epoch to %I', role);
    end loop;
    execute format('revoke all on database %I from public', current_database());

    -- The read models belong to who builds and shows them.
    for name in select nspname from pg_namespace where nspname = 'projections' or nspname like 'projections\_%'
    loop
        execute format('alter schema %I owner to zoeklicht_projections', name);
        for item in
            select relname from pg_class where relnamespace = name::regnamespace and relkind in ('r', 'v')
        loop
            execute format('alter table %I.%I owner to zoeklicht_projections', name, item);
        end loop;
    end loop;

    -- Everybody else works with every schema, and owns nothing.
    foreach name in array array['kernel', 'eventlog', 'intake', 'criteria', 'dispatch', 'volunteers']
    loop
        execute format('grant usage on schema %I to zoeklicht_service', name);
        execute format('grant select, insert, update, delete on all tables in schema %I to zoeklicht_service', name);
        execute format('grant usage on all sequences in schema %I to zoeklicht_service', name);
    end loop;
end $$;

-- What happened stays as it was written: also for the owner there are triggers, but the owner can take them away.
revoke update, delete on eventlog.events, kernel.audit from zoeklicht_service;
revoke insert, update, delete on eventlog.relay_checkpoint, eventlog.epoch from zoeklicht_service;
grant usage on schema projections to zoeklicht_service;
grant select on all tables in schema projections to zoeklicht_service;
alter default privileges for role zoeklicht_projections in schema projections grant select on tables to zoeklicht_service;

-- Carries sealed events and knows how far it has come.
grant select, insert, update on eventlog.relay_checkpoint to zoeklicht_relay;

-- Assesses what is told of a case, and appends what it finds.
grant insert on eventlog.events to zoeklicht_criteria;
grant select on eventlog.relay_checkpoint to zoeklicht_criteria;
grant usage on all sequences in schema eventlog to zoeklicht_criteria;
grant usage on schema criteria to zoeklicht_criteria;
grant select, insert, update, delete on all tables in schema criteria to zoeklicht_criteria;
grant select, insert, update, delete on kernel.consumer_progress to zoeklicht_criteria;

-- Both call a person when they cannot go on.
grant select, insert, update on kernel.page to zoeklicht_criteria, zoeklicht_projections;
grant usage on all sequences in schema kernel to zoeklicht_criteria, zoeklicht_projections;
