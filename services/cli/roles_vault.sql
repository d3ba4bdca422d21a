-- The keys are for those services that open something. A key is destroyed by who erases; none is ever removed.
do $$
declare
    role text;
begin
    foreach role in array array['intake', 'dispatch', 'sender', 'volunteers', 'auditor', 'web']
    loop
        role := 'zoeklicht_' || role;
        begin
            execute format('create role %I nologin', role);
        exception when duplicate_object or unique_violation then null;
        end;
        execute format('grant connect on database %I to %I', current_database(), role);
        execute format('grant usage on schema public to %I', role);
        execute format('grant select on key to %I', role);
    end loop;
    execute format('revoke all on database %I from public', current_database());
end $$;

grant insert on key to zoeklicht_intake, zoeklicht_dispatch, zoeklicht_volunteers, zoeklicht_auditor, zoeklicht_web;
grant update on key to zoeklicht_intake, zoeklicht_dispatch, zoeklicht_volunteers, zoeklicht_web;
