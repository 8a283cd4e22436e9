-- Who may hold and change what: four profiles over the tables beside. server/scope.h tells what the columns mean, README.md what each profile gets.
--
-- The names of buckets:
--   all               what everybody needs and nobody minds: products, stores, the steps that a state may take
--   office            how the company is made up, which no till needs: teams, territories, people, pipelines
--   customers:USER    companies and people whom USER looks after, and what is known of them; the whole team holds these
--   territory:ID      companies of a territory, for those who work in it
--   work:USER         what is one person's own: leads, deals, tasks, tickets, what he asked to be given to another; for USER and the manager
--   queue             open tickets that nobody has yet
--   store:ID          members of a store, its staff, and what it sold lately; for its tills
--   enrolled:USER     members that a cashier enrolled and the office has given no store yet; for the tills of his store
--   cards             every loyalty card, and nothing that hangs on one: any till lets any card earn
--   desk              articles that are not published yet, for those who write them
--   server            what no device gets: the numbers that the server counts with

-- ---- the company ----

INSERT INTO scope_bucket(tbl, name) VALUES
  ('store', 'all'), ('product', 'all'), ('loyalty_program', 'all'), ('contact_status_move', 'all'), ('contact_lifecycle_move', 'all'),
  ('team', 'office'), ('territory', 'office'), ('user_account', 'office'), ('user_territory', 'office'),
  ('pipeline', 'office'), ('stage', 'office'), ('stage_move', 'office'), ('lead_status_move', 'office'), ('ticket_state_move', 'office');
INSERT INTO scope_bucket(tbl, name) VALUES
  ('custom_field_def', 'all'), ('currency_rate', 'all'), ('product_price', 'all'), ('erasure', 'all'),
  ('score_rule', 'office'), ('assign_rule', 'office'), ('sequence', 'office'), ('sequence_step', 'office'), ('task_template', 'office'),
  ('quote_status_move', 'office'), ('sla_policy', 'office'), ('escalation_rule', 'office'),
  ('counter', 'server'), ('suggestion_due', 'server');
-- A till knows its own cashiers alone.
INSERT INTO scope_bucket(tbl, name, value) VALUES('user_account', 'store', 'store_id');

-- ---- customers ----

-- What a device makes has no owner, because the office gives that (the rule `server`): until then it is its maker's.
INSERT INTO scope_bucket(tbl, name, value) VALUES
  ('account', 'customers', 'coalesce(owner_id, created_by)'),
  ('account', 'territory', 'territory_id');

-- Who works for a company goes where the company goes, whoever is noted as owner: so a company moves whole, by one change. A company that was deleted while
-- somebody met a new person there is put back.
INSERT INTO scope_parent(tbl, parent, columns, condition, missing) VALUES('contact', 'account', 'account_id', 'account_id IS NOT NULL', 'revive');
INSERT INTO scope_bucket(tbl, name, value, condition) VALUES('contact', 'customers', 'coalesce(owner_id, created_by)', 'account_id IS NULL');
INSERT INTO scope_bucket(tbl, name, value) VALUES('contact', 'store', 'home_store_id');
INSERT INTO scope_bucket(tbl, name, value, condition) VALUES('contact', 'enrolled', 'created_by', 'account_id IS NULL AND owner_id IS NULL AND home_store_id IS NULL');

INSERT INTO scope_parent(tbl, parent, columns) VALUES('contact_pref', 'contact', 'contact_id');
-- What somebody agreed to is evidence: it is taken in even when the contact is gone.
INSERT INTO scope_parent(tbl, parent, columns, missing) VALUES('consent_event', 'contact', 'contact_id', 'keep');
-- A till may call a member; an e-mail address that it writes down leaves it with the enrolment.
INSERT INTO scope_parent(tbl, parent, columns, condition, buckets) VALUES
  ('contact_point', 'contact', 'contact_id', 'kind = ''phone''', NULL),
  ('contact_point', 'contact', 'contact_id', 'kind <> ''phone''', 'customers,territory,enrolled'),
  ('contact_tag', 'contact', 'contact_id', NULL, 'customers,territory'),
  ('address', 'contact', 'owner_row', 'owner_kind = ''contact''', 'customers,territory'),
  ('address', 'account', 'owner_row', 'owner_kind = ''account''', NULL);
INSERT INTO scope_bucket(tbl, name, condition) VALUES('address', 'all', 'owner_kind = ''store''');

INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES
  ('custom_value', 'account', 'entity_row', 'entity = ''account''', 'keep', NULL),
  ('custom_value', 'contact', 'entity_row', 'entity = ''contact''', 'keep', 'customers,territory'),
  ('custom_value', 'lead', 'entity_row', 'entity = ''lead''', 'keep', NULL),
  ('custom_value', 'deal', 'entity_row', 'entity = ''deal''', 'keep', NULL),
  ('custom_value', 'ticket', 'entity_row', 'entity = ''ticket''', 'keep', 'work,queue'),
  ('custom_value', 'quote', 'entity_row', 'entity = ''quote''', 'keep', NULL),
  ('custom_value', 'product', 'entity_row', 'entity = ''product''', 'keep', NULL),
  ('custom_value', 'task', 'entity_row', 'entity = ''task''', 'keep', NULL),
  ('custom_value', 'appointment', 'entity_row', 'entity = ''appointment''', 'keep', NULL),
  ('custom_value', 'purchase', 'entity_row', 'entity = ''purchase''', 'keep', NULL),
  ('suggestion', 'contact', 'contact_id', NULL, 'keep', 'customers,territory'),
  ('referral', 'contact', 'referrer', NULL, 'keep', 'customers,territory,store,enrolled'),
  ('referral', 'contact', 'referee', NULL, 'keep', 'customers,territory,store,enrolled');

-- ---- what people do with them ----

-- Twelve months; older ones stay on the server. Evidence as well.
INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES
  ('interaction', 'contact', 'contact_id', 'contact_id IS NOT NULL AND at >= satchel_now() - 365 * 86400000', 'keep', 'customers,territory'),
  ('interaction', 'account', 'account_id', 'contact_id IS NULL AND account_id IS NOT NULL AND at >= satchel_now() - 365 * 86400000', 'keep', NULL),
  ('interaction', 'deal', 'deal_id', 'deal_id IS NOT NULL AND at >= satchel_now() - 365 * 86400000', 'keep', NULL),
  ('interaction', 'ticket', 'ticket_id', 'ticket_id IS NOT NULL AND at >= satchel_now() - 365 * 86400000', 'keep', 'work,queue');

INSERT INTO scope_parent(tbl, parent, columns, condition, buckets) VALUES
  ('note', 'account', 'parent_row', 'parent_kind = ''account''', NULL),
  ('note', 'contact', 'parent_row', 'parent_kind = ''contact''', 'customers,territory'),
  ('note', 'deal', 'parent_row', 'parent_kind = ''deal''', NULL),
  ('note', 'lead', 'parent_row', 'parent_kind = ''lead''', NULL),
  ('note', 'ticket', 'parent_row', 'parent_kind = ''ticket''', 'work,queue');

-- A task is its assignee's; one that nobody has is there for whoever has what it is about.
INSERT INTO scope_bucket(tbl, name, value) VALUES('task', 'work', 'assignee_id');
INSERT INTO scope_parent(tbl, parent, columns, condition, buckets) VALUES
  ('task', 'account', 'parent_row', 'assignee_id IS NULL AND parent_kind = ''account''', NULL),
  ('task', 'contact', 'parent_row', 'assignee_id IS NULL AND parent_kind = ''contact''', 'customers,territory'),
  ('task', 'deal', 'parent_row', 'assignee_id IS NULL AND parent_kind = ''deal''', NULL),
  ('task', 'lead', 'parent_row', 'assignee_id IS NULL AND parent_kind = ''lead''', NULL),
  ('task', 'ticket', 'parent_row', 'assignee_id IS NULL AND parent_kind = ''ticket''', 'work,queue');

-- ---- sales: one's own, though the customer is the team's ----

INSERT INTO scope_bucket(tbl, name, value) VALUES
  ('lead', 'work', 'coalesce(owner_id, created_by)'),
  ('deal', 'work', 'coalesce(owner_id, created_by)');
-- Of the company's buckets none, so that a deal is not the team's; but who takes a company along takes its deals. And a company with a new deal is alive.
INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES('deal', 'account', 'account_id', 'account_id IS NOT NULL', 'revive', '');
INSERT INTO scope_parent(tbl, parent, columns) VALUES('deal_contact', 'deal', 'deal_id');

-- What hangs on a lead or a deal is with it.
INSERT INTO scope_parent(tbl, parent, columns) VALUES
  ('score_reason', 'lead', 'lead_id'), ('lead_handoff', 'lead', 'lead_id'), ('sequence_enrolment', 'lead', 'lead_id'),
  ('quote', 'deal', 'deal_id'), ('quote_line', 'quote', 'quote_id');
INSERT INTO scope_parent(tbl, parent, columns, condition, missing) VALUES
  ('deal_stage_log', 'deal', 'deal_id', NULL, 'keep'),
  ('objection', 'lead', 'parent_row', 'parent_kind = ''lead''', 'keep'),
  ('objection', 'deal', 'parent_row', 'parent_kind = ''deal''', 'keep');
INSERT INTO scope_bucket(tbl, name, value) VALUES
  ('appointment', 'work', 'owner_id'), ('goal', 'work', 'owner_id'), ('forecast_snapshot', 'work', 'owner_id'), ('reassignment', 'work', 'by_user');
INSERT INTO scope_parent(tbl, parent, columns) VALUES('appointment_attendee', 'appointment', 'appointment_id');

-- ---- service ----

INSERT INTO scope_bucket(tbl, name, condition) VALUES('kb_article', 'office', 'published = 1'), ('kb_article', 'desk', 'published = 0');
-- What a customer thinks is for who looks after him, for who has the ticket, and for the store that sold it.
INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES
  ('feedback', 'contact', 'contact_id', 'contact_id IS NOT NULL', 'keep', 'customers,territory'),
  ('feedback', 'ticket', 'ticket_id', 'ticket_id IS NOT NULL', 'keep', 'work,queue'),
  ('feedback', 'purchase', 'purchase_id', 'purchase_id IS NOT NULL', 'keep', 'store');

INSERT INTO scope_bucket(tbl, name, value, condition) VALUES
  ('ticket', 'work', 'assignee_id', NULL),
  ('ticket', 'queue', NULL, 'assignee_id IS NULL AND state <> ''closed''');
-- Who looks after a customer sees that there is trouble, and not what was said about it.
INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES
  ('ticket', 'contact', 'contact_id', 'contact_id IS NOT NULL AND state <> ''closed''', 'keep', 'customers,territory');
INSERT INTO scope_parent(tbl, parent, columns, buckets) VALUES('ticket_event', 'ticket', 'ticket_id', 'work,queue');

-- ---- purchases and loyalty ----

-- A till gives back what its store sold in thirty days; who looks after a customer sees two years. A receipt stands, whatever became of the customer.
INSERT INTO scope_bucket(tbl, name, value, condition) VALUES('purchase', 'store', 'store_id', 'at >= satchel_now() - 30 * 86400000');
INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES
  ('purchase', 'contact', 'contact_id', 'contact_id IS NOT NULL AND at >= satchel_now() - 730 * 86400000', 'keep', 'customers,territory'),
  ('purchase', 'loyalty_card', 'card_id', 'contact_id IS NULL AND card_id IS NOT NULL AND at >= satchel_now() - 730 * 86400000', 'keep', 'customers,territory');
INSERT INTO scope_parent(tbl, parent, columns) VALUES('purchase_line', 'purchase', 'purchase_id');

-- Every till has every card, but the points of its own members only, and those that a receipt of the last thirty days gave.
INSERT INTO scope_bucket(tbl, name) VALUES('loyalty_card', 'cards');
INSERT INTO scope_parent(tbl, parent, columns, condition, missing) VALUES('loyalty_card', 'contact', 'contact_id', 'contact_id IS NOT NULL', 'keep');
INSERT INTO scope_parent(tbl, parent, columns, condition, missing, buckets) VALUES
  ('loyalty_entry', 'loyalty_card', 'card_id', NULL, 'park', 'customers,territory,store,enrolled'),
  ('loyalty_entry', 'purchase', 'purchase_id', 'purchase_id <> x''''', 'keep', 'store');

-- ---- the profiles: which buckets a device gets. A user who is not active any more gets none of a user's. ----

INSERT INTO scope_profile(name, buckets, horizon_days) VALUES
  ('rep',
   'SELECT ''all'', NULL UNION ALL SELECT ''office'', NULL
    UNION ALL SELECT ''work'', id FROM user_account WHERE id = :user AND active
    UNION ALL SELECT ''customers'', id FROM user_account WHERE id = :user AND active
    UNION ALL SELECT ''customers'', mate.id FROM user_account me JOIN user_account mate ON mate.team_id = me.team_id
      WHERE me.id = :user AND me.active AND mate.id <> me.id
    UNION ALL SELECT ''territory'', t.territory_id FROM user_territory t JOIN user_account me ON me.id = t.user_id
      WHERE me.id = :user AND me.active',
   30),
  ('till',
   'SELECT ''all'', NULL UNION ALL SELECT ''cards'', NULL UNION ALL SELECT ''store'', :store
    UNION ALL SELECT ''enrolled'', id FROM user_account WHERE store_id = :store',
   90),
  ('manager',
   'WITH crew(id) AS (SELECT id FROM user_account WHERE id = :user AND active
      UNION SELECT u.id FROM user_account u JOIN team t ON t.id = u.team_id JOIN user_account me ON me.id = t.manager_id
        WHERE me.id = :user AND me.active)
    SELECT ''all'', NULL UNION ALL SELECT ''office'', NULL UNION ALL SELECT ''desk'', NULL
    UNION ALL SELECT ''work'', id FROM crew UNION ALL SELECT ''customers'', id FROM crew
    UNION ALL SELECT DISTINCT ''territory'', territory_id FROM user_territory WHERE user_id IN crew',
   30),
  -- The customer behind a ticket is granted: satchelctl scope grant.
  ('agent',
   'SELECT ''all'', NULL UNION ALL SELECT ''office'', NULL UNION ALL SELECT ''desk'', NULL
    UNION ALL SELECT ''work'', id FROM user_account WHERE id = :user AND active
    UNION ALL SELECT ''queue'', NULL FROM user_account WHERE id = :user AND active',
   30);

-- ---- columns that a profile never gets ----

INSERT INTO scope_mask(profile, tbl, columns) VALUES
  ('till', 'contact', 'job_title,tenure_since,lifecycle'),
  ('till', 'consent_event', 'evidence'),
  ('till', 'user_account', 'email'),
  ('manager', 'consent_event', 'evidence'),
  ('agent', 'account', 'revenue_cents'),
  ('agent', 'deal', 'amount_cents,currency,probability,next_step');

-- ---- what a profile may write. Whatever happened is taken in wherever it was, as somebody saw it happen. ----

INSERT INTO scope_write(profile, tbl, ops, columns, anywhere) VALUES
  ('rep', 'account', 'insert,update', NULL, 0),
  ('rep', 'contact', 'insert,update,delete', NULL, 0),
  ('rep', 'contact_point', 'insert,update,delete', NULL, 0),
  ('rep', 'address', 'insert,update,delete', NULL, 0),
  ('rep', 'contact_pref', 'insert,update', NULL, 0),
  ('rep', 'contact_tag', 'insert,update,delete', NULL, 0),
  ('rep', 'consent_event', 'insert', NULL, 1),
  ('rep', 'interaction', 'insert', NULL, 1),
  ('rep', 'note', 'insert,update,delete', NULL, 0),
  ('rep', 'task', 'insert,update,delete', NULL, 0),
  ('rep', 'lead', 'insert,update', NULL, 0),
  ('rep', 'deal', 'insert,update', NULL, 0),
  ('rep', 'deal_contact', 'insert,update,delete', NULL, 0),
  ('rep', 'deal_stage_log', 'insert', NULL, 1),
  ('rep', 'quote', 'insert,update', NULL, 0),
  ('rep', 'quote_line', 'insert,update,delete', NULL, 0),
  ('rep', 'objection', 'insert', NULL, 1),
  ('rep', 'appointment', 'insert,update,delete', NULL, 0),
  ('rep', 'appointment_attendee', 'insert,update,delete', NULL, 0),
  ('rep', 'sequence_enrolment', 'insert,update', NULL, 0),
  ('rep', 'custom_value', 'insert,update,delete', NULL, 0),
  ('rep', 'feedback', 'insert', NULL, 1),
  ('rep', 'referral', 'insert', NULL, 1),

  -- A receipt that comes a month late is none that the till would get, and stands.
  ('till', 'purchase', 'insert', NULL, 1),
  ('till', 'purchase_line', 'insert', NULL, 1),
  ('till', 'loyalty_entry', 'insert', NULL, 1),
  ('till', 'loyalty_card', 'insert', NULL, 0),
  ('till', 'contact', 'insert', NULL, 0),
  ('till', 'contact', 'update', 'visit_count', 0),
  ('till', 'contact_point', 'insert', NULL, 0),
  ('till', 'contact_pref', 'insert,update', NULL, 0),
  ('till', 'consent_event', 'insert', NULL, 1),
  ('till', 'interaction', 'insert', NULL, 1),
  ('till', 'feedback', 'insert', NULL, 1),
  ('till', 'referral', 'insert', NULL, 1),

  ('manager', 'note', 'insert,update,delete', NULL, 0),
  ('manager', 'task', 'insert,update,delete', NULL, 0),
  ('manager', 'appointment', 'insert,update,delete', NULL, 0),
  ('manager', 'appointment_attendee', 'insert,update,delete', NULL, 0),
  ('manager', 'goal', 'insert,update,delete', NULL, 0),
  ('manager', 'reassignment', 'insert', NULL, 0),

  ('agent', 'ticket', 'insert', NULL, 0),
  ('agent', 'ticket', 'update', 'kind,priority,state,level,contact_id,subject,first_response_at,resolved_at', 0),
  ('agent', 'ticket_event', 'insert', NULL, 0),
  ('agent', 'interaction', 'insert', NULL, 1),
  ('agent', 'consent_event', 'insert', NULL, 1),
  ('agent', 'contact_point', 'insert,update', NULL, 0),
  ('agent', 'note', 'insert,update,delete', NULL, 0),
  ('agent', 'task', 'insert,update', NULL, 0),
  ('agent', 'appointment', 'insert,update,delete', NULL, 0),
  ('agent', 'custom_value', 'insert,update,delete', NULL, 0),
  ('agent', 'feedback', 'insert', NULL, 1),
  ('agent', 'kb_article', 'insert,update', NULL, 0);
