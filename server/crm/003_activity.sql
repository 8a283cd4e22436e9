-- What people do with customers: interactions, notes and tasks.

CREATE TABLE interaction(
  id BLOB PRIMARY KEY,
  contact_id BLOB,
  account_id BLOB,
  deal_id BLOB,
  ticket_id BLOB,
  channel TEXT NOT NULL CHECK(channel IN ('phone', 'email', 'web', 'social', 'meeting', 'chat', 'pos')),
  direction TEXT CHECK(direction IS NULL OR direction IN ('in', 'out')),
  at INTEGER NOT NULL,
  subject TEXT,
  body TEXT,
  by_user BLOB,
  ext_key TEXT               -- Message-ID and the like, so that one e-mail is taken in once
);
CREATE INDEX interaction_contact ON interaction(contact_id, at);
CREATE UNIQUE INDEX interaction_ext_key ON interaction(ext_key);
INSERT INTO satchel_table(name, mode) VALUES('interaction', 'append');

-- Two people who write one note at once both keep their text: the loser becomes a copy whose copy_of is the original's id.
CREATE TABLE note(
  id BLOB PRIMARY KEY,
  parent_kind TEXT NOT NULL CHECK(parent_kind IN ('account', 'contact', 'deal', 'lead', 'ticket')),
  parent_row BLOB NOT NULL,
  body TEXT,
  copy_of BLOB,
  by_user BLOB,
  at INTEGER
);
CREATE INDEX note_parent ON note(parent_row);
INSERT INTO satchel_table(name) VALUES('note');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('note', 'parent_kind', 'first'),
  ('note', 'parent_row', 'first'),
  ('note', 'body', 'keep:copy_of'),
  ('note', 'copy_of', 'first'),
  ('note', 'by_user', 'first'),
  ('note', 'at', 'first');

CREATE TABLE task(
  id BLOB PRIMARY KEY,       -- of a task made from a template: a hash of parent and template, so that it is made once
  title TEXT NOT NULL,
  due_at INTEGER,
  remind_at INTEGER,
  assignee_id BLOB REFERENCES user_account(id),
  parent_kind TEXT,
  parent_row BLOB,
  template_id BLOB,
  done_at INTEGER,           -- the earliest, when two people did it
  done_by BLOB
);
CREATE INDEX task_assignee ON task(assignee_id, due_at);
CREATE INDEX task_parent ON task(parent_row);
INSERT INTO satchel_table(name) VALUES('task');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('task', 'due_at', 'group:when'),
  ('task', 'remind_at', 'group:when'),
  ('task', 'parent_kind', 'first'),
  ('task', 'parent_row', 'first'),
  ('task', 'template_id', 'first'),
  ('task', 'done_at', 'min'),
  ('task', 'done_by', 'first');
