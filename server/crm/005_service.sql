-- Service: tickets and what happened to them.

CREATE TABLE ticket_state_move(from_state TEXT, to_state TEXT, PRIMARY KEY(from_state, to_state)) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('ticket_state_move', 'server', 'natural');

CREATE TABLE ticket(
  id BLOB PRIMARY KEY,
  number TEXT,               -- for people; given by the server
  contact_id BLOB,
  kind TEXT NOT NULL DEFAULT 'question' CHECK(kind IN ('question', 'problem', 'complaint')),
  channel TEXT,
  subject TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 3 CHECK(priority BETWEEN 1 AND 5),
  state TEXT NOT NULL DEFAULT 'open',
  assignee_id BLOB REFERENCES user_account(id),
  level INTEGER NOT NULL DEFAULT 1,
  opened_at INTEGER,
  first_response_at INTEGER,
  resolved_at INTEGER,
  sla_due_at INTEGER,
  csat INTEGER CHECK(csat IS NULL OR csat BETWEEN 1 AND 5)
);
CREATE UNIQUE INDEX ticket_number ON ticket(number);
CREATE INDEX ticket_contact ON ticket(contact_id);
CREATE INDEX ticket_assignee ON ticket(assignee_id);
INSERT INTO satchel_table(name) VALUES('ticket');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('ticket', 'number', 'server'),
  ('ticket', 'channel', 'first'),
  ('ticket', 'state', 'guard:ticket_state_move'),
  ('ticket', 'assignee_id', 'server'),
  ('ticket', 'level', 'max'),
  ('ticket', 'opened_at', 'first'),
  ('ticket', 'first_response_at', 'min'),
  ('ticket', 'sla_due_at', 'server'),
  ('ticket', 'csat', 'first');

CREATE TABLE ticket_event(
  id BLOB PRIMARY KEY,
  ticket_id BLOB NOT NULL REFERENCES ticket(id),
  kind TEXT NOT NULL CHECK(kind IN ('opened', 'reply', 'comment', 'assigned', 'escalated', 'resolved', 'closed', 'reopened')),
  body TEXT,
  at INTEGER NOT NULL,
  by_user BLOB,
  internal INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX ticket_event_ticket ON ticket_event(ticket_id, at);
INSERT INTO satchel_table(name, mode) VALUES('ticket_event', 'append');
