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

INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('first-purchase', 'purchase', 'insert', 'new.refund_of IS NULL AND new.total_cents >= 0',
 'UPDATE contact SET status = ''customer'' WHERE status IN (''prospect'', ''lead'', ''inactive'')
    AND id = (SELECT coalesce(n.contact_id, (SELECT c.contact_id FROM loyalty_card c WHERE c.id = n.card_id)) FROM new n)',
 1, 'who buys is a customer, whatever somebody thought before');

-- Events of one transaction come one after the other, so the first claim that the server took in counts.
INSERT INTO automation(name, tbl, event, actions, about) VALUES
('referral-first', 'referral', 'insert',
 'UPDATE referral SET state = CASE WHEN referrer = referee THEN ''self''
      WHEN EXISTS (SELECT 1 FROM referral o WHERE o.referee = referral.referee AND o.state = ''counts'') THEN ''late'' ELSE ''counts'' END
    WHERE id = (SELECT id FROM new) AND state IS NULL',
 'of several who say that they brought somebody one counts');

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
 'another rule, other points for every lead');

INSERT INTO automation(name, tbl, event, columns, condition, actions, about) VALUES
('lead-assign', 'lead', 'put', 'score,owner_id,job_title,region_code',
 'new.owner_id IS NULL AND new.score IS NOT NULL AND new.status IN (''new'', ''working'', ''nurturing'', ''qualified'')',
 'UPDATE lead SET owner_id = (SELECT c.user_id FROM lead_candidate c WHERE c.lead_id = lead.id ORDER BY c.prio, c.load, c.user_id LIMIT 1)
    WHERE id = (SELECT id FROM new) AND owner_id IS NULL AND EXISTS (SELECT 1 FROM lead_candidate c WHERE c.lead_id = lead.id)',
 'a lead goes to whom its job title and region say (assign_rule)'),
('lead-task', 'lead', 'update', 'owner_id',
 'new.owner_id IS NOT NULL AND new.status IN (''new'', ''working'', ''qualified'')',
 'INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(n.id, n.owner_id, t.id), t.title, e.stamp_ms + t.due_days * 86400000, n.owner_id, ''lead'', n.id, t.id
      FROM new n CROSS JOIN event e CROSS JOIN task_template t WHERE t.cause = ''assigned'' AND t.active = 1
    ON CONFLICT(id) DO NOTHING',
 'who is given a lead gets a task');

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

INSERT INTO automation(name, every, actions, about) VALUES
('nurture-step', '15m',
 'INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row)
    SELECT satchel_id(n.id, s.id), s.title, n.started_at + s.after_days * 86400000, l.owner_id, ''lead'', l.id
      FROM sequence_enrolment n JOIN sequence_step s ON s.sequence_id = n.sequence_id JOIN lead l ON l.id = n.lead_id CROSS JOIN event e
      WHERE n.ended_at IS NULL AND s.pos > n.step_pos AND n.started_at + s.after_days * 86400000 <= e.at_ms
    ON CONFLICT(id) DO NOTHING;
  UPDATE sequence_enrolment SET step_pos = (SELECT max(s.pos) FROM sequence_step s
      WHERE s.sequence_id = sequence_enrolment.sequence_id AND sequence_enrolment.started_at + s.after_days * 86400000 <= (SELECT at_ms FROM event))
    WHERE ended_at IS NULL AND EXISTS (SELECT 1 FROM sequence_step s WHERE s.sequence_id = sequence_enrolment.sequence_id
      AND s.pos > sequence_enrolment.step_pos AND sequence_enrolment.started_at + s.after_days * 86400000 <= (SELECT at_ms FROM event))',
 'a step that is due becomes a task of the lead''s owner');

-- ---- deals ----

INSERT INTO automation(name, tbl, event, actions, about) VALUES
('stage-first', 'deal', 'insert',
 'INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(n.id, n.stage_id, n.id), n.id, NULL, n.stage_id, coalesce(n.created_at, e.stamp_ms), n.created_by, NULL FROM new n CROSS JOIN event e
      WHERE NOT EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = n.id) ON CONFLICT(id) DO NOTHING',
 'the stage in which a deal began');

-- What moved the deal may have logged it already (stage-by-interaction, stage-by-quote, a device): then arrivals less departures are 1.
INSERT INTO automation(name, tbl, event, columns, condition, actions, about) VALUES
('stage-log', 'deal', 'update', 'stage_id', 'new.stage_id <> old.stage_id',
 'INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(n.id, o.stage_id, n.id), n.id, NULL, o.stage_id, coalesce(n.created_at, e.stamp_ms), n.created_by, NULL
      FROM new n CROSS JOIN old o CROSS JOIN event e WHERE NOT EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = n.id) ON CONFLICT(id) DO NOTHING;
  INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(n.id, n.stage_id, e.stamp_ms), n.id, o.stage_id, n.stage_id, e.stamp_ms, e.user, NULL FROM new n CROSS JOIN old o CROSS JOIN event e
      WHERE (SELECT count(*) FROM deal_stage_log l WHERE l.deal_id = n.id AND l.to_stage = n.stage_id)
          - (SELECT count(*) FROM deal_stage_log l WHERE l.deal_id = n.id AND l.from_stage = n.stage_id) < 1 ON CONFLICT(id) DO NOTHING',
 'each move of a deal, at the time when it was made');

INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('stage-by-interaction', 'interaction', 'insert', 'new.kind IS NOT NULL AND new.deal_id IS NOT NULL',
 'INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(d.id, d.stage_id, d.id), d.id, NULL, d.stage_id, coalesce(d.created_at, n.at), d.created_by, NULL
      FROM new n JOIN deal d ON d.id = n.deal_id WHERE NOT EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = d.id)
        AND EXISTS (SELECT 1 FROM stage_move m WHERE m.from_stage = d.stage_id AND m.on_event = n.kind) ON CONFLICT(id) DO NOTHING;
  INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(d.id, m.to_stage, n.id), d.id, d.stage_id, m.to_stage, n.at, n.by_user, n.id
      FROM new n JOIN deal d ON d.id = n.deal_id JOIN stage_move m ON m.from_stage = d.stage_id AND m.on_event = n.kind
      WHERE m.to_stage = (SELECT b.to_stage FROM stage_move b WHERE b.from_stage = m.from_stage AND b.on_event = m.on_event ORDER BY b.to_stage LIMIT 1) ON CONFLICT(id) DO NOTHING;
  UPDATE deal SET stage_id = (SELECT m.to_stage FROM stage_move m WHERE m.from_stage = deal.stage_id AND m.on_event = (SELECT kind FROM new) ORDER BY m.to_stage LIMIT 1)
    WHERE id = (SELECT deal_id FROM new) AND EXISTS (SELECT 1 FROM stage_move m WHERE m.from_stage = deal.stage_id AND m.on_event = (SELECT kind FROM new))',
 1, 'an interaction of a kind that stage_move names (demo_booked) moves its deal; the stage that a person chose before is what it starts from');

INSERT INTO automation(name, tbl, event, columns, condition, actions, overwrites, about) VALUES
('stage-by-quote', 'quote', 'update', 'status', 'new.status = ''accepted''',
 'INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(d.id, d.stage_id, d.id), d.id, NULL, d.stage_id, coalesce(d.created_at, e.stamp_ms), d.created_by, NULL
      FROM new n JOIN deal d ON d.id = n.deal_id CROSS JOIN event e WHERE NOT EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = d.id)
        AND EXISTS (SELECT 1 FROM stage_move m WHERE m.from_stage = d.stage_id AND m.on_event = ''quote_accepted'') ON CONFLICT(id) DO NOTHING;
  INSERT INTO deal_stage_log(id, deal_id, from_stage, to_stage, at, by_user, cause)
    SELECT satchel_id(d.id, m.to_stage, n.id), d.id, d.stage_id, m.to_stage, e.stamp_ms, e.user, n.id
      FROM new n JOIN deal d ON d.id = n.deal_id JOIN stage_move m ON m.from_stage = d.stage_id AND m.on_event = ''quote_accepted'' CROSS JOIN event e
      WHERE m.to_stage = (SELECT b.to_stage FROM stage_move b WHERE b.from_stage = m.from_stage AND b.on_event = m.on_event ORDER BY b.to_stage LIMIT 1) ON CONFLICT(id) DO NOTHING;
  UPDATE deal SET stage_id = (SELECT m.to_stage FROM stage_move m WHERE m.from_stage = deal.stage_id AND m.on_event = ''quote_accepted'' ORDER BY m.to_stage LIMIT 1)
    WHERE id = (SELECT deal_id FROM new) AND EXISTS (SELECT 1 FROM stage_move m WHERE m.from_stage = deal.stage_id AND m.on_event = ''quote_accepted'')',
 1, 'an accepted quote moves its deal, as stage_move says');

-- A deal that comes in with a day to begin that is long past is history, and nothing is to be done for it.
INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('stage-tasks', 'deal', 'put', 'stage_id',
 'INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)
    SELECT satchel_id(n.id, t.id), t.title, e.stamp_ms + t.due_days * 86400000, coalesce(n.owner_id, n.created_by), ''deal'', n.id, t.id
      FROM new n CROSS JOIN event e JOIN task_template t ON t.stage_id = n.stage_id AND t.cause = ''stage'' AND t.active = 1
      WHERE n.created_at IS NULL OR n.created_at > e.stamp_ms - 7 * 86400000 OR EXISTS (SELECT 1 FROM deal_stage_log l WHERE l.deal_id = n.id AND l.from_stage IS NOT NULL)
    ON CONFLICT(id) DO NOTHING',
 'who enters a stage gets its tasks, once for a deal and a template');

INSERT INTO automation(name, tbl, event, columns, actions, about) VALUES
('deal-priority', 'deal', 'put', 'amount_cents,currency,probability,stage_id,account_id',
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE id = (SELECT id FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the sum of the reasons in deal_priority_reason'),
('deal-priority-people', 'deal_contact', 'put', NULL,
 'UPDATE deal SET priority = (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)
    WHERE id = (SELECT deal_id FROM new) AND priority IS DISTINCT FROM (SELECT p.priority FROM deal_priority p WHERE p.deal_id = deal.id)',
 'the same when somebody takes part');

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
('cross-sell', '1d 03:00',
 'INSERT INTO suggestion(contact_id, product_id, because_id, buyers, at)
    SELECT y.contact_id, y.product_id, y.because_id, y.buyers, e.at_ms
      FROM (SELECT x.contact_id AS contact_id, x.product_id AS product_id, x.because_id AS because_id, x.buyers AS buyers,
                   row_number() OVER (PARTITION BY x.contact_id ORDER BY x.buyers DESC, x.product_id) AS place
              FROM (SELECT c.contact_id AS contact_id, c.product_id AS product_id, c.because_id AS because_id, c.buyers AS buyers,
                           row_number() OVER (PARTITION BY c.contact_id, c.product_id ORDER BY c.buyers DESC, c.because_id) AS best FROM cross_sell c
                     WHERE c.contact_id IN (SELECT p.contact_id FROM purchase p CROSS JOIN event v WHERE p.at > v.at_ms - 86400000)) x
              WHERE x.best = 1) y CROSS JOIN event e
      WHERE y.place <= 3
    ON CONFLICT(contact_id, product_id) DO UPDATE SET because_id = excluded.because_id, buyers = excluded.buyers, at = excluded.at',
 'three products for everybody who bought something in the last day');

INSERT INTO automation(name, tbl, event, actions, about) VALUES
('cross-sell-done', 'purchase_line', 'insert',
 'DELETE FROM suggestion WHERE product_id = (SELECT product_id FROM new)
    AND contact_id = (SELECT p.contact_id FROM purchase p WHERE p.id = (SELECT purchase_id FROM new))',
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
      AND appointment.starts_at < o.ends_at AND (o.tentative = 0 OR o.id < appointment.id))',
 'of two that overlap the one that came later is tentative'),
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

-- By the time at which it was written, though it came later: never before the ticket, never after the server's own time.
INSERT INTO automation(name, tbl, event, condition, actions, overwrites, about) VALUES
('ticket-answered', 'ticket_event', 'insert', 'new.kind = ''reply'' AND new.internal = 0 AND new.by_user IS NOT NULL',
 'UPDATE ticket SET first_response_at = (SELECT CASE WHEN n.at < ticket.opened_at THEN ticket.opened_at WHEN n.at > e.at_ms THEN e.at_ms ELSE n.at END
      FROM new n CROSS JOIN event e)
    WHERE id = (SELECT ticket_id FROM new) AND (first_response_at IS NULL OR first_response_at > (SELECT CASE WHEN n.at < ticket.opened_at THEN ticket.opened_at
      WHEN n.at > e.at_ms THEN e.at_ms ELSE n.at END FROM new n CROSS JOIN event e))',
 1, 'the earliest answer of ours; an earlier one replaces a later one');

INSERT INTO automation(name, tbl, event, columns, condition, actions, overwrites, about) VALUES
('ticket-resolved', 'ticket', 'put', 'state', 'new.state IN (''resolved'', ''closed'') AND new.resolved_at IS NULL',
 'UPDATE ticket SET resolved_at = (SELECT stamp_ms FROM event) WHERE id = (SELECT id FROM new) AND resolved_at IS NULL',
 1, 'when it was resolved, if whoever did it has not said so'),
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
