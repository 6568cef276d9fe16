-- The identity of this database, which the blob store that belongs to it carries too, for MariaDB 10.11 and MySQL 8 or later.
--
-- floor: 6

CREATE TABLE IF NOT EXISTS store_identity (
    id       INT         NOT NULL PRIMARY KEY,        -- always 1
    identity CHAR(36)    CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    state    VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
