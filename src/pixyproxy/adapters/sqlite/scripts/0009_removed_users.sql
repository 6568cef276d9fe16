-- The names of removed users, which are given to nobody else: pictures name their author.
--
-- The program adds the authors who are on no roster, and computes the key: a hash of the name without case and
-- compatibility forms.
-- floor: 6

CREATE TABLE removed_users (
    user     TEXT NOT NULL PRIMARY KEY,
    name_key TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX removed_users_key ON removed_users (name_key);
