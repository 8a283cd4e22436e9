-- Customers: companies (account), people (contact), how to reach them, and what they agreed to.

CREATE TABLE account(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  industry TEXT,
  revenue_cents INTEGER,
  employees INTEGER CHECK(employees IS NULL OR employees >= 0),
  territory_id BLOB REFERENCES territory(id),
  owner_id BLOB REFERENCES user_account(id),
  website TEXT,
  ref_ext TEXT,              -- the account's number in another system
  created_by BLOB,
  created_at INTEGER         -- all times: milliseconds since 1970, UTC
);
CREATE INDEX account_territory ON account(territory_id);
CREATE INDEX account_owner ON account(owner_id);
INSERT INTO satchel_table(name) VALUES('account');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('account', 'territory_id', 'server'),
  ('account', 'owner_id', 'server'),
  ('account', 'ref_ext', 'server'),
  ('account', 'created_by', 'first'),
  ('account', 'created_at', 'first');

-- Allowed moves of contact.status and contact.lifecycle; the rows are in 002_customers.data.sql.
CREATE TABLE contact_status_move(from_status TEXT, to_status TEXT, PRIMARY KEY(from_status, to_status)) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('contact_status_move', 'server', 'natural');
CREATE TABLE contact_lifecycle_move(from_lifecycle TEXT, to_lifecycle TEXT, PRIMARY KEY(from_lifecycle, to_lifecycle)) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('contact_lifecycle_move', 'server', 'natural');

CREATE TABLE contact(
  id BLOB PRIMARY KEY,
  account_id BLOB,           -- no REFERENCES: a contact outlives its company
  given TEXT,
  family TEXT,
  job_title TEXT,
  tenure_since INTEGER,
  birth_year INTEGER CHECK(birth_year IS NULL OR birth_year BETWEEN 1900 AND 2100),
  region_code TEXT,
  status TEXT NOT NULL DEFAULT 'prospect',
  lifecycle TEXT NOT NULL DEFAULT 'awareness',
  owner_id BLOB REFERENCES user_account(id),
  home_store_id BLOB REFERENCES store(id),
  source TEXT,
  last_contact_at INTEGER,
  visit_count INTEGER NOT NULL DEFAULT 0,
  merged_into BLOB,          -- the contact that survived a merge of duplicates
  erased INTEGER NOT NULL DEFAULT 0,
  created_by BLOB,
  created_at INTEGER
);
CREATE INDEX contact_account ON contact(account_id);
CREATE INDEX contact_owner ON contact(owner_id);
CREATE INDEX contact_store ON contact(home_store_id);
CREATE INDEX contact_name ON contact(family, given);
INSERT INTO satchel_table(name) VALUES('contact');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('contact', 'given', 'group:name'),
  ('contact', 'family', 'group:name'),
  ('contact', 'status', 'guard:contact_status_move'),
  ('contact', 'lifecycle', 'guard:contact_lifecycle_move'),
  ('contact', 'owner_id', 'server'),
  ('contact', 'home_store_id', 'server'),
  ('contact', 'source', 'first'),
  ('contact', 'last_contact_at', 'max'),
  ('contact', 'visit_count', 'counter'),
  ('contact', 'merged_into', 'server'),
  ('contact', 'erased', 'server'),
  ('contact', 'created_by', 'first'),
  ('contact', 'created_at', 'first');

CREATE TABLE contact_point(
  id BLOB PRIMARY KEY,
  contact_id BLOB NOT NULL REFERENCES contact(id),
  kind TEXT NOT NULL CHECK(kind IN ('email', 'phone', 'social')),
  value TEXT NOT NULL,
  norm TEXT,                 -- E.164 or lower case
  is_primary INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX contact_point_contact ON contact_point(contact_id);
CREATE INDEX contact_point_norm ON contact_point(kind, norm); -- not unique: two devices may both be right; duplicates are found later
INSERT INTO satchel_table(name) VALUES('contact_point');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('contact_point', 'contact_id', 'first'),
  ('contact_point', 'kind', 'first'),
  ('contact_point', 'norm', 'server');

CREATE TABLE address(
  id BLOB PRIMARY KEY,
  owner_kind TEXT NOT NULL CHECK(owner_kind IN ('account', 'contact', 'store')),
  owner_row BLOB NOT NULL,
  street TEXT,
  city TEXT,
  zip TEXT,
  country TEXT
);
CREATE INDEX address_owner ON address(owner_row);
INSERT INTO satchel_table(name) VALUES('address');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('address', 'owner_kind', 'first'),
  ('address', 'owner_row', 'first'),
  ('address', 'street', 'group:addr'),
  ('address', 'city', 'group:addr'),
  ('address', 'zip', 'group:addr'),
  ('address', 'country', 'group:addr');

CREATE TABLE contact_pref(
  contact_id BLOB REFERENCES contact(id),
  channel TEXT CHECK(channel IN ('email', 'phone', 'sms', 'post')),
  allowed INTEGER NOT NULL CHECK(allowed IN (0, 1)),
  PRIMARY KEY(contact_id, channel)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, key) VALUES('contact_pref', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES('contact_pref', 'allowed', 'strict');

-- A set: one row per tag of a contact. Adding is an UPSERT that touches added_at, so that it wins over a concurrent removal.
CREATE TABLE contact_tag(
  contact_id BLOB REFERENCES contact(id),
  tag TEXT,
  added_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(contact_id, tag)
) WITHOUT ROWID;
CREATE INDEX contact_tag_tag ON contact_tag(tag);
INSERT INTO satchel_table(name, wins, key) VALUES('contact_tag', 'update', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES('contact_tag', 'added_at', 'max');

-- Evidence of what somebody agreed to: never changed, and no REFERENCES, as it must outlive the contact.
CREATE TABLE consent_event(
  id BLOB PRIMARY KEY,
  contact_id BLOB NOT NULL,
  purpose TEXT NOT NULL,
  channel TEXT NOT NULL,
  granted INTEGER NOT NULL CHECK(granted IN (0, 1)),
  at INTEGER NOT NULL,
  by_user BLOB,
  evidence TEXT
);
CREATE INDEX consent_event_contact ON consent_event(contact_id);
INSERT INTO satchel_table(name, mode) VALUES('consent_event', 'append');
