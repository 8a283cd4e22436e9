-- More about customers: fields that a company adds itself, what is valid, feedback, who brought whom.

-- A field of the company's own, of any table that says who it belongs to below.
CREATE TABLE custom_field_def(
  id BLOB PRIMARY KEY,
  entity TEXT NOT NULL CHECK(entity IN ('account', 'contact', 'lead', 'deal', 'ticket')),
  name TEXT NOT NULL,
  type TEXT NOT NULL CHECK(type IN ('text', 'integer', 'date', 'flag', 'option')),
  options TEXT,              -- JSON: what an 'option' may be
  required INTEGER NOT NULL DEFAULT 0,
  pos INTEGER NOT NULL DEFAULT 0,
  active INTEGER NOT NULL DEFAULT 1
);
INSERT INTO satchel_table(name, mode) VALUES('custom_field_def', 'server');

-- One value of one row. `value` is text, as a device that does not know the type yet must keep it as it came.
CREATE TABLE custom_value(
  entity_row BLOB,
  field_id BLOB,             -- a custom_field_def; no REFERENCES: a value outlives its definition
  entity TEXT NOT NULL,      -- as custom_field_def.entity: by this the value follows its row
  value TEXT,
  PRIMARY KEY(entity_row, field_id)
) WITHOUT ROWID;
CREATE INDEX custom_value_field ON custom_value(field_id, value);
INSERT INTO satchel_table(name, key) VALUES('custom_value', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES('custom_value', 'entity', 'first');

-- What a device may not write. check_sql is an expression over the row's columns; code and words are what the app and the refusal say.
CREATE TABLE validation_rule(
  id BLOB PRIMARY KEY,
  tbl TEXT NOT NULL,
  col TEXT,                  -- the column to point at; NULL: the row
  check_sql TEXT NOT NULL,
  code TEXT NOT NULL,
  words TEXT NOT NULL
);
CREATE UNIQUE INDEX validation_rule_code ON validation_rule(code);
INSERT INTO satchel_table(name, mode) VALUES('validation_rule', 'server');

CREATE TABLE feedback(
  id BLOB PRIMARY KEY,
  contact_id BLOB,
  purchase_id BLOB,
  ticket_id BLOB,
  kind TEXT NOT NULL DEFAULT 'csat' CHECK(kind IN ('csat', 'nps', 'text')),
  score INTEGER CHECK(score IS NULL OR (kind = 'csat' AND score BETWEEN 1 AND 5) OR (kind = 'nps' AND score BETWEEN 0 AND 10)),
  body TEXT,
  at INTEGER NOT NULL,
  by_user BLOB
);
CREATE INDEX feedback_contact ON feedback(contact_id, at);
CREATE INDEX feedback_ticket ON feedback(ticket_id);
CREATE INDEX feedback_purchase ON feedback(purchase_id);
INSERT INTO satchel_table(name, mode) VALUES('feedback', 'append');

-- Who says to have brought whom. Two stores may both say so; the server lets one claim count, the first that reached it.
CREATE TABLE referral(
  id BLOB PRIMARY KEY,
  referrer BLOB NOT NULL,    -- contacts; no REFERENCES: a claim is evidence
  referee BLOB NOT NULL,
  at INTEGER NOT NULL,
  by_user BLOB,
  state TEXT CHECK(state IS NULL OR state IN ('counts', 'late', 'self'))
);
CREATE INDEX referral_referrer ON referral(referrer);
CREATE INDEX referral_referee ON referral(referee);
CREATE UNIQUE INDEX referral_counts_once ON referral(referee) WHERE state = 'counts';
INSERT INTO satchel_table(name) VALUES('referral');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('referral', 'referrer', 'first'),
  ('referral', 'referee', 'first'),
  ('referral', 'at', 'first'),
  ('referral', 'by_user', 'first'),
  ('referral', 'state', 'server');

-- The numbers that the server gave out last, by name: Q-2026 of quotes, T-2026 of tickets. On no device.
CREATE TABLE counter(
  name TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('counter', 'server', 'natural');
