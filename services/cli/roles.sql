-- Who may do what in the main database. Roles without a login, one for each service: whoever runs a service makes it a
-- user of its own in one of them. May be applied again, and must be after each migration: it covers what is there.

do $$
declare
    role text;
    name text;
    item text;
begin
    foreach role in array array['intake', 'relay', 'criteria', 'dispatch', 'sender', 'volunteers', 'auditor', 'projections', 'web']
    loop
        role := 'zoeklicht_' || role;
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

    -- A service works in the room that has its name; sender and auditor in the one they send from and look after.
    foreach role in array array['intake', 'criteria', 'dispatch', 'sender', 'volunteers', 'auditor']
    loop
        name := case when role in ('sender', 'auditor') then 'dispatch' else role end;
        execute format('grant usage on schema %I to zoeklicht_%I', name, role);
        execute format('grant select, insert, update, delete on all tables in schema %I to zoeklicht_%I', name, role);
        execute format('grant usage on all sequences in schema %I to zoeklicht_%I', name, role);
    end loop;

    -- The web has everybody's routes: it works in every room, and owns none.
    foreach name in array array['kernel', 'eventlog', 'intake', 'criteria', 'dispatch', 'volunteers']
    loop
        execute format('grant usage on schema %I to zoeklicht_web', name);
        execute format('grant select, insert, update, delete on all tables in schema %I to zoeklicht_web', name);
        execute format('grant usage on all sequences in schema %I to zoeklicht_web', name);
    end loop;
end $$;

-- What happened stays as it was written: also for the owner there are triggers, but the owner can take them away.
revoke update, delete on eventlog.events, kernel.audit from zoeklicht_web;
revoke insert, update, delete on eventlog.relay_checkpoint, eventlog.epoch from zoeklicht_web;
grant usage on schema projections to zoeklicht_web;
grant select on all tables in schema projections to zoeklicht_web;
alter default privileges for role zoeklicht_projections in schema projections grant select on tables to zoeklicht_web;

-- Carries sealed events and knows how far it has come.
grant select, insert, update on eventlog.relay_checkpoint to zoeklicht_relay;

-- Append what they find, plan, reach or are told; the consumers among them know how far the relay is and they are.
grant insert on eventlog.events to zoeklicht_intake, zoeklicht_criteria, zoeklicht_dispatch, zoeklicht_sender, zoeklicht_volunteers;
grant usage on all sequences in schema eventlog
    to zoeklicht_intake, zoeklicht_criteria, zoeklicht_dispatch, zoeklicht_sender, zoeklicht_volunteers;
grant select on eventlog.relay_checkpoint to zoeklicht_criteria, zoeklicht_dispatch, zoeklicht_volunteers;
grant select, insert, update, delete on kernel.consumer_progress
    to zoeklicht_criteria, zoeklicht_dispatch, zoeklicht_volunteers;

-- What must go dark: whoever decides it writes it down, whoever makes it dark reads it.
grant select, insert, update on eventlog.stop to zoeklicht_intake;
grant select on eventlog.stop to zoeklicht_dispatch, zoeklicht_sender, zoeklicht_auditor, zoeklicht_volunteers;

-- Each erases its part; intake decides what is due, and says so in the audit. Old answers it forgets.
grant select, insert, update on kernel.erasure, kernel.erasure_part, kernel.erasure_partner
    to zoeklicht_intake, zoeklicht_dispatch, zoeklicht_volunteers;
grant select, insert, update, delete on kernel.idempotency to zoeklicht_intake;

-- The audit is a chain that grows: intake notes what it decides by itself, the auditor what was committed.
grant select, insert on kernel.audit to zoeklicht_intake, zoeklicht_auditor;
grant select, update on kernel.audit_head to zoeklicht_intake, zoeklicht_auditor;

-- They call a person when they cannot go on; the auditor carries the call.
grant select, insert, update on kernel.page
    to zoeklicht_intake, zoeklicht_criteria, zoeklicht_dispatch, zoeklicht_sender, zoeklicht_volunteers, zoeklicht_auditor,
    zoeklicht_projections;
grant select, insert, update, delete on kernel.notice to zoeklicht_auditor;
grant select on kernel.duty to zoeklicht_auditor;
grant select (desk) on kernel.duty to zoeklicht_volunteers;  -- whether somebody sits at the Missing Persons Unit's desk
grant usage on all sequences in schema kernel
    to zoeklicht_intake, zoeklicht_criteria, zoeklicht_dispatch, zoeklicht_sender, zoeklicht_volunteers, zoeklicht_auditor,
    zoeklicht_projections;
