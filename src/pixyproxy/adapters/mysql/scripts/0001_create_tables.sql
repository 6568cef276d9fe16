-- The tables of pixyproxy, for MariaDB 10.11 and MySQL 8 or later. Times are in UTC.
--
-- utf8mb4_bin compares by code point, save that it ignores trailing spaces: where these count the queries
-- compare lengths too. A script that was cut short is run again, hence IF NOT EXISTS.

CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INT          NOT NULL PRIMARY KEY,
    name       VARCHAR(255) NOT NULL,
    checksum   CHAR(64)     NOT NULL,                 -- SHA-256 of the script
    applied_at DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS images (
    id               BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,  -- grows in the order of adding; internal
    guid             CHAR(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    filename         VARCHAR(255) NOT NULL,
    filename_folded  TEXT         NOT NULL,           -- without case and accents, to be searched
    prompt           MEDIUMTEXT   NOT NULL,
    tags             TEXT         NOT NULL,           -- JSON array in the author's order; image_tags is its index
    author           VARCHAR(255) NULL,               -- NULL: made anonymously
    visibility       VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status           VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at       DATETIME(6)  NOT NULL,
    updated_at       DATETIME(6)  NOT NULL,
    generator        VARCHAR(255) NOT NULL,
    model            TEXT         NULL,
    parameters       MEDIUMTEXT   NOT NULL,           -- JSON object
    media_type       VARCHAR(255) NULL,
    width            INT          NULL,
    height           INT          NULL,
    size_bytes       BIGINT       NULL,
    sha256           CHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NULL,
    revised_prompt   MEDIUMTEXT   NULL,
    `usage`          MEDIUMTEXT   NULL,               -- JSON object
    error_code       VARCHAR(255) NULL,
    error_message    MEDIUMTEXT   NULL,
    lease_owner      VARCHAR(255) NULL,               -- the process at work on it, and until when it alone is
    lease_expires_at DATETIME(6)  NULL,
    idempotency_caller  VARCHAR(255) NULL,            -- empty: anonymous, who is one caller
    idempotency_key     VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
    request_fingerprint CHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NULL,
    UNIQUE KEY images_guid (guid),
    UNIQUE KEY images_idempotency (idempotency_caller, idempotency_key),
    KEY images_visible (visibility, status, id),
    KEY images_author (author, status, id),
    KEY images_lease (status, lease_expires_at),
    KEY images_created (created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS image_tags (
    image_id BIGINT      NOT NULL,
    position INT         NOT NULL,
    tag      VARCHAR(64) NOT NULL,
    PRIMARY KEY (image_id, position),
    KEY image_tags_tag (tag, image_id),
    CONSTRAINT image_tags_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The search terms of each prompt, as the program splits it.
CREATE TABLE IF NOT EXISTS image_terms (
    term     VARCHAR(64) NOT NULL,
    image_id BIGINT      NOT NULL,
    PRIMARY KEY (term, image_id),
    KEY image_terms_image (image_id, term),
    CONSTRAINT image_terms_image FOREIGN KEY (image_id) REFERENCES images (id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS roster (
    `user`     VARCHAR(255) NOT NULL PRIMARY KEY,
    `password` VARCHAR(255) NOT NULL,                 -- argon2 hash
    class_key  VARCHAR(255) NULL,
    created_at DATETIME(6)  NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
