INSERT INTO contact_status_move(from_status, to_status) VALUES
  ('prospect', 'lead'), ('prospect', 'customer'), ('prospect', 'inactive'),
  ('lead', 'prospect'), ('lead', 'customer'), ('lead', 'inactive'),
  ('customer', 'vip'), ('customer', 'inactive'),
  ('vip', 'customer'), ('vip', 'inactive'),
  ('inactive', 'prospect'), ('inactive', 'customer');

INSERT INTO contact_lifecycle_move(from_lifecycle, to_lifecycle) VALUES
  ('awareness', 'consideration'), ('awareness', 'purchase'),
  ('consideration', 'purchase'), ('consideration', 'awareness'),
  ('purchase', 'retention'),
  ('retention', 'advocacy'), ('retention', 'lapsed'),
  ('advocacy', 'retention'), ('advocacy', 'lapsed'),
  ('lapsed', 'consideration'), ('lapsed', 'purchase');
