-- The tables of pixyproxy, for SQLite. Times are in UTC, as text that sorts: 2026-11-21 10:00:00.123456

CREATE TABLE schema_migrations (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    checksum   TEXT    NOT NULL,                      -- SHA-256 of the script
    applied_at TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);

CREATE TABLE images (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,  -- grows in the order of adding, never reused; internal
    guid             TEXT    NOT NULL UNIQUE,
    filename         TEXT    NOT NULL,
    filename_folded  TEXT    NOT NULL,                -- without case and accents, to be searched
    prompt           TEXT    NOT NULL,
    tags             TEXT    NOT NULL,                -- JSON array in the author's order; image_tags is its index
    author           TEXT    NULL,                    -- NULL: made anonymously
    visibility       TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    created_at       TEXT    NOT NULL,
    updated_at       TEXT    NOT NULL,
    generator        TEXT    NOT NULL,
    model            TEXT    NULL,
    parameters       TEXT    NOT NULL,                -- JSON object
    media_type       TEXT    NULL,
    width            INTEGER NULL,
    height           INTEGER NULL,
    size_bytes       INTEGER NULL,
    sha256           TEXT    NULL,
    revised_prompt   TEXT    NULL,
    `usage`          TEXT    NULL,                    -- JSON object
    error_code       TEXT    NULL,
    error_message    TEXT    NULL,
    lease_owner      TEXT    NULL,                    -- the process at work on it, and until when it alone is
    lease_expires_at TEXT    NULL,
    idempotency_caller  TEXT NULL,                    -- empty: anonymous, who is one caller
    idempotency_key     TEXT NULL,
    request_fingerprint TEXT NULL
);
CREATE UNIQUE INDEX images_idempotency ON images (idempotency_caller, idempotency_key);
CREATE INDEX images_visible ON images (visibility, status, id);
CREATE INDEX images_author ON images (author, status, id);
CREATE INDEX images_lease ON images (status, lease_expires_at);
CREATE INDEX images_created ON images (created_at);

CREATE TABLE image_tags (
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    tag      TEXT    NOT NULL,
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX image_tags_tag ON image_tags (tag, image_id);

-- The search terms of each prompt, as the program splits it.
CREATE TABLE image_terms (
    term     TEXT    NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    PRIMARY KEY (term, image_id)
) WITHOUT ROWID;
CREATE INDEX image_terms_image ON image_terms (image_id, term);

-- The sqlite3 shell does not enforce foreign keys unless told to; rows deleted there take their children along too.
CREATE TRIGGER images_deleted AFTER DELETE ON images BEGIN
    DELETE FROM image_tags WHERE image_id = OLD.id;
    DELETE FROM image_terms WHERE image_id = OLD.id;
END;

CREATE TABLE roster (
    `user`     TEXT NOT NULL PRIMARY KEY,
    `password` TEXT NOT NULL,                         -- argon2 hash
    class_key  TEXT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
);
