-- The names of removed users, which are given to nobody else: pictures name their author, for MariaDB 10.11 and MySQL 8.
--
-- The program adds the authors who are on no roster, and computes the key: a hash of the name without case and
-- compatibility forms.
-- floor: 6

CREATE TABLE IF NOT EXISTS removed_users (
    `user`   VARCHAR(255) NOT NULL PRIMARY KEY,
    name_key CHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    KEY removed_users_key (name_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
