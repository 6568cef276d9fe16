-- When the caller of an image left without the answer, for MariaDB 10.11 and MySQL 8 or later. An identical request then
-- joins the image.
--
-- floor: 6

ALTER TABLE images
    ADD COLUMN caller_left_at DATETIME(6) NULL,
    ADD KEY images_caller_left (request_fingerprint, idempotency_caller, caller_left_at);
