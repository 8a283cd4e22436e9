-- The service desk: how soon, who next, what is known.

-- For a ticket: the policy of its kind and priority, else that of its priority (kind NULL).
CREATE TABLE sla_policy(
  id BLOB PRIMARY KEY,
  kind TEXT,
  priority INTEGER NOT NULL CHECK(priority BETWEEN 1 AND 5),
  first_response_min INTEGER NOT NULL CHECK(first_response_min > 0),
  resolve_min INTEGER NOT NULL CHECK(resolve_min > 0)
);
CREATE UNIQUE INDEX sla_policy_of ON sla_policy(coalesce(kind, ''), priority);
INSERT INTO satchel_table(name, mode) VALUES('sla_policy', 'server');

-- A ticket that nobody has answered (or not resolved) after_min past its time goes up to to_level, and the manager gets a task.
CREATE TABLE escalation_rule(
  id BLOB PRIMARY KEY,
  clock TEXT NOT NULL CHECK(clock IN ('answer', 'resolve')),
  after_min INTEGER NOT NULL CHECK(after_min >= 0),
  kind TEXT,                 -- NULL: of any kind
  to_level INTEGER NOT NULL,
  to_team BLOB REFERENCES team(id), -- whose manager is told; NULL: of the assignee's team
  title TEXT NOT NULL,
  active INTEGER NOT NULL DEFAULT 1
);
INSERT INTO satchel_table(name, mode) VALUES('escalation_rule', 'server');

CREATE INDEX ticket_state ON ticket(state); -- the rule looks at those that are open, every minute

-- The address or number that an inquiry came from, as it was written down, and in the form of contact_point.norm; by that the server finds the contact.
ALTER TABLE ticket ADD COLUMN reached_by TEXT;
ALTER TABLE ticket ADD COLUMN reached_norm TEXT;
INSERT INTO satchel_rule(tbl, col, rule) VALUES('ticket', 'reached_by', 'first'), ('ticket', 'reached_norm', 'server');
INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES
  ('ticket', 'subject = '''' OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = ticket.contact_id)', 'ERASED_TICKET', 'this person''s data were erased'),
  ('ticket', 'reached_by IS NULL OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = ticket.contact_id)', 'ERASED_REACH', 'this person''s data were erased');
CREATE INDEX ticket_of_nobody ON ticket(reached_norm) WHERE contact_id IS NULL;
CREATE INDEX interaction_ticket ON interaction(ticket_id) WHERE ticket_id IS NOT NULL;

-- Two who write one article at once both keep their text, as of a note.
CREATE TABLE kb_article(
  id BLOB PRIMARY KEY,
  kind TEXT NOT NULL DEFAULT 'article' CHECK(kind IN ('article', 'script')),
  title TEXT NOT NULL,
  body TEXT,
  version INTEGER NOT NULL DEFAULT 1,
  published INTEGER NOT NULL DEFAULT 0,
  copy_of BLOB,
  created_by BLOB,
  created_at INTEGER
);
INSERT INTO satchel_table(name) VALUES('kb_article');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('kb_article', 'kind', 'first'),
  ('kb_article', 'body', 'keep:copy_of'),
  ('kb_article', 'version', 'server'),
  ('kb_article', 'published', 'server'),
  ('kb_article', 'copy_of', 'first'),
  ('kb_article', 'created_by', 'first'),
  ('kb_article', 'created_at', 'first');
