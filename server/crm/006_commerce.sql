-- Purchases at the till and on the web, and the loyalty programme.

CREATE TABLE loyalty_program(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  earn_rate REAL NOT NULL DEFAULT 1,      -- points per 1.00 of the currency
  offline_policy TEXT NOT NULL DEFAULT 'escrow' CHECK(offline_policy IN ('deny', 'escrow', 'risk')),
  vest_days INTEGER NOT NULL DEFAULT 0,
  expire_days INTEGER,
  rule_version INTEGER NOT NULL DEFAULT 1
);
INSERT INTO satchel_table(name, mode) VALUES('loyalty_program', 'server');

-- The code on the plastic is what a till knows a customer by when it is offline.
CREATE TABLE loyalty_card(
  id BLOB PRIMARY KEY,
  program_id BLOB NOT NULL REFERENCES loyalty_program(id),
  code TEXT NOT NULL,
  contact_id BLOB,
  state TEXT NOT NULL DEFAULT 'active' CHECK(state IN ('active', 'blocked', 'lost', 'replaced')),
  issued_store BLOB REFERENCES store(id),
  issued_at INTEGER
);
CREATE UNIQUE INDEX loyalty_card_code ON loyalty_card(code);
CREATE INDEX loyalty_card_contact ON loyalty_card(contact_id);
CREATE INDEX loyalty_card_program ON loyalty_card(program_id);
CREATE INDEX loyalty_card_store ON loyalty_card(issued_store);
INSERT INTO satchel_table(name) VALUES('loyalty_card');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('loyalty_card', 'program_id', 'first'),
  ('loyalty_card', 'code', 'first'),
  ('loyalty_card', 'contact_id', 'first'),
  ('loyalty_card', 'state', 'server'),
  ('loyalty_card', 'issued_store', 'first'),
  ('loyalty_card', 'issued_at', 'first');

CREATE TABLE purchase(
  id BLOB PRIMARY KEY,
  channel TEXT NOT NULL CHECK(channel IN ('pos', 'ecom')),
  store_id BLOB REFERENCES store(id),
  device_id BLOB,
  receipt_no TEXT,
  contact_id BLOB,
  card_id BLOB,
  total_cents INTEGER NOT NULL,
  currency TEXT NOT NULL DEFAULT 'EUR' CHECK(length(currency) = 3),
  at INTEGER NOT NULL,
  refund_of BLOB
);
CREATE UNIQUE INDEX purchase_receipt ON purchase(channel, store_id, device_id, receipt_no);
CREATE INDEX purchase_contact ON purchase(contact_id, at);
CREATE INDEX purchase_card ON purchase(card_id);
CREATE INDEX purchase_store ON purchase(store_id);
INSERT INTO satchel_table(name, mode) VALUES('purchase', 'append');

CREATE TABLE purchase_line(
  id BLOB PRIMARY KEY,
  purchase_id BLOB NOT NULL REFERENCES purchase(id),
  product_id BLOB REFERENCES product(id),
  qty INTEGER NOT NULL CHECK(qty <> 0),
  unit_cents INTEGER NOT NULL,
  price_version INTEGER
);
CREATE INDEX purchase_line_purchase ON purchase_line(purchase_id);
CREATE INDEX purchase_line_product ON purchase_line(product_id);
INSERT INTO satchel_table(name, mode) VALUES('purchase_line', 'append');

-- The points ledger; a balance is a sum over it. Unused references are x'', not NULL: a unique index takes NULLs as distinct.
CREATE TABLE loyalty_entry(
  id BLOB PRIMARY KEY,
  card_id BLOB NOT NULL REFERENCES loyalty_card(id),
  kind TEXT NOT NULL CHECK(kind IN ('earn', 'redeem', 'reverse', 'expire', 'adjust', 'transfer', 'import')),
  points INTEGER NOT NULL,
  purchase_id BLOB NOT NULL DEFAULT x'',
  line_id BLOB NOT NULL DEFAULT x'',
  reverses BLOB NOT NULL DEFAULT x'',
  lease_id BLOB,
  rule_version INTEGER,
  at INTEGER NOT NULL,
  device_id BLOB,
  by_user BLOB
);
CREATE INDEX loyalty_entry_card ON loyalty_entry(card_id, at);
CREATE UNIQUE INDEX loyalty_entry_once ON loyalty_entry(purchase_id, line_id, kind, reverses) WHERE purchase_id <> x'';
CREATE UNIQUE INDEX loyalty_entry_reversed_once ON loyalty_entry(reverses) WHERE reverses <> x'';
INSERT INTO satchel_table(name, mode) VALUES('loyalty_entry', 'append');
