-- The holder of an anonymous idempotency key, for SQLite: a hash of the key and of the address that used it, by which
-- another request of the same caller with the same key is recognised.
--
-- floor: 11

ALTER TABLE images ADD COLUMN idempotency_holder TEXT NULL;
CREATE INDEX images_holder ON images (idempotency_holder) WHERE idempotency_holder IS NOT NULL;
