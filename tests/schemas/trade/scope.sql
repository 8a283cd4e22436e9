-- A rep has the customers of a country and what they ordered; everybody has the rest.
INSERT INTO scope_bucket(tbl, name) VALUES('Area', 'all'), ('District', 'all'), ('Staff', 'all'), ('Staff District', 'all'), ('Carrier', 'all'), ('Vendor', 'all'),
  ('Category', 'all'), ('Product', 'all');
INSERT INTO scope_bucket(tbl, name, value) VALUES('Customer', 'country', '"Country"');
INSERT INTO scope_parent(tbl, parent, columns) VALUES('Order', 'Customer', 'CustomerID'), ('Order Line', 'Order', 'OrderID');
INSERT INTO scope_profile(name, buckets) VALUES
  ('rep', 'SELECT ''all'', NULL UNION ALL SELECT ''country'', :user'),
  ('full', 'SELECT ''all'', NULL UNION ALL SELECT ''country'', "Country" FROM "Customer"');
INSERT INTO scope_write(profile, tbl, ops) VALUES
  ('rep', 'Customer', 'update'), ('rep', 'Order', 'insert,update'), ('rep', 'Order Line', 'insert,update,delete'),
  ('full', 'Customer', 'insert,update'), ('full', 'Order', 'insert,update'), ('full', 'Order Line', 'insert,update,delete');
