-- A music shop: no word of the CRM, every kind of key, every rule. What two devices sync with it proves that the engine knows no schema.

CREATE TABLE genre(name TEXT PRIMARY KEY) WITHOUT ROWID;                  -- a table that is all key
INSERT INTO satchel_table(name, mode, key) VALUES('genre', 'server', 'natural');

CREATE TABLE artist(
  artist_no INTEGER PRIMARY KEY,          -- a number of the trade, so two shops that enter one artist mean the same: natural
  name TEXT NOT NULL,
  sort_name TEXT,
  country TEXT,
  bio TEXT,
  fans INTEGER NOT NULL DEFAULT 0,
  chart_position INTEGER
);
CREATE INDEX artist_sort ON artist(sort_name COLLATE NOCASE);             -- collations belong into indexes
INSERT INTO satchel_table(name, key) VALUES('artist', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('artist', 'name', 'group:name'),
  ('artist', 'sort_name', 'group:name'),
  ('artist', 'fans', 'counter'),
  ('artist', 'chart_position', 'server');

CREATE TABLE album(
  artist_no INTEGER REFERENCES artist(artist_no),
  title TEXT,
  released INTEGER,
  label TEXT,
  genre TEXT REFERENCES genre(name),
  last_played_at INTEGER,
  first_sold_at INTEGER,
  entered_by TEXT,
  PRIMARY KEY(title, artist_no)           -- the key's order is not the columns'
);
INSERT INTO satchel_table(name, key) VALUES('album', 'natural');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('album', 'last_played_at', 'max'),
  ('album', 'first_sold_at', 'min'),
  ('album', 'entered_by', 'first');

CREATE TABLE track(
  isrc TEXT PRIMARY KEY,
  artist_no INTEGER NOT NULL,
  album_title TEXT NOT NULL,
  title TEXT NOT NULL,
  seconds INTEGER NOT NULL CHECK(seconds > 0),
  length TEXT GENERATED ALWAYS AS (printf('%d:%02d', seconds / 60, seconds % 60)) STORED,
  price REAL,
  currency TEXT,
  explicit INTEGER NOT NULL DEFAULT 0,
  plays INTEGER NOT NULL DEFAULT 0,
  extra,                                  -- no type: takes anything
  FOREIGN KEY(album_title, artist_no) REFERENCES album(title, artist_no)
);
CREATE INDEX track_album ON track(album_title, artist_no);
INSERT INTO satchel_table(name) VALUES('track');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('track', 'price', 'group:price'),
  ('track', 'currency', 'group:price'),
  ('track', 'explicit', 'strict'),
  ('track', 'plays', 'counter');

CREATE TABLE review(
  id BLOB PRIMARY KEY,
  isrc TEXT NOT NULL,
  stars INTEGER CHECK(stars BETWEEN 1 AND 5),
  body TEXT,
  copy_of BLOB
);
INSERT INTO satchel_table(name, wins) VALUES('review', 'delete');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('review', 'isrc', 'first'),
  ('review', 'body', 'keep:copy_of'),
  ('review', 'copy_of', 'first');

-- Local tables. A search index is made on each side from the rows that this side has; nothing of it syncs.
--
-- Its triggers stand on a synced table, so they must say what they do when synced rows are applied. A trigger that writes synced
-- tables has WHEN satchel_local(): its work came along with the rows. These write a local table, which nobody else keeps up, so they run
-- always: satchel_local() is 1 for the app's own writes and 0 for applied ones, and the condition holds for both. Each deletes before it
-- inserts rather than using INSERT OR REPLACE: inside a trigger the outer statement's conflict clause would win.
-- The index goes by rowid, which is stable because artist_no is an INTEGER PRIMARY KEY.
CREATE VIRTUAL TABLE artist_search USING fts5(name, bio);
CREATE TRIGGER artist_search_insert AFTER INSERT ON artist WHEN satchel_local() IN (0, 1) BEGIN
  DELETE FROM artist_search WHERE rowid = new.artist_no;
  INSERT INTO artist_search(rowid, name, bio) VALUES(new.artist_no, new.name, new.bio);
END;
CREATE TRIGGER artist_search_update AFTER UPDATE ON artist WHEN satchel_local() IN (0, 1) BEGIN
  DELETE FROM artist_search WHERE rowid IN (old.artist_no, new.artist_no);
  INSERT INTO artist_search(rowid, name, bio) VALUES(new.artist_no, new.name, new.bio);
END;
CREATE TRIGGER artist_search_delete AFTER DELETE ON artist WHEN satchel_local() IN (0, 1) BEGIN
  DELETE FROM artist_search WHERE rowid = old.artist_no;
END;

CREATE TABLE setting(name TEXT COLLATE NOCASE UNIQUE, value);
