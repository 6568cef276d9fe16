-- Usage: what the charges of a day come to, for MariaDB 10.11 and MySQL 8 or later. Amounts are in micro-dollars.
--
-- floor: 11

ALTER TABLE charges
    ADD COLUMN tokens_in  BIGINT NULL,
    ADD COLUMN tokens_out BIGINT NULL;

-- The sums of the charges that ended, by the day (UTC) of their reservation. They can be made anew from the charges.
CREATE TABLE IF NOT EXISTS daily_sums (
    day        CHAR(10)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    digest     CHAR(32)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,  -- of caller, class and model
    caller     VARCHAR(255) NULL,                     -- NULL: anonymous
    class_key  VARCHAR(255) NULL,                     -- the caller's at the time
    model      TEXT         NULL,                     -- NULL: the default, and no picture
    pictures   BIGINT       NOT NULL,
    failed     BIGINT       NOT NULL,
    unknown    BIGINT       NOT NULL,
    unpriced   BIGINT       NOT NULL,
    tokens_in  BIGINT       NOT NULL,
    tokens_out BIGINT       NOT NULL,
    spent      BIGINT       NOT NULL,
    possibly   BIGINT       NOT NULL,
    PRIMARY KEY (day, digest),
    KEY daily_sums_caller (caller, day),
    KEY daily_sums_class (class_key, day)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
