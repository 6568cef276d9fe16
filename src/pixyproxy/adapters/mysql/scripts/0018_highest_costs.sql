-- What pictures have cost at most that cost more than was reserved for them, for MariaDB 10.11 and MySQL 8 or later.
--
-- floor: 11

CREATE TABLE IF NOT EXISTS highest_costs (
    digest  CHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,  -- of model, size and quality
    model   VARCHAR(255) NOT NULL,
    size    VARCHAR(255) NULL,                        -- NULL: left to the model
    quality VARCHAR(255) NULL,
    usd     BIGINT       NOT NULL                     -- of one picture, in micro-dollars
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
