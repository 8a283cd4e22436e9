INSERT INTO scope_bucket(tbl, name, value) VALUES('client', 'region', 'region');
INSERT INTO scope_parent(tbl, parent, columns) VALUES('visit', 'client', 'client_id');
INSERT INTO scope_profile(name, buckets) VALUES
  ('rep', 'SELECT ''region'', :user'),
  ('full', 'SELECT ''region'', ''north'' UNION ALL SELECT ''region'', ''south''');
INSERT INTO scope_mask(profile, tbl, columns) VALUES('rep', 'client', 'secret');
INSERT INTO scope_write(profile, tbl, ops, columns) VALUES
  ('rep', 'client', 'update', 'name,phone'),
  ('rep', 'visit', 'insert,update,delete', NULL),
  ('full', 'client', 'insert,update,delete', NULL),
  ('full', 'visit', 'insert,update,delete', NULL);
