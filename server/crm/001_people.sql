-- The company itself: teams, users, territories and stores. Only the server writes these; devices receive them.

CREATE TABLE team(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  manager_id BLOB            -- a user_account; no REFERENCES, as the two tables name each other
);
INSERT INTO satchel_table(name, mode) VALUES('team', 'server');

CREATE TABLE store(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  region_code TEXT,
  tz TEXT NOT NULL DEFAULT 'UTC'
);
INSERT INTO satchel_table(name, mode) VALUES('store', 'server');

CREATE TABLE territory(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  region_code TEXT
);
INSERT INTO satchel_table(name, mode) VALUES('territory', 'server');

CREATE TABLE user_account(
  id BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT,
  role TEXT NOT NULL CHECK(role IN ('rep', 'cashier', 'manager', 'agent', 'admin')),
  team_id BLOB REFERENCES team(id),
  store_id BLOB REFERENCES store(id),
  active INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX user_account_email ON user_account(email);
CREATE INDEX user_account_team ON user_account(team_id);
CREATE INDEX user_account_store ON user_account(store_id);
INSERT INTO satchel_table(name, mode) VALUES('user_account', 'server');

CREATE TABLE user_territory(
  user_id BLOB REFERENCES user_account(id),
  territory_id BLOB REFERENCES territory(id),
  PRIMARY KEY(user_id, territory_id)
) WITHOUT ROWID;
CREATE INDEX user_territory_territory ON user_territory(territory_id);
INSERT INTO satchel_table(name, mode, key) VALUES('user_territory', 'server', 'natural');
