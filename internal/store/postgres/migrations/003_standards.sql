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

-- Sessions that began before a cutoff of all are found by it.
CREATE INDEX sessions_rev ON sessions (rev);

-- Who took part in a session. known is the session's id as the client was told it.
CREATE TABLE participations (
  session BYTEA NOT NULL,
  client  TEXT NOT NULL,
  known   BYTEA NOT NULL,
  subject TEXT NOT NULL,
  PRIMARY KEY (session, client, known)
);

-- Logouts of which clients are still to be told, and those of which they could not be.
CREATE TABLE logouts (
  id         BYTEA   PRIMARY KEY,
  client     TEXT    NOT NULL,
  subject    TEXT    NOT NULL,
  known      BYTEA   NOT NULL,
  created_at BIGINT  NOT NULL,
  due_at     BIGINT  NOT NULL,             -- of the next attempt
  attempts   BIGINT  NOT NULL,
  error      TEXT    NOT NULL,             -- of the last attempt
  failed_at  BIGINT  NOT NULL              -- 0: it is still tried
);
CREATE INDEX logouts_due ON logouts (client, due_at) WHERE failed_at = 0;
CREATE INDEX logouts_failed ON logouts (failed_at) WHERE failed_at > 0;

-- Device authorization requests (RFC 8628), by the hashes of their two codes. state is 0
-- while nobody answered, 1 approved and 2 denied; grant_id is what approval made.
CREATE TABLE devices (
  key        BYTEA   PRIMARY KEY,
  user_code  BYTEA   NOT NULL UNIQUE,
  client     TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  state      BIGINT  NOT NULL,
  grant_id   BYTEA   NOT NULL,
  poll_every BIGINT  NOT NULL,
  polled_at  BIGINT  NOT NULL,
  expires_at BIGINT  NOT NULL,
  kept_until BIGINT  NOT NULL
);
CREATE INDEX devices_kept_until ON devices (kept_until);
