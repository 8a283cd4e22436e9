-- What somebody who leads a team asks to be given to another of her people. Whose something is only the server writes: the rule `reassign` does it, or says why not.

CREATE TABLE reassignment(
  id BLOB PRIMARY KEY,
  entity TEXT NOT NULL CHECK(entity IN ('account', 'contact', 'lead', 'deal', 'ticket')),
  entity_row BLOB NOT NULL,  -- no REFERENCES, here and below: what was asked stays, whatever became of it
  from_user BLOB NOT NULL,   -- whose it was for her who asks: what somebody else has by then stays his
  to_user BLOB NOT NULL,
  why TEXT,
  by_user BLOB NOT NULL,     -- whose device it comes from; in another's name nothing is given
  at INTEGER NOT NULL,
  state TEXT CHECK(state IS NULL OR state IN ('done', 'refused')),
  words TEXT                 -- why it was refused
);
CREATE INDEX reassignment_by ON reassignment(by_user, at);
INSERT INTO satchel_table(name) VALUES('reassignment');
INSERT INTO satchel_rule(tbl, col, rule) VALUES
  ('reassignment', 'entity', 'first'),
  ('reassignment', 'entity_row', 'first'),
  ('reassignment', 'from_user', 'first'),
  ('reassignment', 'to_user', 'first'),
  ('reassignment', 'why', 'first'),
  ('reassignment', 'by_user', 'first'),
  ('reassignment', 'at', 'first'),
  ('reassignment', 'state', 'server'),
  ('reassignment', 'words', 'server');
INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES
  ('reassignment', 'why IS NULL OR NOT EXISTS(SELECT 1 FROM erasure e WHERE e.contact_id = entity_row)', 'ERASED_REASSIGNMENT', 'this person''s data were erased');

-- Whose it is, as scope.sql has it: until the office gives it to somebody it is its maker's, and who works for a company is with the company. And why what is asked cannot be;
-- NULL: it can. The same on the device, so that who asks may be told at once.
CREATE VIEW reassignment_answer AS
  SELECT x.id AS reassignment_id, x.holder_id AS holder_id,
         CASE WHEN NOT EXISTS (SELECT 1 FROM team t JOIN user_account m ON m.id = t.manager_id WHERE m.id = x.by_user AND m.active = 1)
                THEN 'only who leads a team gives what is another''s to somebody: ask the office'
              WHEN NOT EXISTS (SELECT 1 FROM user_account h LEFT JOIN team t ON t.id = h.team_id WHERE h.id = x.holder_id AND (h.id = x.by_user OR t.manager_id = x.by_user))
                THEN 'it is nobody''s of your teams: ask the office'
              WHEN x.entity = 'contact' AND EXISTS (SELECT 1 FROM contact c WHERE c.id = x.entity_row AND c.account_id IS NOT NULL)
                THEN 'who works for a company goes with it: give the company'
              WHEN NOT EXISTS (SELECT 1 FROM user_account u JOIN team t ON t.id = u.team_id WHERE u.id = x.to_user AND u.active = 1 AND t.manager_id = x.by_user
                     AND u.role = CASE x.entity WHEN 'ticket' THEN 'agent' ELSE 'rep' END)
                THEN CASE x.entity WHEN 'ticket' THEN 'who is to get it is no agent of your teams' ELSE 'who is to get it is no rep of your teams' END
              WHEN x.holder_id NOT IN (x.from_user, x.to_user) THEN (SELECT h.name FROM user_account h WHERE h.id = x.holder_id) || ' has it by now: ask again if it is to go on'
         END AS refusal
    FROM (SELECT r.id AS id, r.entity AS entity, r.entity_row AS entity_row, r.from_user AS from_user, r.to_user AS to_user, r.by_user AS by_user,
                 CASE r.entity WHEN 'account' THEN (SELECT coalesce(a.owner_id, a.created_by) FROM account a WHERE a.id = r.entity_row)
                   WHEN 'contact' THEN (SELECT CASE WHEN c.account_id IS NULL THEN coalesce(c.owner_id, c.created_by) ELSE coalesce(a.owner_id, a.created_by) END
                      FROM contact c LEFT JOIN account a ON a.id = c.account_id WHERE c.id = r.entity_row)
                   WHEN 'lead' THEN (SELECT coalesce(l.owner_id, l.created_by) FROM lead l WHERE l.id = r.entity_row)
                   WHEN 'deal' THEN (SELECT coalesce(d.owner_id, d.created_by) FROM deal d WHERE d.id = r.entity_row)
                   WHEN 'ticket' THEN (SELECT t.assignee_id FROM ticket t WHERE t.id = r.entity_row) END AS holder_id FROM reassignment r) x;
