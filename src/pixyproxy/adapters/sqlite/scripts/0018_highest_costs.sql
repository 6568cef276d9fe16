-- What pictures have cost at most that cost more than was reserved for them, for SQLite.
--
-- floor: 11

CREATE TABLE highest_costs (
    digest  TEXT    NOT NULL PRIMARY KEY,             -- of model, size and quality
    model   TEXT    NOT NULL,
    size    TEXT    NULL,                             -- NULL: left to the model
    quality TEXT    NULL,
    usd     INTEGER NOT NULL                          -- of one picture, in micro-dollars
) WITHOUT ROWID;
