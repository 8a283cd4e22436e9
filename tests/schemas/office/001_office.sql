-- A company of two regions, for the tests of who may see what.
CREATE TABLE client(
  id BLOB PRIMARY KEY,
  region TEXT,
  name TEXT,
  phone TEXT,
  secret TEXT                -- masked from reps
);
INSERT INTO satchel_table(name) VALUES('client');

CREATE TABLE visit(
  id BLOB PRIMARY KEY,
  client_id BLOB,
  note TEXT
);
INSERT INTO satchel_table(name) VALUES('visit');
