-- serves: 2
-- What was used and may not be used again: the jti of assertions and proofs. key is a hash.
CREATE TABLE replays (
  key   BYTEA   PRIMARY KEY,
  until BIGINT  NOT NULL
);
CREATE INDEX replays_until ON replays (until);
