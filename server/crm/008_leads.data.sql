INSERT INTO score_rule(id, field, op, value, points, words) VALUES
  (X'018bcfe568007000800000000000e001', 'source', 'is', 'referral', 30, 'somebody recommended us'),
  (X'018bcfe568007000800000000000e002', 'source', 'is', 'fair', 20, 'met at a fair'),
  (X'018bcfe568007000800000000000e003', 'source', 'is', 'web', 15, 'came by the web site'),
  (X'018bcfe568007000800000000000e004', 'source', 'is', 'campaign', 10, 'answered a campaign'),
  (X'018bcfe568007000800000000000e005', 'source', 'is', 'purchased', -10, 'from a list that was bought'),
  (X'018bcfe568007000800000000000e011', 'job_title', 'like', '%chief%', 25, 'decides: chief'),
  (X'018bcfe568007000800000000000e012', 'job_title', 'like', 'c_o', 25, 'decides: CEO, CFO, CTO'),
  (X'018bcfe568007000800000000000e013', 'job_title', 'like', '%director%', 20, 'decides: director'),
  (X'018bcfe568007000800000000000e014', 'job_title', 'like', '%head of%', 15, 'leads a department'),
  (X'018bcfe568007000800000000000e015', 'job_title', 'like', '%manager%', 10, 'has a say: manager'),
  (X'018bcfe568007000800000000000e016', 'job_title', 'like', '%student%', -20, 'does not buy: student'),
  (X'018bcfe568007000800000000000e021', 'size', 'at_least', '50', 10, '50 people or more'),
  (X'018bcfe568007000800000000000e022', 'size', 'at_least', '250', 10, '250 people or more'),
  (X'018bcfe568007000800000000000e023', 'size', 'at_least', '1000', 10, '1000 people or more'),
  (X'018bcfe568007000800000000000e024', 'size', 'below', '5', -5, 'fewer than 5 people'),
  (X'018bcfe568007000800000000000e031', 'email', 'filled', NULL, 5, 'has an e-mail address'),
  (X'018bcfe568007000800000000000e032', 'phone', 'filled', NULL, 5, 'has a phone number'),
  (X'018bcfe568007000800000000000e033', 'status', 'is', 'qualified', 15, 'somebody qualified it');

-- Whom to, nobody can know beforehand: rules that name people come with the people, at a lower prio.
INSERT INTO assign_rule(id, prio, title_like, region_code, min_score, to_user, to_team) VALUES
  (X'018bcfe568007000800000000000e101', 1000, NULL, NULL, NULL, NULL, NULL);

INSERT INTO sequence(id, name, source) VALUES
  (X'018bcfe568007000800000000000e201', 'Stay in touch', NULL),
  (X'018bcfe568007000800000000000e202', 'After the fair', 'fair');
INSERT INTO sequence_step(id, sequence_id, pos, after_days, channel, title) VALUES
  (X'018bcfe568007000800000000000e211', X'018bcfe568007000800000000000e201', 1, 7, 'email', 'Send a story of a customer like this one'),
  (X'018bcfe568007000800000000000e212', X'018bcfe568007000800000000000e201', 2, 30, 'phone', 'Call and ask what has changed'),
  (X'018bcfe568007000800000000000e213', X'018bcfe568007000800000000000e201', 3, 90, 'email', 'Send what is new with us'),
  (X'018bcfe568007000800000000000e221', X'018bcfe568007000800000000000e202', 1, 1, 'email', 'Thank for the visit and send what was asked for'),
  (X'018bcfe568007000800000000000e222', X'018bcfe568007000800000000000e202', 2, 5, 'phone', 'Call and offer a demo'),
  (X'018bcfe568007000800000000000e223', X'018bcfe568007000800000000000e202', 3, 21, 'email', 'Invite to the next fair');
