-- serves: 2
-- What was used and may not be used again: the jti of assertions and proofs. key is a hash.
CREATE TABLE replays (
  key   BYTEA   PRIMARY KEY,
  until BIGINT  NOT NULL
);
CREATE INDEX replays_until ON replays (until);
-- Authorization requests that clients pushed (RFC 9126). key is the hash of what the
-- request_uri ends with; a row stays until no flow that began with it can be answered.
CREATE TABLE pushed_requests (
  key        BYTEA   PRIMARY KEY,
  client     TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  used       BIGINT  NOT NULL,
  expires_at BIGINT  NOT NULL,
  kept_until BIGINT  NOT NULL
);
CREATE INDEX pushed_requests_kept_until ON pushed_requests (kept_until);
-- The secret before the present one, and until when it is taken; 0: until it is ended.
ALTER TABLE clients ADD COLUMN old_secret_hash BYTEA;
ALTER TABLE clients ADD COLUMN old_secret_until BIGINT  NOT NULL DEFAULT 0;
