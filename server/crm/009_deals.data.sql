UPDATE stage SET idle_days = 14 WHERE kind = 'open' AND pipeline_id = X'018bcfe568007000800000000000a001';
UPDATE stage SET idle_days = 7 WHERE id IN (X'018bcfe568007000800000000000b104', X'018bcfe568007000800000000000b105');
UPDATE stage SET idle_days = 30 WHERE kind = 'open' AND pipeline_id = X'018bcfe568007000800000000000a002';

INSERT INTO quote_status_move(from_status, to_status) VALUES
  ('draft', 'sent'), ('draft', 'withdrawn'),
  ('sent', 'accepted'), ('sent', 'rejected'), ('sent', 'expired'), ('sent', 'draft'), ('sent', 'withdrawn'),
  ('expired', 'draft'), ('rejected', 'draft');

INSERT INTO task_template(id, cause, stage_id, pos, title, due_days) VALUES
  (X'018bcfe568007000800000000000d001', 'stage', X'018bcfe568007000800000000000b101', 1, 'Find out who decides', 3),
  (X'018bcfe568007000800000000000d002', 'stage', X'018bcfe568007000800000000000b101', 2, 'Send an introduction by e-mail', 1),
  (X'018bcfe568007000800000000000d003', 'stage', X'018bcfe568007000800000000000b102', 1, 'Call and write down needs and budget', 3),
  (X'018bcfe568007000800000000000d004', 'stage', X'018bcfe568007000800000000000b102', 2, 'Offer dates for a demo', 5),
  (X'018bcfe568007000800000000000d005', 'stage', X'018bcfe568007000800000000000b103', 1, 'Prepare the demo with the customer''s own case', 2),
  (X'018bcfe568007000800000000000d006', 'stage', X'018bcfe568007000800000000000b103', 2, 'Send a summary after the demo', 7),
  (X'018bcfe568007000800000000000d007', 'stage', X'018bcfe568007000800000000000b104', 1, 'Write and send the quote', 2),
  (X'018bcfe568007000800000000000d008', 'stage', X'018bcfe568007000800000000000b104', 2, 'Call about the quote', 5),
  (X'018bcfe568007000800000000000d009', 'stage', X'018bcfe568007000800000000000b105', 1, 'Settle terms and who signs', 3),
  (X'018bcfe568007000800000000000d010', 'stage', X'018bcfe568007000800000000000b106', 1, 'Hand over to onboarding', 1),
  (X'018bcfe568007000800000000000d011', 'stage', X'018bcfe568007000800000000000b106', 2, 'Ask how it goes', 30),
  (X'018bcfe568007000800000000000d021', 'stage', X'018bcfe568007000800000000000b202', 1, 'Ask what has changed since the last contract', 5),
  (X'018bcfe568007000800000000000d022', 'stage', X'018bcfe568007000800000000000b203', 1, 'Call about the renewal', 5);
INSERT INTO task_template(id, cause, pos, title, due_days) VALUES
  (X'018bcfe568007000800000000000d101', 'assigned', 1, 'Call the new lead', 1),
  (X'018bcfe568007000800000000000d102', 'handed', 1, 'Take over the qualified lead', 1),
  (X'018bcfe568007000800000000000d103', 'idle', 1, 'Follow up: nothing has happened for a while', 1),
  (X'018bcfe568007000800000000000d104', 'overdue', 1, 'Follow up: the day to close has passed', 1);

INSERT INTO currency_rate(currency, since, micro) VALUES
  ('EUR', 0, 1000000), ('USD', 0, 920000), ('GBP', 0, 1170000), ('CHF', 0, 1050000),
  ('SEK', 0, 88000), ('NOK', 0, 86000), ('DKK', 0, 134000), ('PLN', 0, 232000), ('CZK', 0, 40000), ('TRY', 0, 28000);
