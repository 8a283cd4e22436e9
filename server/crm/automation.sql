-- What happens by itself: rules over the tables beside, published as scope.sql is. The columns of `automation` are told in server/automation.h.
--
-- `new`, `old` and `event` are tables of one row: the row that caused it, the row before, and who did it when. event.stamp_ms is when it was done, event.at_ms
-- when the server took it in. A rule fills what is empty or what is the server's; where it may go over what a person wrote, `overwrites` is 1 and `about` says why.
-- Rows made for a cause have the id satchel_id(cause ...), so that the same cause never makes two.

-- ---- customers ----

INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('point-norm', 'contact_point', 'put', 'kind,value',
 'UPDATE contact_point SET norm = (SELECT f.norm FROM contact_point_form f WHERE f.point_id = contact_point.id)
    WHERE id = (SELECT id FROM new) AND norm IS DISTINCT FROM (SELECT f.norm FROM contact_point_form f WHERE f.point_id = contact_point.id)',
 'phones, e-mail addresses and social names in the form by which they are compared');

INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('address-norm', 'address', 'put', 'street,city,zip,country',
 'UPDATE address SET norm = (SELECT f.norm FROM address_form f WHERE f.address_id = address.id)
    WHERE id = (SELECT id FROM new) AND norm IS DISTINCT FROM (SELECT f.norm FROM address_form f WHERE f.address_id = address.id)',
 'addresses in the form by which they are compared');

-- A price that changes without a number of its own is given the next one; that is a change again, and is noted as what it is.
INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('product-price', 'product', 'put', 'price_cents,price_version',
 'UPDATE product SET price_version = price_version + 1
    WHERE id = (SELECT n.id FROM new n CROSS JOIN old o WHERE o.price_cents <> n.price_cents AND o.price_version = n.price_version);
  INSERT INTO product_price(product_id, version, price_cents, since)
    SELECT p.id, p.price_version, p.price_cents, e.at_ms FROM product p CROSS JOIN event e WHERE p.id = (SELECT id FROM new) ON CONFLICT(product_id, version) DO NOTHING',
 'every price that a product had');

INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('first-purchase', 'purchase', 'insert', 'new.refund_of IS NULL AND new.total_cents >= 0',
 'UPDATE contact SET status = ''customer'' WHERE status IN (''prospect'', ''lead'', ''inactive'')
    AND id = (SELECT coalesce(n.contact_id, (SELECT c.contact_id FROM loyalty_card c WHERE c.id = n.card_id)) FROM new n)',
 1, 'who buys is a customer, whatever somebody thought before');
INSERT INTO automation(name, tbl, event, columns, actions, overwrites, about) VALUES
('first-purchase-card', 'loyalty_card', 'put', 'contact_id',
 'UPDATE contact SET status = ''customer'' WHERE status IN (''prospect'', ''lead'', ''inactive'') AND id = (SELECT contact_id FROM new)
    AND EXISTS (SELECT 1 FROM purchase p WHERE p.card_id = (SELECT id FROM new) AND p.refund_of IS NULL AND p.total_cents >= 0
      AND coalesce(p.contact_id, contact.id) = contact.id)',
 1, 'the same when his card is known to be his after he bought');

-- Events of one transaction come one after the other, so the first claim that the server took in counts.
INSERT INTO automation(name, tbl, event, actions, about) VALUES
('referral-first', 'referral', 'insert',
 'UPDATE referral SET state = CASE WHEN referrer = referee THEN ''self''
      WHEN EXISTS (SELECT 1 FROM referral o WHERE o.referee = referral.referee AND o.state = ''counts'') THEN ''late'' ELSE ''counts'' END
    WHERE id = (SELECT id FROM new) AND state IS NULL',
 'of several who say that they brought somebody one counts');

-- ---- who has what ----

-- Whose something is only the server has ever written, so nothing that a person wrote is overwritten.
INSERT INTO automation(name, tbl, event, condition, actions, about) VALUES
('reassign', 'reassignment', 'insert', 'new.state IS NULL',
 'UPDATE reassignment SET words = (SELECT CASE WHEN e.author <> 0 AND e.user IS DISTINCT FROM n.by_user THEN ''it was asked on a device that is another''''s'' ELSE a.refusal END
      FROM new n JOIN reassignment_answer a ON a.reassignment_id = n.id CROSS JOIN event e) WHERE id = (SELECT id FROM new);
  UPDATE reassignment SET state = CASE WHEN words IS NULL THEN ''done'' ELSE ''refused'' END WHERE id = (SELECT id FROM new);
  UPDATE account SET owner_id = (SELECT to_user FROM new) WHERE owner_id IS DISTINCT FROM (SELECT to_user FROM new)
    AND id = (SELECT r.entity_row FROM reassignment r JOIN new n ON n.id = r.id WHERE r.entity = ''account'' AND r.state = ''done'');
  UPDATE contact SET owner_id = (SELECT to_user FROM new) WHERE owner_id IS DISTINCT FROM (SELECT to_user FROM new)
    AND id = (SELECT r.entity_row FROM reassignment r JOIN new n ON n.id = r.id WHERE r.entity = ''contact'' AND r.state = ''done'');
  UPDATE lead SET owner_id = (SELECT to_user FROM new) WHERE owner_id IS DISTINCT FROM (SELECT to_user FROM new)
    AND id = (SELECT r.entity_row FROM reassignment r JOIN new n ON n.id = r.id WHERE r.entity = ''lead'' AND r.state = ''done'');
  UPDATE deal SET owner_id = (SELECT to_user FROM new) WHERE owner_id IS DISTINCT FROM (SELECT to_user FROM new)
    AND id = (SELECT r.entity_row FROM reassignment r JOIN new n ON n.id = r.id WHERE r.entity = ''deal'' AND r.state = ''done'');
  UPDATE ticket SET assignee_id = (SELECT to_user FROM new) WHERE assignee_id IS DISTINCT FROM (SELECT to_user FROM new)
    AND id = (SELECT r.entity_row FROM reassignment r JOIN new n ON n.id = r.id WHERE r.entity = ''ticket'' AND r.state = ''done'')',
 'what who leads a team gives to another of it, at once; or why not');

-- ---- leads ----

INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('lead-score', 'lead', 'put', 'source,job_title,region_code,company,company_size,email,phone,status',
 'DELETE FROM score_reason WHERE lead_id = (SELECT id FROM new)
    AND NOT EXISTS (SELECT 1 FROM lead_score_match m WHERE m.lead_id = score_reason.lead_id AND m.rule_id = score_reason.rule_id);
  INSERT INTO score_reason(lead_id, rule_id, points, words)
    SELECT m.lead_id, m.rule_id, m.points, m.words FROM lead_score_match m WHERE m.lead_id = (SELECT id FROM new)
    ON CONFLICT(lead_id, rule_id) DO UPDATE SET points = excluded.points, words = excluded.words
    WHERE score_reason.points <> excluded.points OR score_reason.words <> excluded.words;
  UPDATE lead SET score = (SELECT e.score FROM lead_score_estimate e WHERE e.lead_id = lead.id)
    WHERE id = (SELECT id FROM new) AND score IS DISTINCT FROM (SELECT e.score FROM lead_score_estimate e WHERE e.lead_id = lead.id)',
 'points of 1 to 100 by score_rule, and a row for each reason'),
('lead-score-all', 'score_rule', 'put', NULL,
 'DELETE FROM score_reason WHERE rule_id = (SELECT id FROM new)
    AND NOT EXISTS (SELECT 1 FROM lead_score_match m WHERE m.lead_id = score_reason.lead_id AND m.rule_id = score_reason.rule_id);
  INSERT INTO score_reason(lead_id, rule_id, points, words)
    SELECT m.lead_id, m.rule_id, m.points, m.words FROM lead_score_match m WHERE m.rule_id = (SELECT id FROM new)
    ON CONFLICT(lead_id, rule_id) DO UPDATE SET points = excluded.points, words = excluded.words
    WHERE score_reason.points <> excluded.points OR score_reason.words <> excluded.words;
  UPDATE lead SET score = (SELECT e.score FROM lead_score_estimate e WHERE e.lead_id = lead.id)
    WHERE score IS DISTINCT FROM (SELECT e.score FROM lead_score_estimate e WHERE e.lead_id = lead.id)',
 'another rule, other points for every lead'),
('lead-score-gone', 'score_rule', 'delete', NULL,
 'UPDATE lead SET score = (SELECT e.score FROM lead_score_estimate e WHERE e.lead_id = lead.id)
    WHERE id IN (SELECT r.lead_id FROM score_reason r WHERE r.rule_id = (SELECT id FROM old))
      AND score IS DISTINCT FROM (SELECT e.score FROM lead_score_estimate e WHERE e.lead_id = lead.id);
  DELETE FROM score_reason WHERE rule_id = (SELECT id FROM old)',
 'a rule that is gone gives no points');

INSERT INTO automation(name, tbl, event, columns, condition, actions, about) VALUES
('lead-assign', 'lead', 'put', 'score,owner_id,job_title,region_code',
 'new.owner_id IS NULL AND new.score IS NOT NULL AND new.status IN (''new'', ''working'', ''nurturing'', ''qualified'')',
 'UPDATE lead SET owner_id = (SELECT c.user_id FROM lead_candidate c WHERE c.lead_id = lead.id ORDER BY c.prio, c.load, c.user_id LIMIT 1)
    WHERE id = (SELECT id FROM new) AND owner_id IS NULL AND EXISTS (SELECT 1 FROM lead_candidate c WHERE c.lead_id = lead.id)',
 'a lead goes to whom its job title and region say (assign_rule)'),
('lead-task', 'lead', 'update', 'owner_id',
 'new.owner_id IS NOT NULL',
 'UPDATE task SET assignee_id = (SELECT owner_id FROM new) WHERE parent_row = (SELECT id FROM new) AND parent_kind = ''lead'' AND template_id IS NOT NULL AND done_at IS NULL
    AND assignee_id <> (SELECT owner_id FROM new);
  INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(n.id, n.owner_id, t.id), t.title, e.stamp_ms + t.due_days * 86400000, n.owner_id, ''lead'', n.id, t.id
      FROM new n CROSS JOIN event e CROSS JOIN task_template t WHERE t.cause = ''assigned'' AND t.active = 1 AND n.status IN (''new'', ''working'', ''qualified'')
        AND NOT EXISTS (SELECT 1 FROM task o WHERE o.parent_row = n.id AND o.template_id = t.id AND o.done_at IS NULL)
    ON CONFLICT(id) DO NOTHING',
 'who is given a lead gets a task, and those that rules had made for whoever had it before; a task that a person gave to somebody stays with him');

-- In turns from who has least: a lead cannot know of those that are given away with it. Each goes by one rule, the first that finds somebody.
INSERT INTO automation(name, every, actions, about) VALUES
('lead-assign-later', '15m',
 'UPDATE lead SET owner_id = x.user_id
    FROM (SELECT c.lead_id AS lead_id, c.user_id AS user_id, count(*) OVER (PARTITION BY c.lead_id) AS places,
                 row_number() OVER (PARTITION BY c.lead_id ORDER BY c.load, c.user_id) AS place,
                 dense_rank() OVER (PARTITION BY c.rule_id, l.region_code ORDER BY c.lead_id) AS turn
            FROM (SELECT o.id AS id, o.region_code AS region_code, (SELECT m.rule_id FROM lead_candidate m WHERE m.lead_id = o.id ORDER BY m.prio, m.rule_id LIMIT 1) AS rule_id
                    FROM lead o WHERE o.owner_id IS NULL AND o.score IS NOT NULL AND o.status IN (''new'', ''working'', ''nurturing'', ''qualified'')
                      AND EXISTS (SELECT 1 FROM lead_candidate e WHERE e.lead_id = o.id) ORDER BY o.id LIMIT 200) l
            JOIN lead_candidate c ON c.lead_id = l.id AND c.rule_id = l.rule_id) x
    WHERE x.lead_id = lead.id AND x.place = 1 + (x.turn - 1) % x.places',
 'a lead for whom there was nobody goes to who has come since, by a rule, a territory or as a colleague; two hundred at a time');

INSERT INTO automation(name, tbl, event, columns, condition, actions, overwrites, about) VALUES
('lead-handoff', 'lead', 'put', 'status,owner_id',
 'new.status = ''qualified'' AND new.handed_at IS NULL AND new.owner_id IS NOT NULL',
 'INSERT INTO lead_handoff(lead_id, from_user, to_user, at)
    SELECT n.id, n.created_by, n.owner_id, e.stamp_ms FROM new n CROSS JOIN event e WHERE n.id IS NOT NULL ON CONFLICT(lead_id) DO NOTHING;
  INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(n.id, t.id), t.title, e.stamp_ms + t.due_days * 86400000, n.owner_id, ''lead'', n.id, t.id
      FROM new n CROSS JOIN event e CROSS JOIN task_template t WHERE t.cause = ''handed'' AND t.active = 1
    ON CONFLICT(id) DO NOTHING;
  UPDATE lead SET handed_at = (SELECT stamp_ms FROM event) WHERE id = (SELECT id FROM new) AND handed_at IS NULL',
 1, 'a qualified lead is handed to its owner, once; handed_at was empty');

INSERT INTO automation(name, tbl, event, columns, condition, actions, overwrites, about) VALUES
('nurture-begin', 'lead', 'put', 'status', 'new.status = ''nurturing''',
 'INSERT INTO sequence_enrolment(id, sequence_id, lead_id, started_at)
    SELECT satchel_id(s.id, n.id), s.id, n.id, e.stamp_ms FROM new n CROSS JOIN event e CROSS JOIN sequence s
      WHERE s.id = (SELECT q.id FROM sequence q WHERE q.active = 1 AND (q.source = n.source OR q.source IS NULL)
                     ORDER BY CASE WHEN q.source IS NULL THEN 1 ELSE 0 END, q.id LIMIT 1)
    ON CONFLICT(id) DO UPDATE SET ended_at = NULL WHERE sequence_enrolment.ended_at IS NOT NULL',
 1, 'a lead that is nurtured begins a sequence; one that it had left goes on where it was'),
('nurture-end', 'lead', 'update', 'status', 'new.status <> ''nurturing''',
 'UPDATE sequence_enrolment SET ended_at = (SELECT stamp_ms FROM event) WHERE lead_id = (SELECT id FROM new) AND ended_at IS NULL',
 1, 'a lead that is nurtured no more gets no further steps');

-- What a device has made of the lead already has the same keys. A deal that is not there says that nothing was made, and then the company may be new, too.
INSERT INTO automation(name, tbl, event, columns, condition, actions, about) VALUES
('lead-converted', 'lead', 'update', 'status', 'new.status = ''converted'' AND new.deal_id IS NULL',
 'INSERT INTO account(id, name, owner_id, created_by, created_at)
    SELECT c.account_id, n.company, n.owner_id, n.created_by, e.stamp_ms FROM new n JOIN lead_conversion c ON c.lead_id = n.id CROSS JOIN event e
      WHERE c.account_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deal d WHERE d.id = c.deal_id) ON CONFLICT(id) DO NOTHING;
  INSERT INTO contact(id, account_id, given, family, job_title, region_code, source, owner_id, created_by, created_at)
    SELECT c.contact_id, c.account_id, n.given, n.family, n.job_title, n.region_code, n.source, n.owner_id, n.created_by, e.stamp_ms
      FROM new n JOIN lead_conversion c ON c.lead_id = n.id CROSS JOIN event e WHERE n.id IS NOT NULL ON CONFLICT(id) DO NOTHING;
  INSERT INTO contact_point(id, contact_id, kind, value, is_primary)
    SELECT c.email_id, c.contact_id, ''email'', n.email, 1 FROM new n JOIN lead_conversion c ON c.lead_id = n.id
      WHERE length(n.email) > 0 AND NOT EXISTS (SELECT 1 FROM deal d WHERE d.id = c.deal_id) ON CONFLICT(id) DO NOTHING;
  INSERT INTO contact_point(id, contact_id, kind, value, is_primary)
    SELECT c.phone_id, c.contact_id, ''phone'', n.phone, 1 FROM new n JOIN lead_conversion c ON c.lead_id = n.id
      WHERE length(n.phone) > 0 AND NOT EXISTS (SELECT 1 FROM deal d WHERE d.id = c.deal_id) ON CONFLICT(id) DO NOTHING;
  INSERT INTO deal(id, name, account_id, stage_id, owner_id, created_by, created_at)
    SELECT c.deal_id, c.deal_name, c.account_id, c.stage_id, n.owner_id, n.created_by, e.stamp_ms
      FROM new n JOIN lead_conversion c ON c.lead_id = n.id CROSS JOIN event e WHERE n.id IS NOT NULL ON CONFLICT(id) DO NOTHING;
  INSERT INTO deal_contact(deal_id, contact_id, role, added_at)
    SELECT c.deal_id, c.contact_id, NULL, e.stamp_ms FROM new n JOIN lead_conversion c ON c.lead_id = n.id CROSS JOIN event e
      WHERE NOT EXISTS (SELECT 1 FROM deal_contact x WHERE x.deal_id = c.deal_id) ON CONFLICT(deal_id, contact_id) DO NOTHING;
  UPDATE deal SET owner_id = (SELECT owner_id FROM new) WHERE owner_id IS NULL AND id = (SELECT c.deal_id FROM new n JOIN lead_conversion c ON c.lead_id = n.id);
  UPDATE lead SET deal_id = (SELECT c.deal_id FROM lead_conversion c WHERE c.lead_id = lead.id),
      contact_id = (SELECT c.contact_id FROM lead_conversion c WHERE c.lead_id = lead.id),
      account_id = (SELECT d.account_id FROM lead_conversion c JOIN deal d ON d.id = c.deal_id WHERE c.lead_id = lead.id)
    WHERE id = (SELECT id FROM new) AND deal_id IS NULL',
 'a lead that is converted is a company, a contact and a deal; the lead keeps which');

INSERT INTO automation(name, every, actions, about) VALUES
('nurture-step', '15m',
 'INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(n.id, s.id), s.title, n.started_at + s.after_days * 86400000, l.owner_id, ''lead'', l.id, s.id
      FROM sequence_enrolment n JOIN sequence_step s ON s.sequence_id = n.sequence_id JOIN lead l ON l.id = n.lead_id CROSS JOIN event e
      WHERE n.ended_at IS NULL AND s.pos > n.step_pos AND n.started_at + s.after_days * 86400000 <= e.at_ms
    ON CONFLICT(id) DO NOTHING;
  UPDATE sequence_enrolment SET step_pos = (SELECT max(s.pos) FROM sequence_step s
      WHERE s.sequence_id = sequence_enrolment.sequence_id AND sequence_enrolment.started_at + s.after_days * 86400000 <= (SELECT at_ms FROM event))
    WHERE ended_at IS NULL AND EXISTS (SELECT 1 FROM sequence_step s WHERE s.sequence_id = sequence_enrolment.sequence_id
      AND s.pos > sequence_enrolment.step_pos AND sequence_enrolment.started_at + s.after_days * 86400000 <= (SELECT at_ms FROM event))',
 'a step that is due becomes a task of the lead''s owner');

-- ---- deals ----

-- The steps of a deal are numbered, and the last one says where it is: what a device or another rule has logged already is so known, and is not logged again.
INSERT INTO automation(name, tbl, event, actions, about) VALUES
('stage-first', 'deal', 'insert',
 'INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(n.id, 0), n.id, 0, NULL, coalesce((SELECT l.from_stage FROM deal_stage_log l WHERE l.deal_id = n.id AND l.step = 1), n.stage_id),
           coalesce(n.created_at, e.stamp_ms), n.created_by, NULL
      FROM new n CROSS JOIN event e WHERE n.id IS NOT NULL ON CONFLICT(id) DO NOTHING',
 'the stage in which a deal began');

INSERT INTO automation(name, tbl, event, columns, condition, actions, about) VALUES
('stage-log', 'deal', 'update', 'stage_id', 'new.stage_id <> old.stage_id',
 'INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(n.id, 0), n.id, 0, NULL, o.stage_id, coalesce(n.created_at, e.stamp_ms), n.created_by, NULL
      FROM new n CROSS JOIN old o CROSS JOIN event e WHERE n.id IS NOT NULL ON CONFLICT(id) DO NOTHING;
  INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(n.id, l.step + 1), n.id, l.step + 1, l.to_stage, n.stage_id, e.stamp_ms, e.user, NULL
      FROM new n JOIN deal_stage_log l ON l.deal_id = n.id CROSS JOIN event e
      WHERE l.step = (SELECT max(x.step) FROM deal_stage_log x WHERE x.deal_id = n.id) AND l.to_stage <> n.stage_id ON CONFLICT(id) DO NOTHING',
 'each move of a deal, at the time when it was made');

-- A device logs its move with it; where the move was lost to somebody else's, or came to the same, its row says what has not been.
INSERT INTO automation(name, tbl, event, actions, about) VALUES
('stage-log-lost', 'deal_stage_log', 'insert',
 'DELETE FROM deal_stage_log WHERE deal_id = (SELECT n.deal_id FROM new n CROSS JOIN event e WHERE e.author <> 0)
    AND step > (SELECT max(l.step) FROM deal_stage_log l JOIN deal d ON d.id = l.deal_id AND d.stage_id = l.to_stage WHERE l.deal_id = deal_stage_log.deal_id);
  DELETE FROM deal_stage_log WHERE id = (SELECT n.id FROM new n CROSS JOIN event e WHERE e.author <> 0)
    AND to_stage = (SELECT l.to_stage FROM deal_stage_log l WHERE l.deal_id = deal_stage_log.deal_id AND l.step < deal_stage_log.step ORDER BY l.step DESC LIMIT 1)',
 'a move that a device logged and that was none');

INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('stage-by-interaction', 'interaction', 'insert', 'new.kind IS NOT NULL AND new.deal_id IS NOT NULL',
 'INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user, cause)
    SELECT m.log_id, m.deal_id, m.step, m.from_stage, m.to_stage, n.at, n.by_user, n.id
      FROM new n JOIN deal_event_move m ON m.deal_id = n.deal_id AND m.on_event = n.kind WHERE n.id IS NOT NULL ON CONFLICT(id) DO NOTHING;
  UPDATE deal SET stage_id = (SELECT m.to_stage FROM new n JOIN deal_event_move m ON m.deal_id = n.deal_id AND m.on_event = n.kind)
    WHERE id = (SELECT m.deal_id FROM new n JOIN deal_event_move m ON m.deal_id = n.deal_id AND m.on_event = n.kind)',
 1, 'an interaction of a kind that stage_move names (demo_booked) moves its deal; the stage that a person chose before is what it starts from');

INSERT INTO automation(name, tbl, event, columns, condition, actions, overwrites, about) VALUES
('stage-by-quote', 'quote', 'update', 'status', 'new.status = ''accepted''',
 'INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user, cause)
    SELECT m.log_id, m.deal_id, m.step, m.from_stage, m.to_stage, e.stamp_ms, e.user, n.id
      FROM new n JOIN deal_event_move m ON m.deal_id = n.deal_id AND m.on_event = ''quote_accepted'' CROSS JOIN event e WHERE n.id IS NOT NULL ON CONFLICT(id) DO NOTHING;
  UPDATE deal SET stage_id = (SELECT m.to_stage FROM new n JOIN deal_event_move m ON m.deal_id = n.deal_id AND m.on_event = ''quote_accepted'')
    WHERE id = (SELECT m.deal_id FROM new n JOIN deal_event_move m ON m.deal_id = n.deal_id AND m.on_event = ''quote_accepted'')',
 1, 'an accepted quote moves its deal, as stage_move says');

-- A deal that comes in with a day to begin that is long past is history, and nothing is to be done for it.
INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('stage-tasks', 'deal', 'put', 'stage_id',
 'INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT t.task_id, t.title, e.stamp_ms + t.due_days * 86400000, t.assignee_id, ''deal'', t.deal_id, t.template_id
      FROM new n JOIN deal_stage_task t ON t.deal_id = n.id CROSS JOIN event e
      WHERE n.created_at IS NULL OR n.created_at > e.stamp_ms - 7 * 86400000 OR EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = n.id AND l.step > 0)
    ON CONFLICT(id) DO NOTHING',
 'who enters a stage gets its tasks, once for a deal and a template');

-- A device makes them with its move; where the move was lost to somebody else's there is nothing to be done.
INSERT INTO automation(name, tbl, event, condition, actions, about) VALUES
('stage-tasks-lost', 'task', 'insert', 'new.template_id IS NOT NULL AND new.parent_kind = ''deal'' AND new.done_at IS NULL',
 'DELETE FROM task WHERE id = (SELECT n.id FROM new n CROSS JOIN event e JOIN task_template t ON t.id = n.template_id JOIN deal d ON d.id = n.parent_row
    WHERE e.author <> 0 AND t.stage_id <> d.stage_id AND NOT EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = d.id AND l.to_stage = t.stage_id))',
 'a task of a stage in which the deal has not been');

INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('deal-priority', 'deal', 'put', 'amount_cents,currency,probability,stage_id,account_id',
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE id = (SELECT id FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the sum of the reasons in deal_priority_reason'),
('deal-priority-people', 'deal_contact', 'put', NULL,
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE id = (SELECT deal_id FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when somebody takes part'),
('deal-priority-left', 'deal_contact', 'delete', NULL,
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE id = (SELECT deal_id FROM old) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when somebody takes part no more'),
('deal-priority-title', 'contact', 'update', 'job_title',
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE id IN (SELECT x.deal_id FROM deal_contact x WHERE x.contact_id = (SELECT id FROM new))
      AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when one of them is something else'),
('deal-priority-company', 'account', 'update', 'revenue_cents,employees',
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE account_id = (SELECT id FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when the company is known to be another size'),
('deal-priority-stage', 'stage', 'update', 'kind,probability',
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE stage_id = (SELECT id FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when the stage promises more, or less'),
('deal-priority-rate', 'currency_rate', 'put', NULL,
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE currency = (SELECT currency FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when its money is worth something else'),
('deal-priority-rate-gone', 'currency_rate', 'delete', NULL,
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE currency = (SELECT currency FROM old) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when a rate is taken back');

INSERT INTO automation(name, every, actions, about) VALUES
('deal-priority-rates', '1h',
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE currency IN (SELECT r.currency FROM currency_rate r CROSS JOIN event e WHERE r.since <= e.at_ms AND r.since > e.at_ms - 7 * 86400000)
      AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when a rate begins that was entered before');

INSERT INTO automation(name, tbl, event, condition, actions, about) VALUES
('quote-number', 'quote', 'insert', 'new.number IS NULL',
 'INSERT INTO counter(name, last) SELECT ''Q-'' || substr(month_of(e.at_ms), 1, 4), 0 FROM event e WHERE e.at_ms IS NOT NULL ON CONFLICT(name) DO NOTHING;
  UPDATE counter SET last = last + 1 WHERE name = (SELECT ''Q-'' || substr(month_of(at_ms), 1, 4) FROM event);
  UPDATE quote SET number = (SELECT c.name || ''-'' || substr(CAST(1000000 + c.last AS TEXT), 2) FROM counter c
      WHERE c.name = (SELECT ''Q-'' || substr(month_of(at_ms), 1, 4) FROM event)) WHERE id = (SELECT id FROM new) AND number IS NULL',
 'the final number, as Q-2026-000123');

INSERT INTO automation(name, every, actions, about) VALUES
('deal-follow-up', '1h',
 'INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(a.deal_id, t.id, a.last_at), t.title, e.at_ms + t.due_days * 86400000, a.owner_id, ''deal'', a.deal_id, t.id
      FROM deal_activity a CROSS JOIN event e JOIN task_template t ON t.cause = ''idle'' AND t.active = 1
      WHERE a.idle_at <= e.at_ms AND NOT EXISTS (SELECT 1 FROM task o JOIN task_template ot ON ot.id = o.template_id
        WHERE o.parent_row = a.deal_id AND o.done_at IS NULL AND ot.cause IN (''idle'', ''overdue''))
    ON CONFLICT(id) DO NOTHING;
  INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(a.deal_id, t.id, a.close_date), t.title, e.at_ms + t.due_days * 86400000, a.owner_id, ''deal'', a.deal_id, t.id
      FROM deal_activity a CROSS JOIN event e JOIN task_template t ON t.cause = ''overdue'' AND t.active = 1
      WHERE a.close_date <= e.at_ms - 86400000 AND NOT EXISTS (SELECT 1 FROM task o JOIN task_template ot ON ot.id = o.template_id
        WHERE o.parent_row = a.deal_id AND o.done_at IS NULL AND ot.cause IN (''idle'', ''overdue''))
    ON CONFLICT(id) DO NOTHING',
 'an open deal that nothing happens with, or whose day to close has passed, has one open follow-up and no more'),
('forecast-keep', '1d 01:00',
 'INSERT INTO forecast_snapshot(month, owner_id, at, deals, open_cents, weighted_cents, history_cents)
    SELECT f.month, f.owner_id, e.at_ms, f.deals, f.open_cents, f.weighted_cents, f.history_cents FROM forecast f CROSS JOIN event e WHERE f.deals > 0
    ON CONFLICT(month, owner_id, at) DO NOTHING',
 'the forecast as it stands each night'),
('cross-sell', '1h',
 'INSERT INTO suggestion(contact_id, product_id, because_id, buyers, at)
    SELECT y.contact_id, y.product_id, y.because_id, y.buyers, e.at_ms
      FROM (SELECT x.contact_id AS contact_id, x.product_id AS product_id, x.because_id AS because_id, x.buyers AS buyers,
                   row_number() OVER (PARTITION BY x.contact_id ORDER BY x.buyers DESC, x.product_id) AS place
              FROM (SELECT c.contact_id AS contact_id, c.product_id AS product_id, c.because_id AS because_id, c.buyers AS buyers,
                           row_number() OVER (PARTITION BY c.contact_id, c.product_id ORDER BY c.buyers DESC, c.because_id) AS best
                      FROM (SELECT s.contact_id AS contact_id, s.product_id AS product_id, s.because_id AS because_id, count(DISTINCT s.buyer_id) AS buyers FROM cross_sell s
                             WHERE s.contact_id IN (SELECT q.contact_id FROM suggestion_due q ORDER BY q.since, q.contact_id LIMIT 100)
                             GROUP BY s.contact_id, s.product_id, s.because_id) c) x
              WHERE x.best = 1) y CROSS JOIN event e
      WHERE y.place <= 3
    ON CONFLICT(contact_id, product_id) DO UPDATE SET because_id = excluded.because_id, buyers = excluded.buyers, at = excluded.at;
  DELETE FROM suggestion_due WHERE contact_id IN (SELECT q.contact_id FROM suggestion_due q ORDER BY q.since, q.contact_id LIMIT 100)',
 'three products for everybody who has bought something since he was looked at; a hundred at a time');

-- When it is heard of, and not when it was: a till may have been away for as long as its profile says (scope.sql), 90 days. What is older is history.
INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('cross-sell-due', 'purchase', 'insert', NULL,
 'INSERT INTO suggestion_due(contact_id, since)
    SELECT x.contact_id, x.at_ms FROM (SELECT coalesce(n.contact_id, (SELECT k.contact_id FROM loyalty_card k WHERE k.id = n.card_id)) AS contact_id, n.at AS at, e.at_ms AS at_ms
      FROM new n CROSS JOIN event e) x WHERE x.contact_id IS NOT NULL AND x.at > x.at_ms - 7776000000 ON CONFLICT(contact_id) DO NOTHING',
 'who has bought something is to be looked at'),
('cross-sell-card', 'loyalty_card', 'put', 'contact_id',
 'INSERT INTO suggestion_due(contact_id, since)
    SELECT n.contact_id, e.at_ms FROM new n CROSS JOIN event e
      WHERE n.contact_id IS NOT NULL AND EXISTS (SELECT 1 FROM purchase p WHERE p.card_id = n.id AND p.at > e.at_ms - 7776000000) ON CONFLICT(contact_id) DO NOTHING',
 'the same when his card is known to be his');

INSERT INTO automation(name, tbl, event, actions, about) VALUES
('cross-sell-done', 'purchase_line', 'insert',
 'DELETE FROM suggestion WHERE product_id = (SELECT product_id FROM new)
    AND contact_id = (SELECT coalesce(p.contact_id, (SELECT c.contact_id FROM loyalty_card c WHERE c.id = p.card_id)) FROM purchase p
                       WHERE p.id = (SELECT purchase_id FROM new))',
 'what somebody bought is suggested no more');

-- ---- appointments ----

-- The one that came is tentative if it overlaps one that stands; and those that were in its way before are firm again, the first by id where two would be.
INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('appointment-overlap', 'appointment', 'put', 'starts_at,ends_at,owner_id,cancelled',
 'UPDATE appointment SET tentative = CASE WHEN tentative = 1 THEN 0 ELSE 1 END
    WHERE id = (SELECT id FROM new) AND tentative <> CASE WHEN cancelled = 0 AND EXISTS (SELECT 1 FROM appointment o WHERE o.owner_id = appointment.owner_id
      AND o.id <> appointment.id AND o.cancelled = 0 AND o.tentative = 0 AND o.starts_at < appointment.ends_at AND appointment.starts_at < o.ends_at) THEN 1 ELSE 0 END;
  UPDATE appointment SET tentative = 0 WHERE tentative = 1 AND id <> (SELECT id FROM new) AND NOT EXISTS (SELECT 1 FROM appointment o
    WHERE o.owner_id = appointment.owner_id AND o.id <> appointment.id AND o.cancelled = 0 AND o.starts_at < appointment.ends_at
      AND appointment.starts_at < o.ends_at AND (o.tentative = 0 OR o.id < appointment.id));
  INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row)
    SELECT satchel_id(a.id, a.starts_at, a.ends_at, w.who), ''Two appointments at once: '' || a.title, a.starts_at, w.who, ''appointment'', a.id
      FROM appointment a JOIN (SELECT n.owner_id AS who FROM new n UNION SELECT u.id FROM user_account u JOIN event e ON e.user = u.id) w ON w.who IS NOT NULL
      WHERE a.id = (SELECT id FROM new) AND a.tentative = 1 ON CONFLICT(id) DO NOTHING',
 'of two that overlap the one that came later is tentative; whose it is and who made it get a task'),
('appointment-freed', 'appointment', 'delete', NULL,
 'UPDATE appointment SET tentative = 0 WHERE tentative = 1 AND NOT EXISTS (SELECT 1 FROM appointment o
    WHERE o.owner_id = appointment.owner_id AND o.id <> appointment.id AND o.cancelled = 0 AND o.starts_at < appointment.ends_at
      AND appointment.starts_at < o.ends_at AND (o.tentative = 0 OR o.id < appointment.id))',
 'an appointment that is gone makes room');

-- ---- service ----

INSERT INTO automation(name, tbl, event, condition, actions, about) VALUES
('ticket-number', 'ticket', 'insert', 'new.number IS NULL',
 'INSERT INTO counter(name, last) SELECT ''T-'' || substr(month_of(e.at_ms), 1, 4), 0 FROM event e WHERE e.at_ms IS NOT NULL ON CONFLICT(name) DO NOTHING;
  UPDATE counter SET last = last + 1 WHERE name = (SELECT ''T-'' || substr(month_of(at_ms), 1, 4) FROM event);
  UPDATE ticket SET number = (SELECT c.name || ''-'' || substr(CAST(1000000 + c.last AS TEXT), 2) FROM counter c
      WHERE c.name = (SELECT ''T-'' || substr(month_of(at_ms), 1, 4) FROM event)) WHERE id = (SELECT id FROM new) AND number IS NULL',
 'the number that people say');

INSERT INTO automation(name, tbl, event, columns, actions, overwrites, about) VALUES
('ticket-due', 'ticket', 'put', 'kind,priority,opened_at',
 'UPDATE ticket SET opened_at = (SELECT stamp_ms FROM event) WHERE id = (SELECT id FROM new) AND opened_at IS NULL;
  UPDATE ticket SET sla_due_at = (SELECT c.first_response_due_at FROM ticket_clock c WHERE c.ticket_id = ticket.id)
    WHERE id = (SELECT id FROM new) AND sla_due_at IS DISTINCT FROM (SELECT c.first_response_due_at FROM ticket_clock c WHERE c.ticket_id = ticket.id)',
 1, 'when the first answer is due (sla_policy); opened_at only where it was empty');

-- Who was answered was promised what stood then; by that it is told whether it was in time.
INSERT INTO automation(name, tbl, event, actions, about) VALUES
('ticket-due-policy', 'sla_policy', 'put',
 'UPDATE ticket SET sla_due_at = (SELECT c.first_response_due_at FROM ticket_clock c WHERE c.ticket_id = ticket.id)
    WHERE state IN (''open'', ''pending'') AND first_response_at IS NULL
      AND sla_due_at IS DISTINCT FROM (SELECT c.first_response_due_at FROM ticket_clock c WHERE c.ticket_id = ticket.id)',
 'another policy, another time for those that wait for an answer'),
('ticket-due-policy-gone', 'sla_policy', 'delete',
 'UPDATE ticket SET sla_due_at = (SELECT c.first_response_due_at FROM ticket_clock c WHERE c.ticket_id = ticket.id)
    WHERE state IN (''open'', ''pending'') AND first_response_at IS NULL
      AND sla_due_at IS DISTINCT FROM (SELECT c.first_response_due_at FROM ticket_clock c WHERE c.ticket_id = ticket.id)',
 'the same when a policy is gone');

-- An inquiry of one whom the desk does not hold is threaded by where it came from, if that is one contact's alone; whichever of the two came first.
INSERT INTO automation(name, tbl, event, columns, condition, actions, about) VALUES
('ticket-contact', 'ticket', 'put', 'reached_by,contact_id', 'new.contact_id IS NULL AND new.reached_by IS NOT NULL',
 'UPDATE ticket SET reached_norm = (SELECT f.norm FROM ticket_reach_form f WHERE f.ticket_id = ticket.id) WHERE id = (SELECT id FROM new) AND reached_norm IS NULL;
  UPDATE ticket SET contact_id = (SELECT s.contact_id FROM ticket_sender s WHERE s.ticket_id = ticket.id LIMIT 1)
    WHERE id = (SELECT id FROM new) AND contact_id IS NULL AND (SELECT count(DISTINCT s.contact_id) FROM ticket_sender s WHERE s.ticket_id = ticket.id) = 1',
 'whose address or number a ticket came from'),
('ticket-contact-later', 'contact_point', 'put', 'norm,contact_id', 'new.norm IS NOT NULL',
 'UPDATE ticket SET contact_id = (SELECT s.contact_id FROM ticket_sender s WHERE s.ticket_id = ticket.id LIMIT 1) WHERE contact_id IS NULL AND reached_norm = (SELECT norm FROM new)
    AND (SELECT count(DISTINCT s.contact_id) FROM ticket_sender s WHERE s.ticket_id = ticket.id) = 1',
 'the same for tickets that were there before the contact');

-- By the time at which it was written, though it came later: never before the ticket, never after the server's own time.
INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('ticket-answered', 'ticket_event', 'insert', 'new.kind = ''reply'' AND new.internal = 0 AND new.by_user IS NOT NULL',
 'UPDATE ticket SET first_response_at = (SELECT CASE WHEN n.at < ticket.opened_at THEN ticket.opened_at WHEN n.at > e.at_ms THEN e.at_ms ELSE n.at END
      FROM new n CROSS JOIN event e)
    WHERE id = (SELECT ticket_id FROM new) AND (first_response_at IS NULL OR first_response_at > (SELECT CASE WHEN n.at < ticket.opened_at THEN ticket.opened_at
      WHEN n.at > e.at_ms THEN e.at_ms ELSE n.at END FROM new n CROSS JOIN event e))',
 1, 'the earliest answer of ours; an earlier one replaces a later one');

INSERT INTO automation(name, tbl, event, columns, condition, actions, overwrites, about) VALUES
('ticket-resolved', 'ticket', 'put', 'state,resolved_at', 'new.state IN (''resolved'', ''closed'')',
 'UPDATE ticket SET resolved_at = (SELECT stamp_ms FROM event) WHERE id = (SELECT id FROM new) AND resolved_at IS NULL;
  UPDATE ticket SET resolved_at = (SELECT at_ms FROM event) WHERE id = (SELECT id FROM new) AND resolved_at > (SELECT at_ms FROM event)',
 1, 'when it was resolved, if whoever did it has not said so; never after the server''s own time'),
('ticket-reopened', 'ticket', 'update', 'state', 'new.state IN (''open'', ''pending'') AND new.resolved_at IS NOT NULL',
 'UPDATE ticket SET resolved_at = NULL WHERE id = (SELECT id FROM new) AND resolved_at IS NOT NULL',
 1, 'what is open is not resolved');

INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('ticket-csat', 'feedback', 'insert', 'new.ticket_id IS NOT NULL AND new.kind = ''csat'' AND new.score IS NOT NULL',
 'UPDATE ticket SET csat = (SELECT score FROM new) WHERE id = (SELECT ticket_id FROM new) AND csat IS NULL',
 1, 'what the customer said of the ticket, the first time; csat was empty');

INSERT INTO automation(name, every, actions, overwrites, about) VALUES
('ticket-escalate', '1m',
 'INSERT INTO ticket_event(id, ticket_id, kind, body, at, by_user, internal)
    SELECT satchel_id(x.ticket_id, x.rule_id), x.ticket_id, ''escalated'', x.title, x.at, NULL, 1 FROM ticket_escalation x CROSS JOIN event e
      WHERE x.at <= e.at_ms ON CONFLICT(id) DO NOTHING;
  INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row)
    SELECT satchel_id(x.ticket_id, x.rule_id), x.title, x.at, (SELECT t.manager_id FROM team t
        WHERE t.id = coalesce(x.to_team, (SELECT u.team_id FROM user_account u WHERE u.id = x.assignee_id))), ''ticket'', x.ticket_id
      FROM ticket_escalation x CROSS JOIN event e WHERE x.at <= e.at_ms ON CONFLICT(id) DO NOTHING;
  UPDATE ticket SET level = (SELECT max(x.to_level) FROM ticket_escalation x WHERE x.ticket_id = ticket.id AND x.at <= (SELECT at_ms FROM event))
    WHERE id IN (SELECT x.ticket_id FROM ticket_escalation x WHERE x.at <= (SELECT at_ms FROM event))',
 1, 'who waits too long goes up, at the time when it was due; a level only rises');

INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('article-version', 'kb_article', 'update', 'title,body',
 'UPDATE kb_article SET version = version + 1 WHERE id = (SELECT id FROM new)',
 'each text of an article has a number');

INSERT INTO automation(name, tbl, event, condition, actions, about) VALUES
('article-copy', 'kb_article', 'insert', 'new.copy_of IS NOT NULL AND new.published = 1',
 'UPDATE kb_article SET published = 0 WHERE id = (SELECT id FROM new)',
 'of two texts of one article the one that stays is published, the other waits on the desk');
