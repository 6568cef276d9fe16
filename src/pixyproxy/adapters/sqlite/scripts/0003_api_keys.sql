-- The API keys of users, each remembered by a keyed hash of its secret. They go when their user goes.

CREATE TABLE api_keys (
    key_id     TEXT NOT NULL PRIMARY KEY,
    digest     TEXT NOT NULL UNIQUE,                  -- HMAC-SHA256 of the secret, in hexadecimal
    `user`     TEXT NOT NULL REFERENCES roster (`user`) ON DELETE CASCADE,
    name       TEXT NULL,                             -- what the key is for
    created_at TEXT NOT NULL,
    expires_at TEXT NULL                              -- NULL: never
);
CREATE INDEX api_keys_user ON api_keys (`user`);

-- The sqlite3 shell does not enforce foreign keys unless told to: a user deleted there takes the keys along too.
CREATE TRIGGER roster_deleted AFTER DELETE ON roster BEGIN
    DELETE FROM api_keys WHERE `user` = OLD.`user`;
END;
