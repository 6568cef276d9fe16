-- Usage: what the charges of a day come to, for SQLite. Amounts are in micro-dollars.
--
-- floor: 11

ALTER TABLE charges ADD COLUMN tokens_in INTEGER NULL;
ALTER TABLE charges ADD COLUMN tokens_out INTEGER NULL;

-- The sums of the charges that ended, by the day (UTC) of their reservation. They can be made anew from the charges.
CREATE TABLE daily_sums (
    day        TEXT    NOT NULL,
    digest     TEXT    NOT NULL,                      -- of caller, class and model
    caller     TEXT    NULL,                          -- NULL: anonymous
    class_key  TEXT    NULL,                          -- the caller's at the time
    model      TEXT    NULL,                          -- NULL: the default, and no picture
    pictures   INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    unknown    INTEGER NOT NULL,
    unpriced   INTEGER NOT NULL,
    tokens_in  INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    spent      INTEGER NOT NULL,
    possibly   INTEGER NOT NULL,
    PRIMARY KEY (day, digest)
) WITHOUT ROWID;
CREATE INDEX daily_sums_caller ON daily_sums (caller, day);
CREATE INDEX daily_sums_class ON daily_sums (class_key, day);
