-- The holder of an anonymous idempotency key, for MariaDB 10.11 and MySQL 8 or later: a hash of the key and of the address
-- that used it, by which another request of the same caller with the same key is recognised.
--
-- floor: 11

ALTER TABLE images
    ADD COLUMN idempotency_holder CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    ADD KEY images_holder (idempotency_holder);
