-- people ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- keep: somebody new, or the changed one; not when another has the same fingerprint
insert into volunteers.person (volunteer_id, exercise, consent, team, languages, skills, car, lat, lon, radius_km, week,
    away, profile, profile_event, version, fingerprint, channels)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::int4multirange, $12::text::tstzmultirange, $13, $14, $15, $16, $17)
on conflict (volunteer_id) do update set consent = excluded.consent, team = excluded.team,
    languages = excluded.languages, skills = excluded.skills, car = excluded.car, lat = excluded.lat, lon = excluded.lon,
    radius_km = excluded.radius_km, week = excluded.week, away = excluded.away, profile = excluded.profile,
    profile_event = excluded.profile_event, version = excluded.version, fingerprint = excluded.fingerprint,
    channels = excluded.channels

-- person: one of them
select volunteer_id, profile, profile_event, version, fingerprint from volunteers.person where volunteer_id = $1

-- people: these, or a page of all after one, in order of registration
select volunteer_id, profile, profile_event, version from volunteers.person
where ($1::uuid is null or volunteer_id > $1) and ($2::uuid[] is null or volunteer_id = any($2))
order by volunteer_id limit $3

-- known: who has one of these fingerprints
select volunteer_id, fingerprint from volunteers.person where fingerprint = any($1::bytea[])

-- leave: with everything about this person
delete from volunteers.person where volunteer_id = $1 returning version
