-- What pictures cost, and caps on it, for MariaDB 10.11 and MySQL 8 or later. Amounts are in micro-dollars.
-- floor: 11

-- The ledger. It has no foreign key: charges outlive pictures and people.
CREATE TABLE IF NOT EXISTS charges (
    id          BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY,
    guid        CHAR(36)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    caller      VARCHAR(255) NULL,                    -- NULL: anonymous
    class_key   VARCHAR(255) NULL,                    -- the caller's at the time
    model       TEXT         NULL,
    reserved_at DATETIME(6)  NOT NULL,                -- decides the period of a budget
    reserved    BIGINT       NULL,                    -- the highest price; NULL: none was known
    cost        BIGINT       NULL,
    state       VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source      VARCHAR(255) NULL,                    -- of the price, and of which day it was
    prices_of   CHAR(10)     CHARACTER SET ascii COLLATE ascii_bin NULL,
    UNIQUE KEY charges_guid (guid),
    KEY charges_caller (caller, reserved_at),
    KEY charges_class (class_key, reserved_at),
    KEY charges_time (reserved_at),
    KEY charges_state (state, reserved_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS budgets (
    scope VARCHAR(300) NOT NULL PRIMARY KEY,          -- service, class:KEY, user:NAME or each:KEY
    per   VARCHAR(8)   CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    cap   BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The sums of the charges of one budget in one period, made at its first reservation.
CREATE TABLE IF NOT EXISTS budget_accounts (
    scope    VARCHAR(300) NOT NULL,
    holder   VARCHAR(255) NOT NULL,                   -- the user for each:KEY, else empty
    period   VARCHAR(10)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    spent    BIGINT       NOT NULL,
    reserved BIGINT       NOT NULL,
    possibly BIGINT       NOT NULL,
    PRIMARY KEY (scope, holder, period)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row: who changes charges shares it, who opens accounts or sets budgets has it alone.
CREATE TABLE IF NOT EXISTS ledger_lock (
    id INT NOT NULL PRIMARY KEY
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO ledger_lock (id) VALUES (1);

ALTER TABLE images
    ADD COLUMN cost TEXT NULL;                        -- JSON object
