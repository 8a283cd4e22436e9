-- What happens to a lead: points with reasons, who gets it, when it was handed over, a series of touches.

-- A rule gives its points to a lead whose `field` meets `op` and `value`; the view lead_score_match says how.
CREATE TABLE score_rule(
  id BLOB PRIMARY KEY,
  field TEXT NOT NULL CHECK(field IN ('source', 'job_title', 'region_code', 'company', 'size', 'email', 'phone', 'status')),
  op TEXT NOT NULL CHECK(op IN ('is', 'like', 'at_least', 'below', 'filled')), -- text is compared folded: case and accents do not matter
  value TEXT,
  points INTEGER NOT NULL,
  words TEXT NOT NULL,       -- the reason as people read it
  active INTEGER NOT NULL DEFAULT 1
);
INSERT INTO satchel_table(name, mode) VALUES('score_rule', 'server');

CREATE TABLE score_reason(
  lead_id BLOB,
  rule_id BLOB,
  points INTEGER NOT NULL,
  words TEXT NOT NULL,
  PRIMARY KEY(lead_id, rule_id)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('score_reason', 'server', 'natural');

-- Who gets a lead. NULL in title_like, region_code or min_score: any. To a person; or to whoever of a team has fewest; or, neither being named, to
-- whoever has fewest of those who work in a territory of the lead's region. The lowest prio that finds somebody decides.
CREATE TABLE assign_rule(
  id BLOB PRIMARY KEY,
  prio INTEGER NOT NULL,
  title_like TEXT,
  region_code TEXT,
  min_score INTEGER,
  to_user BLOB REFERENCES user_account(id),
  to_team BLOB REFERENCES team(id),
  active INTEGER NOT NULL DEFAULT 1
);
INSERT INTO satchel_table(name, mode) VALUES('assign_rule', 'server');

-- How many live leads somebody has is counted in the index, for everybody who might get a new one.
DROP INDEX lead_owner;
CREATE INDEX lead_owner ON lead(owner_id, status);

-- Once for a lead: who had made it, who got it.
CREATE TABLE lead_handoff(
  lead_id BLOB PRIMARY KEY,
  from_user BLOB,
  to_user BLOB,
  at INTEGER NOT NULL
);
INSERT INTO satchel_table(name, mode, key) VALUES('lead_handoff', 'server', 'natural');

CREATE TABLE sequence(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  source TEXT,               -- leads of this source begin it when they are put into nurturing; NULL: those that no other takes
  active INTEGER NOT NULL DEFAULT 1
);
INSERT INTO satchel_table(name, mode) VALUES('sequence', 'server');

CREATE TABLE sequence_step(
  id BLOB PRIMARY KEY,
  sequence_id BLOB NOT NULL REFERENCES sequence(id),
  pos INTEGER NOT NULL CHECK(pos > 0),
  after_days INTEGER NOT NULL CHECK(after_days >= 0), -- since the lead began the sequence
  channel TEXT NOT NULL,
  title TEXT NOT NULL
);
CREATE UNIQUE INDEX sequence_step_pos ON sequence_step(sequence_id, pos);
INSERT INTO satchel_table(name, mode) VALUES('sequence_step', 'server');

CREATE TABLE sequence_enrolment(
  id BLOB PRIMARY KEY,       -- satchel_id(sequence, lead)
  sequence_id BLOB NOT NULL,
  lead_id BLOB NOT NULL,
  started_at INTEGER NOT NULL,
  step_pos INTEGER NOT NULL DEFAULT 0, -- the last step that became a task
  ended_at INTEGER
);
CREATE INDEX sequence_enrolment_lead ON sequence_enrolment(lead_id);
INSERT INTO satchel_table(name, key) VALUES('sequence_enrolment', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('sequence_enrolment', 'sequence_id', 'first'),
  ('sequence_enrolment', 'lead_id', 'first'),
  ('sequence_enrolment', 'started_at', 'min'),
  ('sequence_enrolment', 'step_pos', 'server');

-- What stood in the way: of a lead or a deal, as it was said.
CREATE TABLE objection(
  id BLOB PRIMARY KEY,
  parent_kind TEXT NOT NULL CHECK(parent_kind IN ('lead', 'deal')),
  parent_row BLOB NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN ('price', 'budget', 'timing', 'need', 'authority', 'competitor', 'trust', 'other')),
  words TEXT,
  at INTEGER NOT NULL,
  by_user BLOB
);
CREATE INDEX objection_parent ON objection(parent_row);
INSERT INTO satchel_table(name, mode) VALUES('objection', 'append');
