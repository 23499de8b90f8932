-- serves: 2
-- What was used and may not be used again: the jti of assertions and proofs. key is a hash.
CREATE TABLE replays (
  key   BLOB    PRIMARY KEY,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_until ON replays (until);
-- Authorization requests that clients pushed (RFC 9126). key is the hash of what the
-- request_uri ends with; a row stays until no flow that began with it can be answered.
CREATE TABLE pushed_requests (
  key        BLOB    PRIMARY KEY,
  client     TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  used       INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  kept_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_kept_until ON pushed_requests (kept_until);
-- The secret before the present one, and until when it is taken; 0: until it is ended.
ALTER TABLE clients ADD COLUMN old_secret_hash BLOB;
ALTER TABLE clients ADD COLUMN old_secret_until INTEGER NOT NULL DEFAULT 0;
