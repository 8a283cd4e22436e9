INSERT INTO sla_policy(id, kind, priority, first_response_min, resolve_min) VALUES
  (X'018bcfe568007000800000000000f201', NULL, 1, 30, 240),
  (X'018bcfe568007000800000000000f202', NULL, 2, 60, 480),
  (X'018bcfe568007000800000000000f203', NULL, 3, 120, 1440),
  (X'018bcfe568007000800000000000f204', NULL, 4, 480, 2880),
  (X'018bcfe568007000800000000000f205', NULL, 5, 1440, 7200),
  (X'018bcfe568007000800000000000f206', 'complaint', 3, 60, 960);

INSERT INTO escalation_rule(id, clock, after_min, kind, to_level, title) VALUES
  (X'018bcfe568007000800000000000f301', 'answer', 0, NULL, 2, 'A ticket waits for its first answer'),
  (X'018bcfe568007000800000000000f302', 'resolve', 0, NULL, 3, 'A ticket is not resolved in time'),
  (X'018bcfe568007000800000000000f303', 'resolve', 1440, 'complaint', 4, 'A complaint is a day over its time');

INSERT INTO kb_article(id, kind, title, body, published) VALUES
  (X'018bcfe568007000800000000000f401', 'article', 'Giving something back',
   'Within thirty days, with the receipt or the card. The store that sold it sees the receipt; any other asks the service desk.', 1),
  (X'018bcfe568007000800000000000f402', 'article', 'Points that are missing',
   'Ask for the receipt number and the day. Points of a sale made without network appear when the till has synced.', 1),
  (X'018bcfe568007000800000000000f403', 'article', 'Changing an address',
   'Ask for the old address first. The change reaches all devices at their next sync.', 1),
  (X'018bcfe568007000800000000000f404', 'script', 'Complaint: first call',
   '1. Let the customer tell it whole. 2. Say back what you heard. 3. Say what happens next, and by when. 4. Write the promise into the ticket.', 1),
  (X'018bcfe568007000800000000000f405', 'script', 'Question: where is my order',
   '1. Number or name. 2. Say what the system shows, and as of when. 3. Offer to call back rather than to wait.', 1),
  (X'018bcfe568007000800000000000f406', 'script', 'Problem: it does not work',
   '1. Since when, and what changed? 2. Try it together. 3. If it stays: priority 2, and pass it on with what was tried.', 1);
