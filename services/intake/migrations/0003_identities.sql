-- An identity that becomes known later may be that of a child that is here already under another id: both are found.
alter table intake.blind_index add column added bigint generated always as identity;
alter table intake.blind_index drop constraint blind_index_pkey;
alter table intake.blind_index add primary key (fingerprint, child_id);
