INSERT INTO custom_field_def(id, entity, name, type, options, pos) VALUES
  (X'018bcfe568007000800000000000f001', 'account', 'advertiser industry', 'option', '["luxury retail", "automotive", "hospitality"]', 1);
