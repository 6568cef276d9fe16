-- The logins of browsers, each remembered by a keyed hash of its token, for MariaDB 10.11 and MySQL 8 or later. They go
-- when their user goes.
--
-- floor: 11

CREATE TABLE IF NOT EXISTS sessions (
    digest          VARCHAR(64)  NOT NULL PRIMARY KEY,   -- HMAC-SHA256 of the token, in hexadecimal
    `user`          VARCHAR(255) NOT NULL,
    password_digest VARCHAR(64)  NOT NULL,               -- SHA-256 of the password hash: another one ends the session
    created_at      DATETIME(6)  NOT NULL,
    expires_at      DATETIME(6)  NOT NULL,
    KEY sessions_user (`user`),
    KEY sessions_end (expires_at),
    CONSTRAINT sessions_user FOREIGN KEY (`user`) REFERENCES roster (`user`) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
