-- Who may see the identities of one case for a while without being of the staff. Kept as long as the audit.
create table intake.break_glass (
    principal text not null,
    case_id uuid not null,
    granted_at timestamptz not null default clock_timestamp(),
    until timestamptz not null,
    reason text not null,
    reference text not null,
    primary key (principal, case_id, granted_at)
);
