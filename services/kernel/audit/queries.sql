-- note: one entry; the trigger gives it its number, its time and its place in the chain
insert into kernel.audit (principal, role, action, subjects, correlation_id) values ($1, $2, $3, $4, $5)

-- note_refusal: the same, unless it was written within the last minute
insert into kernel.audit (principal, role, action, subjects, correlation_id)
select $1, $2, $3, $4, $5
where not exists (select 1 from kernel.audit where principal = $1 and action = $3 and subjects = $4
                  and at > clock_timestamp() - interval '1 minute')

-- entries: the last first
select audit_id, at, principal, role, action, subjects, correlation_id, digest from kernel.audit
where ($1::text is null or subjects @> array[$1]) and ($2::text is null or principal = $2)
  and ($3::bigint is null or audit_id < $3)
order by audit_id desc limit $4

-- every_entry: all in order
select audit_id, at, principal, role, action, subjects, correlation_id, digest from kernel.audit order by audit_id

-- head: the newest entry
select number, digest from kernel.audit_head
