-- Reports ask `annual_case` since the third definition of the report's facts. An installation that has facts of an earlier
-- one shows those until the third is built and takes their place: so they get what reports ask for.
do $$
declare
    place text;
begin
    select format('projections_annual_v%s', version) into place
    from projections.version where projection = 'annual' and live and definition < 3;
    if place is not null then
        execute format('create table %1$I.annual_case as
            select case_id, max(version) as last_version, min(time) as first_time, max(time) as last_time,
                max(recorded_time) as last_recorded,
                (array_agg(what in (''opened'', ''reopened'') order by version desc))[1] as open
            from %1$I.annual_lifecycle group by case_id', place);
        execute format('create view projections.annual_case as select * from %I.annual_case', place);
    end if;
end $$;
