-- serves: 2
-- What was used and may not be used again: the jti of assertions and proofs. key is a hash.
CREATE TABLE replays (
  key   BLOB    PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_until ON replays (until);
