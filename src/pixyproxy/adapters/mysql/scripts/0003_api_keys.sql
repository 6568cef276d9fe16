-- The API keys of users, each remembered by a keyed hash of its secret. They go when their user goes.

CREATE TABLE IF NOT EXISTS api_keys (
    key_id     VARCHAR(64)  NOT NULL PRIMARY KEY,
    digest     VARCHAR(64)  NOT NULL,                 -- HMAC-SHA256 of the secret, in hexadecimal
    `user`     VARCHAR(255) NOT NULL,
    name       VARCHAR(255) NULL,                     -- what the key is for
    created_at DATETIME(6)  NOT NULL,
    expires_at DATETIME(6)  NULL,                     -- NULL: never
    UNIQUE KEY api_keys_digest (digest),
    KEY api_keys_user (`user`),
    CONSTRAINT api_keys_user FOREIGN KEY (`user`) REFERENCES roster (`user`) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
