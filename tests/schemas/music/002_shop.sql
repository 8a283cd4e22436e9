-- Playlists and sales, and the first changes of tables that have rows.

CREATE TABLE playlist(
  owner TEXT,
  name TEXT,
  public INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(owner, name)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, key) VALUES('playlist', 'natural');

-- A set: an update wins over a removal at the same time.
CREATE TABLE playlist_entry(
  owner TEXT,
  name TEXT,
  isrc TEXT,
  position REAL NOT NULL DEFAULT 0,
  PRIMARY KEY(owner, name, isrc),
  FOREIGN KEY(owner, name) REFERENCES playlist(owner, name)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, wins, key) VALUES('playlist_entry', 'update', 'natural');

CREATE TABLE invoice_move(before TEXT, after TEXT, PRIMARY KEY(before, after)) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode, key) VALUES('invoice_move', 'server', 'natural');

CREATE TABLE invoice(
  number INTEGER PRIMARY KEY,             -- not natural: two tills that take one number collide, and the second is refused
  customer TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'draft',
  total REAL NOT NULL DEFAULT 0,
  stamp TEXT
);
CREATE UNIQUE INDEX invoice_stamp ON invoice(stamp);
INSERT INTO satchel_table(name, wins, key) VALUES('invoice', 'delete', 'unique');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('invoice', 'customer', 'first'),
  ('invoice', 'state', 'guard:invoice_move'),
  ('invoice', 'total', 'counter'),
  ('invoice', 'stamp', 'server');

CREATE TABLE invoice_line(
  number INTEGER REFERENCES invoice(number),
  line INTEGER,
  isrc TEXT NOT NULL,
  copies INTEGER NOT NULL CHECK(copies > 0),
  price REAL NOT NULL,
  PRIMARY KEY(number, line)
) WITHOUT ROWID;
INSERT INTO satchel_table(name, mode) VALUES('invoice_line', 'append');

-- A user trigger that writes a synced table: on apply its work is there already. The total is a counter, so lines of two tills add up.
CREATE TRIGGER invoice_line_total AFTER INSERT ON invoice_line WHEN satchel_local() BEGIN
  UPDATE invoice SET total = total + new.copies * new.price WHERE number = new.number;
END;

ALTER TABLE track ADD COLUMN disc INTEGER NOT NULL DEFAULT 1;
ALTER TABLE album RENAME COLUMN label TO publisher;
