-- keep: what proves that something was put up; none once a call-out has $4 of them
insert into volunteers.photo (poster_id, callout_id, box)
select $1, $2, $3 where (select count(*) from volunteers.photo where callout_id = $2) < $4 returning true

-- photo: of one that was put up in this call-out
select box from volunteers.photo where poster_id = $1 and callout_id = $2

-- forget: of these call-outs
delete from volunteers.photo where callout_id = any($1::uuid[])
