-- What happens to a deal: its way through the stages, what is to be done in each, quotes, currencies, forecasts, appointments.

-- What happened, in a word that a rule knows: demo_booked and the like (stage_move.on_event).
ALTER TABLE interaction ADD COLUMN kind TEXT;
CREATE INDEX interaction_deal ON interaction(deal_id, at);
-- After so many days without anything a deal of this stage is idle; NULL: never.
ALTER TABLE stage ADD COLUMN idle_days INTEGER;

-- Whoever moves a deal has filled what the stages that are then behind it want (stage.exit_fields); a lost one is let go as it is. The view deal_missing tells beforehand
-- what it would be.
INSERT INTO satchel_check(tbl, col, on_change, check_sql, code, words) VALUES('deal', 'stage_id', 1,
  'NOT EXISTS (SELECT 1 FROM stage t JOIN stage s ON s.pipeline_id = t.pipeline_id AND s.pos < t.pos AND s.kind = ''open'' AND s.exit_fields IS NOT NULL
     WHERE t.id = deal.stage_id AND t.kind <> ''lost''
       AND ((deal.account_id IS NULL AND s.exit_fields LIKE ''%"account_id"%'') OR (deal.amount_cents IS NULL AND s.exit_fields LIKE ''%"amount_cents"%'')
         OR (deal.currency IS NULL AND s.exit_fields LIKE ''%"currency"%'') OR (deal.probability IS NULL AND s.exit_fields LIKE ''%"probability"%'')
         OR (deal.close_date IS NULL AND s.exit_fields LIKE ''%"close_date"%'') OR (coalesce(length(deal.next_step), 0) = 0 AND s.exit_fields LIKE ''%"next_step"%'')))',
  'DEAL_EXIT', 'a stage that the deal has left wants something filled in first, such as the amount or the next step');

-- One row for each arrival in a stage, the first included; the last one says where the deal is. Whoever makes a move may log it, the device at once and the server when it
-- hears of it: the same step of a deal is the same row, and who was first tells what it was.
CREATE TABLE deal_stage_log(
  id BLOB PRIMARY KEY,       -- satchel_id(deal, step)
  deal_id BLOB NOT NULL,
  step INTEGER NOT NULL CHECK(step >= 0), -- 0: where the deal began
  from_stage BLOB,
  to_stage BLOB NOT NULL,
  at INTEGER NOT NULL,       -- when it happened, which may be long before anybody synced
  by_user BLOB,
  cause BLOB                 -- the interaction or quote that moved it; NULL: somebody did
);
CREATE UNIQUE INDEX deal_stage_log_step ON deal_stage_log(deal_id, step);
CREATE INDEX deal_stage_log_to ON deal_stage_log(to_stage, deal_id, at);
INSERT INTO satchel_table(name, key) VALUES('deal_stage_log', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('deal_stage_log', 'deal_id', 'first'),
  ('deal_stage_log', 'step', 'first'),
  ('deal_stage_log', 'from_stage', 'first'),
  ('deal_stage_log', 'to_stage', 'first'),
  ('deal_stage_log', 'at', 'first'),
  ('deal_stage_log', 'by_user', 'first'),
  ('deal_stage_log', 'cause', 'first');

-- Whoever first sees that a stage is entered makes its tasks, a device or the server: a task of one key is one task.
INSERT INTO satchel_table(name, key) VALUES('task', 'natural');

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
  currency TEXT NOT NULL DEFAULT 'EUR',
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
INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES
  ('quote', 'currency', 'currency GLOB ''[A-Z][A-Z][A-Z]''', 'QUOTE_CURRENCY', 'a currency is three capital letters, as EUR'),
  ('quote', 'status', 'status IN (SELECT from_status FROM quote_status_move UNION SELECT to_status FROM quote_status_move)
     OR NOT EXISTS(SELECT 1 FROM quote_status_move)', 'QUOTE_STATUS', 'there is no such status of a quote'),
  ('quote_line', 'qty', 'typeof(qty) = ''integer'' AND qty <> 0', 'QUOTE_QTY', 'a line of a quote is of at least one piece');
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

-- Whom the rule `cross-sell` has yet to look at. On no device.
CREATE TABLE suggestion_due(
  contact_id BLOB PRIMARY KEY,
  since INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('suggestion_due', 'server', 'natural');

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
INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES
  ('appointment', 'ends_at', 'typeof(starts_at) = ''integer'' AND typeof(ends_at) = ''integer'' AND ends_at > starts_at', 'APPOINTMENT_ENDS', 'an appointment ends after it begins');
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
