-- The newest deliveries are listed and counted again and again, beside those of years.
create index delivery_created on dispatch.delivery (created_at desc, delivery_id desc);
