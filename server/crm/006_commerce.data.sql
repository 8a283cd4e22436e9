INSERT INTO loyalty_program(id, name, earn_rate, offline_policy, vest_days, expire_days, rule_version) VALUES
  (X'018bcfe568007000800000000000c001', 'Satchel Club', 1, 'escrow', 14, 730, 1);
