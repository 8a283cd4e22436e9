-- What happens to a deal: its way through the stages, what is to be done in each, quotes, currencies, forecasts, appointments.

-- What happened, in a word that a rule knows: demo_booked and the like (stage_move.on_event).
ALTER TABLE interaction ADD COLUMN kind TEXT;
CREATE INDEX interaction_deal ON interaction(deal_id, at);
-- After so many days without anything a deal of this stage is idle; NULL: never.
ALTER TABLE stage ADD COLUMN idle_days INTEGER;

-- One row for each arrival in a stage, the first (from_stage NULL) included: of a deal, arrivals less departures are 1 where it is and 0 elsewhere.
CREATE TABLE deal_stage_log(
  id BLOB PRIMARY KEY,       -- satchel_id(deal, to_stage, cause)
  deal_id BLOB NOT NULL,
  from_stage BLOB,
  to_stage BLOB NOT NULL,
  at INTEGER NOT NULL,       -- when it happened, which may be long before anybody synced
  by_user BLOB,
  cause BLOB                 -- the interaction or quote that moved it; NULL: somebody did
);
CREATE INDEX deal_stage_log_deal ON deal_stage_log(deal_id, at);
CREATE INDEX deal_stage_log_to ON deal_stage_log(to_stage);
INSERT INTO satchel_table(name, mode) VALUES('deal_stage_log', 'append');

-- What is to be done when a stage is entered; and, without a stage, when something else comes up.
CREATE TABLE task_template(
  id BLOB PRIMARY KEY,
  cause TEXT NOT NULL CHECK(cause IN ('stage', 'assigned', 'handed', 'idle', 'overdue')),
  stage_id BLOB REFERENCES stage(id),
  pos INTEGER NOT NULL DEFAULT 0,
  title TEXT NOT NULL,
  due_days INTEGER NOT NULL DEFAULT 1,
  active INTEGER NOT NULL DEFAULT 1,
  CHECK((cause = 'stage') = (stage_id IS NOT NULL))
);
CREATE INDEX task_template_stage ON task_template(stage_id);
INSERT INTO satchel_table(name, mode) VALUES('task_template', 'server');

CREATE TABLE quote_status_move(from_status TEXT, to_status TEXT, PRIMARY KEY(from_status, to_status)) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('quote_status_move', 'server', 'natural');

CREATE TABLE quote(
  id BLOB PRIMARY KEY,
  deal_id BLOB NOT NULL REFERENCES deal(id),
  number TEXT,               -- final, given by the server
  provisional TEXT,          -- what the device printed before; stays as another name of it
  status TEXT NOT NULL DEFAULT 'draft',
  currency TEXT NOT NULL DEFAULT 'EUR' CHECK(length(currency) = 3),
  valid_until INTEGER,
  created_by BLOB,
  created_at INTEGER
);
CREATE UNIQUE INDEX quote_number ON quote(number);
CREATE INDEX quote_provisional ON quote(provisional);
CREATE INDEX quote_deal ON quote(deal_id);
INSERT INTO satchel_table(name) VALUES('quote');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('quote', 'deal_id', 'first'),
  ('quote', 'number', 'server'),
  ('quote', 'provisional', 'first'),
  ('quote', 'status', 'guard:quote_status_move'),
  ('quote', 'created_by', 'first'),
  ('quote', 'created_at', 'first');

CREATE TABLE quote_line(
  id BLOB PRIMARY KEY,
  quote_id BLOB NOT NULL REFERENCES quote(id),
  product_id BLOB REFERENCES product(id),
  qty INTEGER NOT NULL,
  unit_cents INTEGER NOT NULL
);
CREATE INDEX quote_line_quote ON quote_line(quote_id);
CREATE INDEX quote_line_product ON quote_line(product_id);
INSERT INTO satchel_table(name) VALUES('quote_line');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('quote_line', 'quote_id', 'first'),
  ('quote_line', 'qty', 'group:line'),
  ('quote_line', 'unit_cents', 'group:line');

-- What one unit is worth in the reports' currency, EUR, in millionths; since when.
CREATE TABLE currency_rate(
  currency TEXT,
  since INTEGER,
  micro INTEGER NOT NULL CHECK(micro > 0),
  PRIMARY KEY(currency, since)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('currency_rate', 'server', 'natural');

-- A forecast as it stood: what view forecast said at that time.
CREATE TABLE forecast_snapshot(
  month TEXT,                -- in which the deals are to close, as 2026-11
  owner_id BLOB,
  at INTEGER,
  deals INTEGER NOT NULL,
  open_cents INTEGER NOT NULL,
  weighted_cents INTEGER NOT NULL,
  history_cents INTEGER NOT NULL,
  PRIMARY KEY(month, owner_id, at)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('forecast_snapshot', 'server', 'natural');

CREATE TABLE goal(
  id BLOB PRIMARY KEY,
  owner_id BLOB NOT NULL REFERENCES user_account(id),
  month TEXT NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN ('won_cents', 'won_deals', 'interactions')),
  target INTEGER NOT NULL CHECK(target >= 0)
);
CREATE INDEX goal_owner ON goal(owner_id, month);
INSERT INTO satchel_table(name) VALUES('goal');

-- A product that a customer might want, and why.
CREATE TABLE suggestion(
  contact_id BLOB,
  product_id BLOB,
  because_id BLOB NOT NULL,  -- the product that he has
  buyers INTEGER NOT NULL,   -- how many have both
  at INTEGER NOT NULL,
  PRIMARY KEY(contact_id, product_id)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('suggestion', 'server', 'natural');

-- Two that overlap are both kept; the one that came later is tentative until the other gives way.
CREATE TABLE appointment(
  id BLOB PRIMARY KEY,
  title TEXT NOT NULL,
  starts_at INTEGER NOT NULL,
  ends_at INTEGER NOT NULL,
  tz TEXT NOT NULL DEFAULT 'UTC',
  owner_id BLOB NOT NULL REFERENCES user_account(id),
  deal_id BLOB,
  cancelled INTEGER NOT NULL DEFAULT 0,
  tentative INTEGER NOT NULL DEFAULT 0,
  uid TEXT                   -- of a calendar elsewhere
);
CREATE INDEX appointment_owner ON appointment(owner_id, starts_at);
CREATE INDEX appointment_tentative ON appointment(id) WHERE tentative = 1;
INSERT INTO satchel_table(name) VALUES('appointment');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('appointment', 'starts_at', 'group:slot'),
  ('appointment', 'ends_at', 'group:slot'),
  ('appointment', 'tz', 'group:slot'),
  ('appointment', 'tentative', 'server'),
  ('appointment', 'uid', 'first');

-- A set, as contact_tag.
CREATE TABLE appointment_attendee(
  appointment_id BLOB REFERENCES appointment(id),
  contact_id BLOB,
  added_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(appointment_id, contact_id)
) WITHOUT ROWID;
CREATE INDEX appointment_attendee_contact ON appointment_attendee(contact_id);
INSERT INTO satchel_table(name, wins, key) VALUES('appointment_attendee', 'update', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES('appointment_attendee', 'added_at', 'max');
