-- When the caller of an image left without the answer, for SQLite. An identical request then joins the image.
--
-- floor: 6

ALTER TABLE images ADD COLUMN caller_left_at TEXT NULL;
CREATE INDEX images_caller_left ON images (request_fingerprint, idempotency_caller, caller_left_at)
    WHERE caller_left_at IS NOT NULL;
