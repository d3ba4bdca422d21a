-- Whom an alert is meant for, as the event of its newest revision says; null: the default of its kind.
alter table dispatch.alert add column audiences text[];
