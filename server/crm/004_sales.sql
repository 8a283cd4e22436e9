-- Sales: leads, pipelines with their stages and allowed moves, deals, products.

CREATE TABLE lead_status_move(from_status TEXT, to_status TEXT, PRIMARY KEY(from_status, to_status)) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('lead_status_move', 'server', 'natural');

CREATE TABLE lead(
  id BLOB PRIMARY KEY,
  given TEXT,
  family TEXT,
  company TEXT,
  job_title TEXT,
  region_code TEXT,
  company_size INTEGER,
  email TEXT,
  phone TEXT,
  source TEXT,
  campaign_id BLOB,
  status TEXT NOT NULL DEFAULT 'new',
  score INTEGER CHECK(score IS NULL OR score BETWEEN 1 AND 100),
  owner_id BLOB REFERENCES user_account(id),
  handed_at INTEGER,
  contact_id BLOB,           -- what it became when it was converted
  account_id BLOB,
  deal_id BLOB,
  created_by BLOB,
  created_at INTEGER
);
CREATE INDEX lead_owner ON lead(owner_id);
INSERT INTO satchel_table(name) VALUES('lead');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('lead', 'given', 'group:name'),
  ('lead', 'family', 'group:name'),
  ('lead', 'source', 'first'),
  ('lead', 'campaign_id', 'first'),
  ('lead', 'status', 'guard:lead_status_move'),
  ('lead', 'score', 'server'),
  ('lead', 'owner_id', 'server'),
  ('lead', 'handed_at', 'first'),
  ('lead', 'contact_id', 'server'),
  ('lead', 'account_id', 'server'),
  ('lead', 'deal_id', 'server'),
  ('lead', 'created_by', 'first'),
  ('lead', 'created_at', 'first');

CREATE TABLE pipeline(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL
);
INSERT INTO satchel_table(name, mode) VALUES('pipeline', 'server');

CREATE TABLE stage(
  id BLOB PRIMARY KEY,
  pipeline_id BLOB NOT NULL REFERENCES pipeline(id),
  name TEXT NOT NULL,
  pos INTEGER NOT NULL,
  probability INTEGER NOT NULL CHECK(probability BETWEEN 0 AND 100),
  kind TEXT NOT NULL CHECK(kind IN ('open', 'won', 'lost')),
  exit_fields TEXT           -- JSON: the deal's columns that must be filled before it leaves
);
CREATE INDEX stage_pipeline ON stage(pipeline_id);
INSERT INTO satchel_table(name, mode) VALUES('stage', 'server');

CREATE TABLE stage_move(
  from_stage BLOB REFERENCES stage(id),
  to_stage BLOB REFERENCES stage(id),
  on_event TEXT,             -- an event that makes the move by itself
  PRIMARY KEY(from_stage, to_stage)
) WITHOUT ROWID;
CREATE INDEX stage_move_to ON stage_move(to_stage);
INSERT INTO satchel_table(name, mode, key) VALUES('stage_move', 'server', 'natural');

CREATE TABLE deal(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  account_id BLOB REFERENCES account(id),
  stage_id BLOB NOT NULL REFERENCES stage(id),
  amount_cents INTEGER CHECK(amount_cents IS NULL OR amount_cents >= 0),
  currency TEXT CHECK(currency IS NULL OR length(currency) = 3),
  probability INTEGER CHECK(probability IS NULL OR probability BETWEEN 0 AND 100),
  close_date INTEGER,
  next_step TEXT,
  owner_id BLOB REFERENCES user_account(id),
  lost_reason TEXT,
  board_pos REAL,
  priority INTEGER,
  created_by BLOB,
  created_at INTEGER
);
CREATE INDEX deal_account ON deal(account_id);
CREATE INDEX deal_stage ON deal(stage_id);
CREATE INDEX deal_owner ON deal(owner_id);
INSERT INTO satchel_table(name) VALUES('deal');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('deal', 'stage_id', 'guard:stage_move'),
  ('deal', 'amount_cents', 'group:money'),
  ('deal', 'currency', 'group:money'),
  ('deal', 'owner_id', 'server'),
  ('deal', 'priority', 'server'),
  ('deal', 'created_by', 'first'),
  ('deal', 'created_at', 'first');

-- A set, as contact_tag.
CREATE TABLE deal_contact(
  deal_id BLOB REFERENCES deal(id),
  contact_id BLOB REFERENCES contact(id),
  role TEXT,
  added_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(deal_id, contact_id)
) WITHOUT ROWID;
CREATE INDEX deal_contact_contact ON deal_contact(contact_id);
INSERT INTO satchel_table(name, wins, key) VALUES('deal_contact', 'update', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES('deal_contact', 'added_at', 'max');

CREATE TABLE product(
  id BLOB PRIMARY KEY,
  sku TEXT NOT NULL,
  name TEXT NOT NULL,
  price_cents INTEGER NOT NULL CHECK(price_cents >= 0),
  price_version INTEGER NOT NULL DEFAULT 1,
  points_rate REAL NOT NULL DEFAULT 1,
  active INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX product_sku ON product(sku);
INSERT INTO satchel_table(name, mode) VALUES('product', 'server');
