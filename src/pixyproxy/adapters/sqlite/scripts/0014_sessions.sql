-- The logins of browsers, each remembered by a keyed hash of its token. They go when their user goes.
--
-- floor: 11

CREATE TABLE sessions (
    digest          TEXT NOT NULL PRIMARY KEY,   -- HMAC-SHA256 of the token, in hexadecimal
    `user`          TEXT NOT NULL REFERENCES roster (`user`) ON DELETE CASCADE,
    password_digest TEXT NOT NULL,               -- SHA-256 of the password hash: another one ends the session
    created_at      TEXT NOT NULL,
    expires_at      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_user ON sessions (`user`);
CREATE INDEX sessions_end ON sessions (expires_at);

-- The sqlite3 shell does not enforce foreign keys unless told to: a user deleted there takes the sessions along too.
CREATE TRIGGER roster_deleted_sessions AFTER DELETE ON roster BEGIN
    DELETE FROM sessions WHERE `user` = OLD.`user`;
END;
