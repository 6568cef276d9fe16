-- What pictures cost, and caps on it, for SQLite. Amounts are in micro-dollars.
-- floor: 11

-- The ledger. It has no foreign key: charges outlive pictures and people.
CREATE TABLE charges (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    guid        TEXT    NOT NULL UNIQUE,
    caller      TEXT    NULL,                         -- NULL: anonymous
    class_key   TEXT    NULL,                         -- the caller's at the time
    model       TEXT    NULL,
    reserved_at TEXT    NOT NULL,                     -- decides the period of a budget
    reserved    INTEGER NULL,                         -- the highest price; NULL: none was known
    cost        INTEGER NULL,
    state       TEXT    NOT NULL,
    source      TEXT    NULL,                         -- of the price, and of which day it was
    prices_of   TEXT    NULL
);
CREATE INDEX charges_caller ON charges (caller, reserved_at);
CREATE INDEX charges_class ON charges (class_key, reserved_at);
CREATE INDEX charges_time ON charges (reserved_at);
CREATE INDEX charges_state ON charges (state, reserved_at);

CREATE TABLE budgets (
    scope TEXT    NOT NULL PRIMARY KEY,               -- service, class:KEY, user:NAME or each:KEY
    per   TEXT    NOT NULL,
    cap   INTEGER NOT NULL
) WITHOUT ROWID;

-- The sums of the charges of one budget in one period, made at its first reservation.
CREATE TABLE budget_accounts (
    scope    TEXT    NOT NULL,
    holder   TEXT    NOT NULL,                        -- the user for each:KEY, else empty
    period   TEXT    NOT NULL,
    spent    INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    possibly INTEGER NOT NULL,
    PRIMARY KEY (scope, holder, period)
) WITHOUT ROWID;

-- One row, which locks on MySQL; here a writer has the whole file to itself.
CREATE TABLE ledger_lock (
    id INTEGER NOT NULL PRIMARY KEY
);
INSERT INTO ledger_lock (id) VALUES (1);

ALTER TABLE images ADD COLUMN cost TEXT NULL;         -- JSON object
