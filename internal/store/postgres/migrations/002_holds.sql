-- serves: 1
-- What keeps every server from starting on this database until an operator has acted:
-- recover (it went back in time), copy and restore (it is not all there yet).
CREATE TABLE holds (
  name   TEXT    PRIMARY KEY,
  detail TEXT    NOT NULL,
  at     BIGINT  NOT NULL
);
