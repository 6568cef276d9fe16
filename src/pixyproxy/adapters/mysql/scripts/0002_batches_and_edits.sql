-- Images that are made from others, and those that one call makes together, for MariaDB 10.11 and MySQL 8 or later.
--
-- A script that was cut short is run again, and a column cannot be added IF NOT EXISTS on MySQL. One ALTER does all or
-- nothing, so one that finds its columns there is known to be done: everything that is new in images stands in it.

ALTER TABLE images
    ADD COLUMN derived_from TEXT       CHARACTER SET ascii COLLATE ascii_bin NULL,  -- JSON array; image_sources is its index
    ADD COLUMN batch        CHAR(36)   CHARACTER SET ascii COLLATE ascii_bin NULL,  -- GUID of the first made by one call
    ADD COLUMN reported     MEDIUMTEXT NULL,                                        -- JSON object
    ADD KEY images_batch (batch),
    ADD KEY images_request (request_fingerprint, idempotency_caller, status, updated_at);

-- By GUID: an image is still derived from another that was deleted.
CREATE TABLE IF NOT EXISTS image_sources (
    image_id    BIGINT   NOT NULL,
    position    INT      NOT NULL,
    source_guid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (image_id, position),
    KEY image_sources_source (source_guid, image_id),
    CONSTRAINT image_sources_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
