-- Images that are made from others, and those that one call makes together, for SQLite.

ALTER TABLE images ADD COLUMN derived_from TEXT NULL;  -- JSON array of GUIDs; image_sources is its index
ALTER TABLE images ADD COLUMN batch        TEXT NULL;  -- GUID of the first that was made by one call
ALTER TABLE images ADD COLUMN reported     TEXT NULL;  -- JSON object
CREATE INDEX images_batch ON images (batch);
CREATE INDEX images_request ON images (request_fingerprint, idempotency_caller, status, updated_at);

-- By GUID: an image is still derived from another that was deleted.
CREATE TABLE image_sources (
    image_id    INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    source_guid TEXT    NOT NULL,
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX image_sources_source ON image_sources (source_guid, image_id);

-- As images_deleted does for the other tables.
CREATE TRIGGER images_deleted_sources AFTER DELETE ON images BEGIN
    DELETE FROM image_sources WHERE image_id = OLD.id;
END;
