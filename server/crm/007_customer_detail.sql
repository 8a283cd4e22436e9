-- More about customers: fields that a company adds itself, what is valid, feedback, who brought whom.

-- The form in which an address is compared (the view address_form); the rule `address-norm` fills it, and what a person wrote stays as it is.
ALTER TABLE address ADD COLUMN norm TEXT;
INSERT INTO satchel_rule(tbl, col, rule) VALUES('address', 'norm', 'server');

-- Every price that a product had, and since when: by it a receipt is seen to be of a price that was not in force any more (the view old_price_sales).
CREATE TABLE product_price(
  product_id BLOB,
  version INTEGER,
  price_cents INTEGER NOT NULL,
  since INTEGER NOT NULL,
  PRIMARY KEY(product_id, version)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('product_price', 'server', 'natural');

-- A field of the company's own, of any table that says who it belongs to below.
CREATE TABLE custom_field_def(
  id BLOB PRIMARY KEY,
  entity TEXT NOT NULL CHECK(entity IN ('account', 'contact', 'lead', 'deal', 'ticket', 'quote', 'product', 'task', 'appointment', 'purchase')),
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

-- What a row must satisfy, on devices and on the server. Those of tables of later migrations stand there.
INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES
  ('contact_point', 'value', 'kind <> ''email'' OR (trim(value) LIKE ''_%@_%'' AND trim(value) NOT LIKE ''%@%@%'' AND trim(value) NOT LIKE ''% %'')',
   'EMAIL_FORM', 'an e-mail address has something on both sides of one @, and no blanks within'),
  ('contact_point', 'value', 'kind <> ''phone'' OR (length(value) <= 40 AND value GLOB ''*[0-9]*[0-9]*[0-9]*'')', 'PHONE_FORM',
   'a phone number has 3 digits or more, in 40 characters at most'),
  ('lead', 'email', 'email IS NULL OR (trim(email) LIKE ''_%@_%'' AND trim(email) NOT LIKE ''%@%@%'' AND trim(email) NOT LIKE ''% %'')',
   'LEAD_EMAIL_FORM', 'an e-mail address has something on both sides of one @, and no blanks within'),
  ('lead', 'phone', 'coalesce(phone, '''') = '''' OR (length(phone) <= 40 AND phone GLOB ''*[0-9]*[0-9]*[0-9]*'')', 'LEAD_PHONE_FORM',
   'a phone number has 3 digits or more, in 40 characters at most'),
  ('lead', 'company_size', 'company_size IS NULL OR (typeof(company_size) = ''integer'' AND company_size >= 0)', 'LEAD_SIZE',
   'a company has a whole number of people, and no fewer than 0'),
  ('account', 'name', 'length(trim(name)) > 0', 'ACCOUNT_NAME', 'a company has a name'),
  ('account', NULL, '(revenue_cents IS NULL OR (typeof(revenue_cents) = ''integer'' AND revenue_cents >= 0)) AND typeof(employees) IN (''integer'', ''null'')', 'ACCOUNT_NUMBERS',
   'revenue is a whole number of cents and employees are a whole number of people, not below 0'),
  ('deal', 'name', 'length(trim(name)) > 0', 'DEAL_NAME', 'a deal has a name'),
  ('deal', NULL, 'typeof(amount_cents) IN (''integer'', ''null'') AND typeof(close_date) IN (''integer'', ''null'')', 'DEAL_NUMBERS',
   'an amount is a whole number of cents, and a day a whole number of milliseconds'),
  ('task', NULL, 'typeof(due_at) IN (''integer'', ''null'') AND typeof(remind_at) IN (''integer'', ''null'')', 'TASK_TIMES', 'a time is a whole number of milliseconds'),
-- A first state may be any of those that moves know, as imports bring in history. Where no moves are there is nothing to go by.
  ('contact', 'status', 'status IN (SELECT from_status FROM contact_status_move UNION SELECT to_status FROM contact_status_move)
     OR NOT EXISTS(SELECT 1 FROM contact_status_move)', 'CONTACT_STATUS', 'there is no such status of a contact'),
  ('contact', 'lifecycle', 'lifecycle IN (SELECT from_lifecycle FROM contact_lifecycle_move UNION SELECT to_lifecycle FROM contact_lifecycle_move)
     OR NOT EXISTS(SELECT 1 FROM contact_lifecycle_move)', 'CONTACT_LIFECYCLE', 'there is no such lifecycle of a contact'),
  ('lead', 'status', 'status IN (SELECT from_status FROM lead_status_move UNION SELECT to_status FROM lead_status_move)
     OR NOT EXISTS(SELECT 1 FROM lead_status_move)', 'LEAD_STATUS', 'there is no such status of a lead'),
  ('ticket', 'state', 'state IN (SELECT from_state FROM ticket_state_move UNION SELECT to_state FROM ticket_state_move)
     OR NOT EXISTS(SELECT 1 FROM ticket_state_move)', 'TICKET_STATE', 'there is no such state of a ticket'),
  ('deal', 'currency', 'currency IS NULL OR currency GLOB ''[A-Z][A-Z][A-Z]''', 'DEAL_CURRENCY', 'a currency is three capital letters, as EUR'),
  ('custom_field_def', 'options', 'type <> ''option'' OR (json_valid(options) AND json_type(options) = ''array'')', 'FIELD_OPTIONS',
   'the options of a field are a JSON array, as ["yes", "no"]'),
-- The definitions are on every device. A value whose definition is not there is let pass: it outlives it. That a required
-- field has no row at all is not seen: rows are looked at.
  ('custom_value', 'value', 'coalesce(value, '''') = '''' OR NOT EXISTS(SELECT 1 FROM custom_field_def d WHERE d.id = field_id AND NOT CASE d.type
     WHEN ''integer'' THEN CAST(CAST(value AS INTEGER) AS TEXT) = value
     WHEN ''date'' THEN value GLOB ''[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'' AND substr(value, 6, 2) BETWEEN ''01'' AND ''12''
       AND substr(value, 9) BETWEEN ''01'' AND CASE WHEN substr(value, 6, 2) IN (''04'', ''06'', ''09'', ''11'') THEN ''30'' WHEN substr(value, 6, 2) <> ''02'' THEN ''31''
         WHEN substr(value, 1, 4) % 4 = 0 AND (substr(value, 1, 4) % 100 <> 0 OR substr(value, 1, 4) % 400 = 0) THEN ''29'' ELSE ''28'' END
     WHEN ''flag'' THEN value IN (''0'', ''1'')
     WHEN ''option'' THEN EXISTS(SELECT 1 FROM json_each(d.options) o WHERE o.value = custom_value.value)
     ELSE 1 END)', 'CUSTOM_TYPE', 'the value is not of the kind that its field is: an integer, a date as 2026-12-31, 0 or 1, or one of its options'),
  ('custom_value', 'value', 'coalesce(value, '''') <> '''' OR NOT EXISTS(SELECT 1 FROM custom_field_def d WHERE d.id = field_id AND d.required = 1)',
   'CUSTOM_REQUIRED', 'this field may not be left empty');

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

-- Whose name and data were erased, on every device. What a device that does not know yet writes about that person is refused, so that nothing comes back; the row of the
-- contact stays without them (`erased` = 1), as the ledger needs it. Preferences and consents tell nobody who it was, and are let pass without what was written beside them.
-- A check knows of no other row whose it is: what was said in a ticket, of a deal or of a lead is not looked at.
CREATE TABLE erasure(
  contact_id BLOB PRIMARY KEY,
  at INTEGER NOT NULL
);
INSERT INTO satchel_table(name, mode, key) VALUES('erasure', 'server', 'natural');
INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES
  ('contact', 'coalesce(given, family, job_title, tenure_since, birth_year, region_code) IS NULL OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = contact.id)',
   'ERASED_CONTACT', 'this person''s data were erased'),
  ('contact_point', 'NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = contact_point.contact_id)', 'ERASED_POINT', 'this person''s data were erased'),
  ('contact_tag', 'NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = contact_tag.contact_id)', 'ERASED_TAG', 'this person''s data were erased'),
  ('address', 'NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = owner_row)', 'ERASED_ADDRESS', 'this person''s data were erased'),
  ('note', 'NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = parent_row)', 'ERASED_NOTE', 'this person''s data were erased'),
  ('interaction', 'NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = interaction.contact_id)', 'ERASED_INTERACTION', 'this person''s data were erased'),
  ('custom_value', 'value IS NULL OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = entity_row)', 'ERASED_VALUE',
   'this person''s data were erased'),
  ('feedback', 'body IS NULL OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = feedback.contact_id)', 'ERASED_FEEDBACK', 'this person''s data were erased'),
  ('task', 'title = '''' OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = parent_row)', 'ERASED_TASK', 'this person''s data were erased'),
  ('consent_event', 'evidence IS NULL OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = consent_event.contact_id)', 'ERASED_EVIDENCE',
   'this person''s data were erased');

-- The numbers that the server gave out last, by name: Q-2026 of quotes, T-2026 of tickets. On no device.
CREATE TABLE counter(
  name TEXT PRIMARY KEY,
  last INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('counter', 'server', 'natural');
