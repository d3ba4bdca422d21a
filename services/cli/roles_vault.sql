-- Who may open anything: the keys are for those services that do, and no key is ever removed.
do $$
begin
    begin
        create role zoeklicht_service nologin;
    exception when duplicate_object or unique_violation then null;
    end;
    execute format('grant connect on database %I to zoeklicht_service', current_database());
    execute format('revoke all on database %I from public', current_database());
end $$;

grant usage on schema public to zoeklicht_service;
grant select, insert, update on key to zoeklicht_service;
