-- The identity of this database, which the blob store that belongs to it carries too.
--
-- floor: 6

CREATE TABLE store_identity (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    identity TEXT NOT NULL,
    state    TEXT NOT NULL
);
