-- What is known and how things stand, as views: the same on the server and on a device, over the rows that it holds. A reader sorts; times are ms, money is
-- cents of the reports' currency (currency_rate) unless a column `currency` stands beside it, rates are in hundredths of a percent.
-- What a view gives is whole numbers, so that both sides and an independent sum agree to the cent.

-- ---- one contact ----

-- Everything that is known of a contact as events; ORDER BY at, kind, row_id.
CREATE VIEW contact_360 AS
  SELECT i.contact_id AS contact_id, i.at AS at, 'interaction' AS kind, i.id AS row_id, i.channel AS what, i.subject AS words,
         CAST(NULL AS INTEGER) AS cents, CAST(NULL AS TEXT) AS currency, i.by_user AS by_user
    FROM interaction i WHERE i.contact_id IS NOT NULL
  UNION ALL SELECT n.parent_row, n.at, 'note', n.id, NULL, n.body, NULL, NULL, n.by_user FROM note n WHERE n.parent_kind = 'contact'
  UNION ALL SELECT p.contact_id, p.at, 'purchase', p.id, p.channel, p.receipt_no, p.total_cents, p.currency, NULL
    FROM purchase p WHERE p.contact_id IS NOT NULL
  UNION ALL SELECT c.contact_id, p.at, 'purchase', p.id, p.channel, p.receipt_no, p.total_cents, p.currency, NULL
    FROM loyalty_card c JOIN purchase p ON p.card_id = c.id -- an expression, lest purchases that are nobody's are searched first
    WHERE CASE WHEN p.contact_id IS NULL THEN 1 ELSE 0 END = 1 AND c.contact_id IS NOT NULL
  UNION ALL SELECT t.contact_id, t.opened_at, 'ticket', t.id, t.kind, t.subject, NULL, NULL, t.assignee_id FROM ticket t WHERE t.contact_id IS NOT NULL
  UNION ALL SELECT t.contact_id, e.at, 'ticket_event', e.id, e.kind, e.body, NULL, NULL, e.by_user
    FROM ticket t JOIN ticket_event e ON e.ticket_id = t.id WHERE t.contact_id IS NOT NULL
  UNION ALL SELECT c.contact_id, e.at, 'points', e.id, e.kind, CAST(e.points AS TEXT), NULL, NULL, e.by_user
    FROM loyalty_card c JOIN loyalty_entry e ON e.card_id = c.id WHERE c.contact_id IS NOT NULL
  UNION ALL SELECT s.contact_id, s.at, 'consent', s.id, s.channel, CASE s.granted WHEN 1 THEN 'granted: ' ELSE 'withdrawn: ' END || s.purpose, NULL, NULL, s.by_user
    FROM consent_event s
  UNION ALL SELECT dc.contact_id, d.created_at, 'deal', d.id, dc.role, d.name, d.amount_cents, d.currency, d.owner_id
    FROM deal_contact dc JOIN deal d ON d.id = dc.deal_id
  UNION ALL SELECT dc.contact_id, l.at, 'stage', l.id, s.name, d.name, NULL, NULL, l.by_user
    FROM deal_contact dc JOIN deal d ON d.id = dc.deal_id JOIN deal_stage_log l ON l.deal_id = d.id JOIN stage s ON s.id = l.to_stage
    WHERE l.from_stage IS NOT NULL
  UNION ALL SELECT dc.contact_id, q.created_at, 'quote', q.id, q.status, coalesce(q.number, q.provisional),
         (SELECT CAST(sum(x.qty * x.unit_cents) AS BIGINT) FROM quote_line x WHERE x.quote_id = q.id), q.currency, q.created_by
    FROM deal_contact dc JOIN quote q ON q.deal_id = dc.deal_id
  UNION ALL SELECT aa.contact_id, a.starts_at, 'appointment', a.id, CASE WHEN a.cancelled = 1 THEN 'cancelled' WHEN a.tentative = 1 THEN 'tentative' END,
         a.title, NULL, NULL, a.owner_id
    FROM appointment_attendee aa JOIN appointment a ON a.id = aa.appointment_id
  UNION ALL SELECT f.contact_id, f.at, 'feedback', f.id, f.kind, coalesce(CAST(f.score AS TEXT) || ' ', '') || coalesce(f.body, ''), NULL, NULL, f.by_user
    FROM feedback f WHERE f.contact_id IS NOT NULL
  UNION ALL SELECT r.referrer, r.at, 'referral', r.id, r.state, 'brought a customer', NULL, NULL, r.by_user FROM referral r
  UNION ALL SELECT r.referee, r.at, 'referral', r.id, r.state, 'was brought by a customer', NULL, NULL, r.by_user FROM referral r
  UNION ALL SELECT t.parent_row, coalesce(t.done_at, t.due_at), 'task', t.id, CASE WHEN t.done_at IS NULL THEN 'open' ELSE 'done' END, t.title, NULL, NULL,
         t.assignee_id FROM task t WHERE t.parent_kind = 'contact';

-- contact_point.norm, by which points are found and compared: e-mail and social names in lower case without blanks around; phones as + and digits as far as
-- the number says its country, else the digits as they are.
CREATE VIEW contact_point_form AS
  SELECT x.point_id AS point_id, CASE WHEN x.kind <> 'phone' THEN x.text WHEN x.digits LIKE '00%' THEN '+' || substr(x.digits, 3) ELSE x.digits END AS norm
    FROM (SELECT p.id AS point_id, p.kind AS kind, lower(trim(p.value)) AS text,
                 replace(replace(replace(replace(replace(replace(replace(p.value, '(0)', ''), ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', '') AS digits
            FROM contact_point p) x;

-- address.norm: case, accents, points and the ways to write a street do not matter.
CREATE VIEW address_form AS
  SELECT x.address_id AS address_id, x.zip || '|' || trim(replace(replace(x.city, '  ', ' '), '  ', ' ')) || '|' ||
         trim(replace(replace(replace(replace(x.street, 'strasse', 'str'), 'street', 'st'), '  ', ' '), '  ', ' ')) || '|' || x.country AS norm
    FROM (SELECT a.id AS address_id, replace(replace(fold(coalesce(a.zip, '')), ' ', ''), '-', '') AS zip,
                 replace(replace(replace(fold(coalesce(a.city, '')), '.', ''), ',', ' '), '-', ' ') AS city,
                 replace(replace(replace(fold(coalesce(a.street, '')), '.', ''), ',', ' '), '-', ' ') AS street,
                 trim(fold(coalesce(a.country, ''))) AS country FROM address a) x;

-- What somebody is looked for by, folded: names, companies, e-mail addresses and social names, and phones as digits, to be compared by their end.
CREATE VIEW search_text AS
  SELECT 'contact' AS kind, c.id AS row_id, 'name' AS what, fold(trim(coalesce(c.given, '') || ' ' || coalesce(c.family, ''))) AS text
    FROM contact c WHERE c.merged_into IS NULL AND c.erased = 0
  UNION ALL SELECT 'contact', c.id, 'company', fold(a.name) FROM contact c JOIN account a ON a.id = c.account_id WHERE c.merged_into IS NULL AND c.erased = 0
  UNION ALL SELECT 'contact', c.id, p.kind, CASE p.kind WHEN 'phone' THEN p.norm ELSE fold(p.norm) END
    FROM contact c JOIN contact_point p ON p.contact_id = c.id WHERE c.merged_into IS NULL AND c.erased = 0 AND p.norm IS NOT NULL
  UNION ALL SELECT 'company', a.id, 'name', fold(a.name) FROM account a
  UNION ALL SELECT 'company', a.id, 'website', fold(a.website) FROM account a WHERE a.website IS NOT NULL
  UNION ALL SELECT 'lead', l.id, 'name', fold(trim(coalesce(l.given, '') || ' ' || coalesce(l.family, ''))) FROM lead l
  UNION ALL SELECT 'lead', l.id, 'company', fold(l.company) FROM lead l WHERE l.company IS NOT NULL
  UNION ALL SELECT 'lead', l.id, 'email', fold(l.email) FROM lead l WHERE l.email IS NOT NULL
  UNION ALL SELECT 'lead', l.id, 'phone', replace(replace(replace(replace(replace(replace(l.phone, '(0)', ''), ' ', ''), '-', ''), '/', ''), '(', ''), ')', '')
    FROM lead l WHERE l.phone IS NOT NULL;

-- ---- companies and people ----

-- Companies by their yearly revenue, from so many cents on; NULL: nobody knows it.
CREATE VIEW accounts_by_revenue AS
  SELECT x.from_cents AS from_cents, count(*) AS accounts, CAST(coalesce(sum(x.employees), 0) AS BIGINT) AS employees, CAST(sum(x.contacts) AS BIGINT) AS contacts,
         CAST(sum(x.revenue_cents) AS BIGINT) AS revenue_cents
    FROM (SELECT CASE WHEN a.revenue_cents >= 5000000000 THEN 5000000000 WHEN a.revenue_cents >= 1000000000 THEN 1000000000
                   WHEN a.revenue_cents >= 100000000 THEN 100000000 WHEN a.revenue_cents IS NOT NULL THEN 0 END AS from_cents,
                 a.employees AS employees, a.revenue_cents AS revenue_cents, (SELECT count(*) FROM contact c WHERE c.account_id = a.id) AS contacts FROM account a) x
    GROUP BY x.from_cents;

-- How old people are, by the year of their birth alone: what is left out is the birthday.
CREATE VIEW contact_age AS
  SELECT c.id AS contact_id, c.region_code AS region_code, CAST(substr(month_of(satchel_now()), 1, 4) AS BIGINT) - c.birth_year AS age
    FROM contact c WHERE c.birth_year IS NOT NULL AND c.erased = 0;

-- What is known of the company's own fields; a value whose definition is not here has no name.
CREATE VIEW custom_fields AS
  SELECT v.entity AS entity, v.entity_row AS entity_row, v.field_id AS field_id, d.name AS name, d.type AS type, d.pos AS pos, v.value AS value
    FROM custom_value v LEFT JOIN custom_field_def d ON d.id = v.field_id;

-- Which row has not been given a field that it must have. What stands in a field is checked when it is written; that somebody has yet to write it, here.
CREATE VIEW custom_missing AS
  SELECT x.entity AS entity, x.entity_row AS entity_row, d.id AS field_id, d.name AS name
    FROM (SELECT 'account' AS entity, a.id AS entity_row FROM account a UNION ALL SELECT 'contact', c.id FROM contact c WHERE c.merged_into IS NULL AND c.erased = 0
          UNION ALL SELECT 'lead', l.id FROM lead l UNION ALL SELECT 'deal', o.id FROM deal o UNION ALL SELECT 'ticket', t.id FROM ticket t
          UNION ALL SELECT 'quote', q.id FROM quote q UNION ALL SELECT 'product', p.id FROM product p WHERE p.active = 1 UNION ALL SELECT 'task', k.id FROM task k
          UNION ALL SELECT 'appointment', b.id FROM appointment b UNION ALL SELECT 'purchase', s.id FROM purchase s) x
    JOIN custom_field_def d ON d.entity = x.entity AND d.required = 1 AND d.active = 1
    WHERE NOT EXISTS (SELECT 1 FROM custom_value v WHERE v.entity_row = x.entity_row AND v.field_id = d.id AND v.value IS NOT NULL);

-- What was sold at a price that was not in force any more when it was sold, as a till knew no other, or under a number that no price had.
CREATE VIEW old_price_sales AS
  SELECT x.line_id AS line_id, x.purchase_id AS purchase_id, x.store_id AS store_id, x.product_id AS product_id, x.at AS at, x.qty AS qty, x.unit_cents AS unit_cents,
         x.price_version AS price_version, r.version AS version_in_force, r.price_cents AS cents_in_force
    FROM (SELECT l.id AS line_id, l.purchase_id AS purchase_id, p.store_id AS store_id, l.product_id AS product_id, p.at AS at, l.qty AS qty,
                 l.unit_cents AS unit_cents, l.price_version AS price_version,
                 (SELECT max(o.version) FROM product_price o WHERE o.product_id = l.product_id AND o.since <= p.at) AS version
            FROM purchase_line l JOIN purchase p ON p.id = l.purchase_id WHERE l.qty > 0) x
    JOIN product_price r ON r.product_id = x.product_id AND r.version = x.version
    WHERE x.price_version < x.version
      OR (x.price_version IS NOT NULL AND NOT EXISTS (SELECT 1 FROM product_price o WHERE o.product_id = x.product_id AND o.version = x.price_version));

-- ---- deals ----

-- A deal with its value in the reports' currency, rounded half up; the rate is the one that began last. Until the office gives it an owner it is its maker's.
CREATE VIEW deal_value AS
  SELECT v.*, (v.base_cents * v.chance + 50) / 100 AS weighted_cents
    FROM (SELECT d.id AS deal_id, d.name AS name, d.account_id AS account_id, coalesce(d.owner_id, d.created_by) AS owner_id, d.stage_id AS stage_id, s.name AS stage,
                 s.pipeline_id AS pipeline_id, s.pos AS pos, s.kind AS kind, d.close_date AS close_date, d.created_at AS created_at,
                 coalesce(d.probability, s.probability) AS chance,
                 coalesce((d.amount_cents * CASE WHEN d.currency IS NULL THEN 1000000 ELSE
                   (SELECT r.micro FROM currency_rate r WHERE r.currency = d.currency AND r.since <= satchel_now() ORDER BY r.since DESC LIMIT 1) END + 500000) / 1000000, 0) AS base_cents
            FROM deal d JOIN stage s ON s.id = d.stage_id) v;

-- What a deal lacks for a move to another stage of its pipeline: what those before that one want filled (stage.exit_fields, a JSON list of columns).
CREATE VIEW deal_missing AS
  SELECT d.id AS deal_id, t.id AS to_stage, f.name AS field, s.id AS stage_id
    FROM deal d JOIN stage c ON c.id = d.stage_id JOIN stage t ON t.pipeline_id = c.pipeline_id AND t.kind <> 'lost'
    JOIN stage s ON s.pipeline_id = t.pipeline_id AND s.pos < t.pos AND s.kind = 'open'
    JOIN (SELECT 'account_id' AS name UNION ALL SELECT 'amount_cents' UNION ALL SELECT 'currency' UNION ALL SELECT 'probability'
          UNION ALL SELECT 'close_date' UNION ALL SELECT 'next_step') f ON s.exit_fields LIKE '%"' || f.name || '"%'
    WHERE CASE f.name WHEN 'account_id' THEN d.account_id IS NULL WHEN 'amount_cents' THEN d.amount_cents IS NULL WHEN 'currency' THEN d.currency IS NULL
            WHEN 'probability' THEN d.probability IS NULL WHEN 'close_date' THEN d.close_date IS NULL WHEN 'next_step' THEN length(coalesce(d.next_step, '')) = 0 END;

-- Where an event takes a deal from where it is, and the row of the log by which that is told; on a device the same as on the server, so that both may do it.
CREATE VIEW deal_event_move AS
  SELECT x.deal_id AS deal_id, x.on_event AS on_event, x.from_stage AS from_stage, x.to_stage AS to_stage, x.step AS step, satchel_id(x.deal_id, x.step) AS log_id
    FROM (SELECT d.id AS deal_id, m.on_event AS on_event, d.stage_id AS from_stage, m.to_stage AS to_stage,
                 (SELECT coalesce(max(l.step), 0) + 1 FROM deal_stage_log l WHERE l.deal_id = d.id) AS step
            FROM deal d JOIN stage_move m ON m.from_stage = d.stage_id
            WHERE m.on_event IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deal_missing f WHERE f.deal_id = d.id AND f.to_stage = m.to_stage)
              AND NOT EXISTS (SELECT 1 FROM stage_move o WHERE o.from_stage = m.from_stage AND o.on_event = m.on_event AND o.to_stage < m.to_stage)) x;

-- What is to be done for a deal in the stage where it is, with the key of the task that is made of it.
CREATE VIEW deal_stage_task AS
  SELECT satchel_id(d.id, t.id) AS task_id, d.id AS deal_id, t.id AS template_id, t.title AS title, t.due_days AS due_days,
         coalesce(d.owner_id, d.created_by) AS assignee_id
    FROM deal d JOIN task_template t ON t.stage_id = d.stage_id AND t.cause = 'stage' AND t.active = 1;

-- Deals whose money is not in any report, as their currency has no rate.
CREATE VIEW deal_without_rate AS
  SELECT d.id AS deal_id, d.currency AS currency, d.amount_cents AS amount_cents FROM deal d
    WHERE d.amount_cents IS NOT NULL AND d.currency IS NOT NULL AND NOT EXISTS (SELECT 1 FROM currency_rate r WHERE r.currency = d.currency AND r.since <= satchel_now());

CREATE VIEW pipeline_by_stage AS
  SELECT p.id AS pipeline_id, p.name AS pipeline, s.id AS stage_id, s.name AS stage, s.pos AS pos, s.kind AS kind, count(v.deal_id) AS deals,
         CAST(coalesce(sum(v.base_cents), 0) AS BIGINT) AS cents, CAST(coalesce(sum(v.weighted_cents), 0) AS BIGINT) AS weighted_cents
    FROM pipeline p JOIN stage s ON s.pipeline_id = p.id LEFT JOIN deal_value v ON v.stage_id = s.id
    GROUP BY p.id, p.name, s.id, s.name, s.pos, s.kind;

-- What is open, by the month in which it is to close (NULL: nobody said).
CREATE VIEW forecast_weighted AS
  SELECT month_of(v.close_date) AS month, v.owner_id AS owner_id, count(*) AS deals, CAST(sum(v.base_cents) AS BIGINT) AS open_cents,
         CAST(sum(v.weighted_cents) AS BIGINT) AS weighted_cents
    FROM deal_value v WHERE v.kind = 'open' GROUP BY month_of(v.close_date), v.owner_id;

-- Of the deals that were ever in a stage and are decided: how many were won.
CREATE VIEW stage_win_rate AS
  SELECT x.stage_id AS stage_id, count(*) AS decided, CAST(sum(x.won) AS BIGINT) AS won, CAST(sum(x.won) AS BIGINT) * 10000 / count(*) AS rate_bp
    FROM (SELECT DISTINCT l.to_stage AS stage_id, l.deal_id AS deal_id, CASE s.kind WHEN 'won' THEN 1 ELSE 0 END AS won
            FROM deal_stage_log l JOIN deal d ON d.id = l.deal_id JOIN stage s ON s.id = d.stage_id WHERE s.kind <> 'open') x
    GROUP BY x.stage_id;

-- The same deals by what became of those before them; a stage without any past goes by its probability.
CREATE VIEW forecast_history AS
  SELECT month_of(v.close_date) AS month, v.owner_id AS owner_id, count(*) AS deals,
         CAST(sum(CASE WHEN w.decided IS NULL THEN (v.base_cents * s.probability + 50) / 100
                       ELSE (v.base_cents * w.won + w.decided / 2) / w.decided END) AS BIGINT) AS history_cents
    FROM deal_value v JOIN stage s ON s.id = v.stage_id LEFT JOIN stage_win_rate w ON w.stage_id = v.stage_id
    WHERE v.kind = 'open' GROUP BY month_of(v.close_date), v.owner_id;

-- Both together, as forecast_snapshot keeps it: of deals that have an owner and a day.
CREATE VIEW forecast AS
  SELECT w.month AS month, w.owner_id AS owner_id, w.deals AS deals, w.open_cents AS open_cents, w.weighted_cents AS weighted_cents, h.history_cents AS history_cents
    FROM forecast_weighted w JOIN forecast_history h ON h.month = w.month AND h.owner_id = w.owner_id;

-- When a decided deal was decided: its last arrival where it is now, by event time; of a deal from before the log, its day to close.
CREATE VIEW deal_decided AS
  SELECT v.deal_id AS deal_id, v.owner_id AS owner_id, v.kind AS kind, v.base_cents AS cents,
         coalesce((SELECT max(l.at) FROM deal_stage_log l WHERE l.deal_id = v.deal_id AND l.to_stage = v.stage_id), v.close_date, v.created_at) AS at
    FROM deal_value v WHERE v.kind <> 'open';

CREATE VIEW closing_rate AS
  SELECT month_of(c.at) AS month, c.owner_id AS owner_id, CAST(sum(CASE c.kind WHEN 'won' THEN 1 ELSE 0 END) AS BIGINT) AS won,
         CAST(sum(CASE c.kind WHEN 'lost' THEN 1 ELSE 0 END) AS BIGINT) AS lost,
         CAST(sum(CASE c.kind WHEN 'won' THEN 10000 ELSE 0 END) AS BIGINT) / count(*) AS rate_bp
    FROM deal_decided c GROUP BY month_of(c.at), c.owner_id;

-- By owner of deals; a device has those whose deals it has.
CREATE VIEW rep_metrics AS
  SELECT v.owner_id AS owner_id, u.name AS name,
         CAST(sum(CASE v.kind WHEN 'open' THEN 1 ELSE 0 END) AS BIGINT) AS open_deals,
         CAST(sum(CASE v.kind WHEN 'open' THEN v.base_cents ELSE 0 END) AS BIGINT) AS open_cents,
         CAST(sum(CASE v.kind WHEN 'won' THEN 1 ELSE 0 END) AS BIGINT) AS won_deals,
         CAST(sum(CASE v.kind WHEN 'won' THEN v.base_cents ELSE 0 END) AS BIGINT) AS won_cents,
         CAST(sum(CASE v.kind WHEN 'lost' THEN 1 ELSE 0 END) AS BIGINT) AS lost_deals,
         CASE WHEN sum(CASE v.kind WHEN 'open' THEN 0 ELSE 1 END) > 0 THEN CAST(sum(CASE v.kind WHEN 'won' THEN 10000 ELSE 0 END) AS BIGINT) /
           CAST(sum(CASE v.kind WHEN 'open' THEN 0 ELSE 1 END) AS BIGINT) END AS rate_bp,
         (SELECT count(*) FROM task t WHERE t.assignee_id = v.owner_id AND t.done_at IS NOT NULL) AS tasks_done,
         (SELECT count(*) FROM task t WHERE t.assignee_id = v.owner_id AND t.done_at IS NULL) AS tasks_open
    FROM deal_value v LEFT JOIN user_account u ON u.id = v.owner_id WHERE v.owner_id IS NOT NULL GROUP BY v.owner_id, u.name;

CREATE VIEW goal_progress AS
  SELECT g.id AS goal_id, g.owner_id AS owner_id, g.month AS month, g.kind AS kind, g.target AS target,
         CAST(coalesce(CASE g.kind WHEN 'interactions' THEN t.n WHEN 'won_cents' THEN w.cents ELSE w.deals END, 0) AS BIGINT) AS reached
    FROM goal g -- what was reached is worked out for all months at once, and not for each goal
    LEFT JOIN (SELECT c.owner_id AS owner_id, month_of(c.at) AS month, sum(c.cents) AS cents, count(*) AS deals
                 FROM deal_decided c WHERE c.kind = 'won' GROUP BY c.owner_id, month_of(c.at)) w ON w.owner_id = g.owner_id AND w.month = g.month
    LEFT JOIN (SELECT i.by_user AS by_user, month_of(i.at) AS month, count(*) AS n
                 FROM interaction i GROUP BY i.by_user, month_of(i.at)) t ON t.by_user = g.owner_id AND t.month = g.month;

-- Each stay in a stage that is over, from arrival to departure by event time.
CREATE VIEW stage_stay AS
  SELECT x.deal_id AS deal_id, x.stage_id AS stage_id, x.arrived_at AS arrived_at, x.left_at - x.arrived_at AS ms
    FROM (SELECT l.deal_id AS deal_id, l.to_stage AS stage_id, l.at AS arrived_at,
                 lead(l.at) OVER (PARTITION BY l.deal_id ORDER BY l.at, l.step) AS left_at FROM deal_stage_log l) x
    WHERE x.left_at IS NOT NULL;

-- How fast, by the job title of whom the deal is with: the one who was added to it first.
CREATE VIEW stage_velocity AS
  SELECT y.stage_id AS stage_id, s.name AS stage, y.job_title AS job_title, count(*) AS stays, CAST(sum(y.ms) AS BIGINT) / count(*) AS mean_ms
    FROM (SELECT st.stage_id AS stage_id, st.ms AS ms, (SELECT c.job_title FROM deal_contact dc JOIN contact c ON c.id = dc.contact_id
                   WHERE dc.deal_id = st.deal_id ORDER BY dc.added_at, dc.contact_id LIMIT 1) AS job_title FROM stage_stay st) y
    JOIN stage s ON s.id = y.stage_id GROUP BY y.stage_id, s.name, y.job_title;

-- When something last happened with a deal, and when it is (or was) to be called idle. Notes and quotes count; that time passes does not.
CREATE VIEW deal_activity AS
  SELECT a.deal_id AS deal_id, a.name AS name, a.owner_id AS owner_id, a.stage_id AS stage_id, a.close_date AS close_date, a.last_at AS last_at,
         a.last_at + a.idle_days * 86400000 AS idle_at
    FROM (SELECT d.id AS deal_id, d.name AS name, coalesce(d.owner_id, d.created_by) AS owner_id, d.stage_id AS stage_id, d.close_date AS close_date,
                 s.idle_days AS idle_days,
                 (SELECT max(x.at) FROM (SELECT d.created_at AS at
                    UNION ALL SELECT max(l.at) FROM deal_stage_log l WHERE l.deal_id = d.id
                    UNION ALL SELECT max(i.at) FROM interaction i WHERE i.deal_id = d.id
                    UNION ALL SELECT max(n.at) FROM note n WHERE n.parent_row = d.id AND n.parent_kind = 'deal'
                    UNION ALL SELECT max(q.created_at) FROM quote q WHERE q.deal_id = d.id
                    UNION ALL SELECT max(t.done_at) FROM task t WHERE t.parent_row = d.id AND t.parent_kind = 'deal') x) AS last_at
            FROM deal d JOIN stage s ON s.id = d.stage_id WHERE s.kind = 'open') a;

CREATE VIEW idle_deals AS
  SELECT a.deal_id AS deal_id, a.name AS name, a.owner_id AS owner_id, a.stage_id AS stage_id, a.last_at AS last_at, a.idle_at AS idle_at,
         (satchel_now() - a.last_at) / 86400000 AS days
    FROM deal_activity a WHERE a.idle_at <= satchel_now();

-- How much an open deal deserves work: a row each, so that one deal is found by its key.
CREATE VIEW deal_priority AS
  SELECT x.deal_id AS deal_id, x.by_value AS by_value, x.by_chance AS by_chance, x.by_company AS by_company, x.by_people AS by_people,
         x.by_value + x.by_chance + x.by_company + x.by_people AS priority
    FROM (SELECT v.deal_id AS deal_id,
                 CASE WHEN v.weighted_cents >= 10000000 THEN 40 WHEN v.weighted_cents >= 2500000 THEN 30 WHEN v.weighted_cents >= 500000 THEN 20
                   WHEN v.weighted_cents > 0 THEN 10 ELSE 0 END AS by_value,
                 v.chance / 5 AS by_chance,
                 CASE WHEN EXISTS (SELECT 1 FROM account a WHERE a.id = v.account_id AND (a.revenue_cents >= 1000000000 OR a.employees >= 250))
                   THEN 20 ELSE 0 END AS by_company,
                 CASE WHEN EXISTS (SELECT 1 FROM deal_contact dc JOIN contact c ON c.id = dc.contact_id WHERE dc.deal_id = v.deal_id
                    AND (fold(c.job_title) LIKE '%chief%' OR fold(c.job_title) LIKE 'c_o' OR fold(c.job_title) LIKE '%director%')) THEN 20 ELSE 0 END AS by_people
            FROM deal_value v WHERE v.kind = 'open') x;

-- The same as reasons to read. deal.priority is their sum.
CREATE VIEW deal_priority_reason AS
  SELECT p.deal_id AS deal_id, p.by_value AS points, 'its value times its chance' AS words FROM deal_priority p WHERE p.by_value > 0
  UNION ALL SELECT p.deal_id, p.by_chance, 'its chance' FROM deal_priority p WHERE p.by_chance > 0
  UNION ALL SELECT p.deal_id, p.by_company, 'a large company' FROM deal_priority p WHERE p.by_company > 0
  UNION ALL SELECT p.deal_id, p.by_people, 'somebody who decides takes part' FROM deal_priority p WHERE p.by_people > 0;

-- In which order somebody's open deals deserve work. Of equal ones the one that is worth more comes first, then the one that is to close first: the same order wherever it is asked for.
CREATE VIEW deal_ranking AS
  SELECT x.owner_id AS owner_id, x.deal_id AS deal_id, x.name AS name, x.priority AS priority,
         row_number() OVER (PARTITION BY x.owner_id ORDER BY x.priority DESC, x.weighted_cents DESC, x.no_day, x.close_date, x.deal_id) AS place
    FROM (SELECT v.owner_id AS owner_id, v.deal_id AS deal_id, v.name AS name, coalesce(d.priority, 0) AS priority, v.weighted_cents AS weighted_cents,
                 CASE WHEN v.close_date IS NULL THEN 1 ELSE 0 END AS no_day, v.close_date AS close_date
            FROM deal_value v JOIN deal d ON d.id = v.deal_id WHERE v.kind = 'open') x;

-- ---- leads ----

-- What a lead becomes, with the keys that it gets: a company, if the lead names one, a contact, and a deal in the first stage of the first pipeline. A device may make
-- the rows at once, and the server makes those that are not there.
CREATE VIEW lead_conversion AS
  SELECT l.id AS lead_id, CASE WHEN length(trim(coalesce(l.company, ''))) > 0 THEN satchel_id(l.id, 'account') END AS account_id, satchel_id(l.id, 'contact') AS contact_id,
         satchel_id(l.id, 'email') AS email_id, satchel_id(l.id, 'phone') AS phone_id, satchel_id(l.id, 'deal') AS deal_id,
         coalesce(CASE WHEN length(trim(l.company)) > 0 THEN l.company END, nullif(trim(coalesce(l.given, '') || ' ' || coalesce(l.family, '')), ''), l.email, l.phone,
           'a lead') AS deal_name,
         (SELECT s.id FROM stage s WHERE s.kind = 'open' ORDER BY s.pipeline_id, s.pos, s.id LIMIT 1) AS stage_id
    FROM lead l;

-- Which rules a lead meets. What lead.score will be is their sum within 1 and 100: on a device an estimate, until the server has said it.
CREATE VIEW lead_score_match AS
  SELECT x.lead_id AS lead_id, x.rule_id AS rule_id, x.points AS points, x.words AS words
    FROM (SELECT l.id AS lead_id, r.id AS rule_id, r.points AS points, r.words AS words, r.op AS op, r.value AS value,
                 CASE r.field WHEN 'size' THEN l.company_size END AS n,
                 CASE r.field WHEN 'source' THEN l.source WHEN 'job_title' THEN l.job_title WHEN 'region_code' THEN l.region_code WHEN 'company' THEN l.company
                   WHEN 'email' THEN l.email WHEN 'phone' THEN l.phone WHEN 'status' THEN l.status END AS t
            FROM lead l CROSS JOIN score_rule r WHERE r.active = 1) x
    WHERE CASE x.op WHEN 'is' THEN fold(x.t) = fold(x.value) WHEN 'like' THEN fold(x.t) LIKE fold(x.value)
            WHEN 'filled' THEN x.n IS NOT NULL OR length(x.t) > 0
            WHEN 'at_least' THEN x.n >= CAST(x.value AS BIGINT) WHEN 'below' THEN x.n < CAST(x.value AS BIGINT) END;

CREATE VIEW lead_score_estimate AS
  SELECT l.id AS lead_id, (SELECT CASE WHEN x.points < 1 THEN 1 WHEN x.points > 100 THEN 100 ELSE x.points END -- within, lest the sum is made three times
      FROM (SELECT CAST(coalesce(sum(m.points), 0) AS BIGINT) AS points FROM lead_score_match m WHERE m.lead_id = l.id) x) AS score
    FROM lead l;

-- Why a lead has the score that it has.
CREATE VIEW lead_score_reasons AS
  SELECT l.id AS lead_id, l.score AS score, r.rule_id AS rule_id, r.points AS points, r.words AS words FROM lead l JOIN score_reason r ON r.lead_id = l.id;

-- Who might get a lead, best first by (prio, load, user_id); load is how many live leads he has.
CREATE VIEW lead_candidate AS
  SELECT c.lead_id AS lead_id, c.prio AS prio, c.rule_id AS rule_id, u.id AS user_id,
         (SELECT count(*) FROM lead o WHERE o.owner_id = u.id AND o.status IN ('new', 'working', 'nurturing', 'qualified')) AS load
    FROM (SELECT l.id AS lead_id, l.region_code AS region_code, r.id AS rule_id, r.prio AS prio, r.to_user AS to_user, r.to_team AS to_team
            FROM lead l CROSS JOIN assign_rule r
            WHERE r.active = 1 AND (r.region_code IS NULL OR r.region_code = l.region_code) AND (r.min_score IS NULL OR l.score >= r.min_score)
              AND (r.title_like IS NULL OR fold(l.job_title) LIKE fold(r.title_like))) c
    JOIN user_account u ON u.active = 1 AND (u.id = c.to_user
      OR (c.to_user IS NULL AND u.role = 'rep' AND u.team_id = c.to_team)
      OR (c.to_user IS NULL AND c.to_team IS NULL AND u.role = 'rep' AND EXISTS (SELECT 1 FROM user_territory ut JOIN territory t ON t.id = ut.territory_id
           WHERE ut.user_id = u.id AND t.region_code = c.region_code)));

CREATE VIEW leads_by_source AS
  SELECT coalesce(l.source, 'unknown') AS source, count(*) AS leads,
         CAST(sum(CASE WHEN l.status IN ('qualified', 'converted') THEN 1 ELSE 0 END) AS BIGINT) AS qualified,
         CAST(sum(CASE WHEN l.status = 'converted' THEN 1 ELSE 0 END) AS BIGINT) AS converted,
         CAST(coalesce(sum(l.score), 0) AS BIGINT) AS points, count(l.score) AS scored
    FROM lead l GROUP BY coalesce(l.source, 'unknown');

CREATE VIEW objections_report AS
  SELECT o.kind AS kind, count(*) AS said, count(DISTINCT CASE o.parent_kind WHEN 'lead' THEN o.parent_row END) AS leads,
         count(DISTINCT CASE o.parent_kind WHEN 'deal' THEN o.parent_row END) AS deals,
         count(DISTINCT CASE s.kind WHEN 'won' THEN o.parent_row END) AS deals_won, count(DISTINCT CASE s.kind WHEN 'lost' THEN o.parent_row END) AS deals_lost
    FROM objection o LEFT JOIN deal d ON o.parent_kind = 'deal' AND d.id = o.parent_row LEFT JOIN stage s ON s.id = d.stage_id GROUP BY o.kind;

-- ---- service ----

-- A ticket with the times that its policy gives it.
CREATE VIEW ticket_clock AS
  SELECT x.ticket_id AS ticket_id, x.kind AS kind, x.priority AS priority, x.state AS state, x.level AS level, x.assignee_id AS assignee_id,
         x.opened_at AS opened_at, x.first_response_at AS first_response_at, x.resolved_at AS resolved_at,
         x.opened_at + p.first_response_min * 60000 AS first_response_due_at, x.opened_at + p.resolve_min * 60000 AS resolve_due_at
    FROM (SELECT t.id AS ticket_id, t.kind AS kind, t.priority AS priority, t.state AS state, t.level AS level, t.assignee_id AS assignee_id,
                 t.opened_at AS opened_at, t.first_response_at AS first_response_at, t.resolved_at AS resolved_at,
                 (SELECT s.id FROM sla_policy s WHERE s.priority = t.priority AND (s.kind = t.kind OR s.kind IS NULL)
                   ORDER BY CASE WHEN s.kind IS NULL THEN 1 ELSE 0 END LIMIT 1) AS policy_id FROM ticket t) x
    JOIN sla_policy p ON p.id = x.policy_id;

-- Which rule takes which ticket up, and from when on.
CREATE VIEW ticket_escalation AS
  SELECT c.ticket_id AS ticket_id, r.id AS rule_id, r.to_level AS to_level, r.title AS title, c.assignee_id AS assignee_id, r.to_team AS to_team,
         CASE r.clock WHEN 'resolve' THEN c.resolve_due_at ELSE c.first_response_due_at END + r.after_min * 60000 AS at
    FROM ticket_clock c JOIN escalation_rule r ON r.active = 1 AND (r.kind IS NULL OR r.kind = c.kind)
    WHERE c.state IN ('open', 'pending') AND c.level < r.to_level AND (r.clock = 'resolve' OR c.first_response_at IS NULL);

-- A ticket's figures. What was written before it was opened, by a clock that was slow, counts as at once.
CREATE VIEW ticket_times AS
  SELECT t.id AS ticket_id, month_of(t.opened_at) AS month, t.kind AS kind, u.team_id AS team_id,
         CASE WHEN t.first_response_at < t.opened_at THEN 0 ELSE t.first_response_at - t.opened_at END AS first_response_ms,
         CASE WHEN t.first_response_at <= t.sla_due_at THEN 1 ELSE 0 END AS in_time,
         CASE WHEN t.state IN ('resolved', 'closed') THEN 1 ELSE 0 END AS resolved,
         CASE WHEN t.resolved_at < t.opened_at THEN 0 ELSE t.resolved_at - t.opened_at END AS resolution_ms, t.csat AS csat
    FROM ticket t LEFT JOIN user_account u ON u.id = t.assignee_id;

-- By the month in which it was opened and its kind, so that complaints stand apart. Means are of those that have a value.
CREATE VIEW tickets_figures AS
  SELECT t.month AS month, t.kind AS kind, count(*) AS opened, count(t.first_response_ms) AS responded,
         CASE WHEN count(t.first_response_ms) > 0 THEN CAST(sum(t.first_response_ms) AS BIGINT) / count(t.first_response_ms) END AS first_response_ms,
         CAST(sum(t.in_time) AS BIGINT) AS responded_in_time,
         CAST(sum(t.resolved) AS BIGINT) AS resolved, CAST(sum(t.resolved) AS BIGINT) * 10000 / count(*) AS resolution_rate_bp,
         CASE WHEN count(t.resolution_ms) > 0 THEN CAST(sum(t.resolution_ms) AS BIGINT) / count(t.resolution_ms) END AS resolution_ms,
         count(t.csat) AS csat_n, CASE WHEN count(t.csat) > 0 THEN CAST(sum(t.csat) AS BIGINT) * 100 / count(t.csat) END AS csat_hundredths
    FROM ticket_times t GROUP BY t.month, t.kind;

-- What customers said of their tickets, by the month in which they were opened and the team of whom they are with; team_id NULL: of nobody, or of somebody without a team.
CREATE VIEW csat_by_team AS
  SELECT t.month AS month, t.team_id AS team_id, m.name AS team, count(*) AS csat_n, CAST(sum(t.csat) AS BIGINT) AS points,
         CAST(sum(t.csat) AS BIGINT) * 100 / count(*) AS csat_hundredths
    FROM ticket_times t LEFT JOIN team m ON m.id = t.team_id WHERE t.csat IS NOT NULL GROUP BY t.month, t.team_id, m.name;

-- ticket.reached_norm: what has letters is an address or a name, else a number.
CREATE VIEW ticket_reach_form AS
  SELECT x.ticket_id AS ticket_id, CASE WHEN x.text <> upper(x.text) THEN x.text WHEN x.digits LIKE '00%' THEN '+' || substr(x.digits, 3) ELSE x.digits END AS norm
    FROM (SELECT t.id AS ticket_id, lower(trim(t.reached_by)) AS text,
                 replace(replace(replace(replace(replace(replace(replace(t.reached_by, '(0)', ''), ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', '') AS digits
            FROM ticket t WHERE t.reached_by IS NOT NULL) x;

-- Whom a ticket of nobody may be from: everybody who is reached by what it came from.
CREATE VIEW ticket_sender AS
  SELECT t.id AS ticket_id, p.contact_id AS contact_id
    FROM ticket t JOIN contact_point p ON p.kind IN ('email', 'phone', 'social') AND p.norm = t.reached_norm
    JOIN contact c ON c.id = p.contact_id AND c.merged_into IS NULL WHERE t.contact_id IS NULL;

-- Everything that one contact has asked or complained of, over all channels; ORDER BY at, row_id. What was said in a ticket without naming him is his as well.
CREATE VIEW contact_inquiry AS
  SELECT t.contact_id AS contact_id, t.id AS ticket_id, t.opened_at AS at, t.channel AS channel, t.kind AS kind, t.subject AS subject, t.state AS state, t.id AS row_id
    FROM ticket t WHERE t.contact_id IS NOT NULL
  UNION ALL SELECT t.contact_id, t.id, i.at, i.channel, t.kind, i.subject, t.state, i.id FROM ticket t JOIN interaction i ON i.ticket_id = t.id
    WHERE t.contact_id IS NOT NULL
  UNION ALL SELECT i.contact_id, NULL, i.at, i.channel, i.kind, i.subject, NULL, i.id FROM interaction i
    WHERE i.contact_id IS NOT NULL AND i.ticket_id IS NULL AND i.direction = 'in';

-- Articles and scripts as words to look for: ... WHERE words LIKE '%' || fold('what is looked for') || '%'. A copy is what somebody else wrote at the same time.
CREATE VIEW article_words AS
  SELECT a.id AS article_id, a.kind AS kind, a.title AS title, a.body AS body, a.version AS version, a.published AS published, a.copy_of AS copy_of,
         fold(a.title || ' ' || coalesce(a.body, '')) AS words
    FROM kb_article a;

-- ---- tasks and appointments ----

-- Open tasks that are due, or to be thought of, before the day (UTC) is over.
CREATE VIEW due_tasks AS
  SELECT t.id AS task_id, t.title AS title, t.due_at AS due_at, t.remind_at AS remind_at, t.assignee_id AS assignee_id, t.parent_kind AS parent_kind,
         t.parent_row AS parent_row, CASE WHEN t.due_at < satchel_now() THEN 1 ELSE 0 END AS late,
         CASE WHEN t.remind_at <= satchel_now() THEN 1 ELSE 0 END AS rings
    FROM task t WHERE t.done_at IS NULL AND (t.due_at < (satchel_now() / 86400000 + 1) * 86400000 OR t.remind_at < (satchel_now() / 86400000 + 1) * 86400000);

-- Pairs of one person's appointments that overlap: b begins while a lasts, so that an index finds it. one_id is the lower of the two.
CREATE VIEW appointment_conflict AS
  SELECT a.owner_id AS owner_id, CASE WHEN a.id < b.id THEN a.id ELSE b.id END AS one_id, CASE WHEN a.id < b.id THEN b.id ELSE a.id END AS other_id,
         CASE WHEN a.id < b.id THEN a.tentative ELSE b.tentative END AS one_tentative, CASE WHEN a.id < b.id THEN b.tentative ELSE a.tentative END AS other_tentative,
         b.starts_at AS from_at, CASE WHEN a.ends_at < b.ends_at THEN a.ends_at ELSE b.ends_at END AS to_at
    FROM appointment a JOIN appointment b ON b.owner_id = a.owner_id AND b.starts_at >= a.starts_at AND b.starts_at < a.ends_at
      AND (b.starts_at > a.starts_at OR b.id > a.id)
    WHERE a.cancelled = 0 AND b.cancelled = 0;

-- ---- what else a customer might want ----

-- For a contact and a product that he bought (because_id): what others who bought it (buyer_id) bought as well and he did not, a row for each time. Ask for few contacts at
-- a time, and count the buyers then: were they counted here, all contacts' would be first. Whose card was shown bought it, be he named or not. CROSS JOIN and CASE are for SQLite's
-- order of search: from the contact on, over his few purchases.
CREATE VIEW cross_sell AS
  SELECT c0.id AS contact_id, l0.product_id AS because_id, l2.product_id AS product_id, c1.id AS buyer_id
    FROM contact c0 CROSS JOIN purchase p0 CROSS JOIN purchase_line l0 CROSS JOIN purchase_line l1 CROSS JOIN purchase p1 CROSS JOIN contact c1
    CROSS JOIN purchase p2 CROSS JOIN purchase_line l2 CROSS JOIN product x
    WHERE (p0.contact_id = c0.id OR p0.card_id IN (SELECT k0.id FROM loyalty_card k0 WHERE k0.contact_id = c0.id) AND CASE WHEN p0.contact_id IS NULL THEN 1 ELSE 0 END = 1)
      AND l0.purchase_id = p0.id AND l0.qty > 0 AND l1.product_id = l0.product_id AND l1.qty > 0 AND p1.id = l1.purchase_id
      AND c1.id = coalesce(p1.contact_id, (SELECT k1.contact_id FROM loyalty_card k1 WHERE k1.id = p1.card_id)) AND c1.id <> c0.id
      AND (p2.contact_id = c1.id OR p2.card_id IN (SELECT k2.id FROM loyalty_card k2 WHERE k2.contact_id = c1.id) AND CASE WHEN p2.contact_id IS NULL THEN 1 ELSE 0 END = 1)
      AND l2.purchase_id = p2.id AND l2.qty > 0 AND x.id = l2.product_id AND x.active = 1
      AND NOT EXISTS (SELECT 1 FROM purchase p3 CROSS JOIN purchase_line l3 -- his few purchases first; an expression, lest all of the product are searched
                       WHERE p3.contact_id = c0.id AND l3.purchase_id = p3.id AND CASE WHEN l3.product_id = l2.product_id THEN 1 ELSE 0 END = 1)
      AND NOT EXISTS (SELECT 1 FROM loyalty_card k CROSS JOIN purchase p4 CROSS JOIN purchase_line l4 -- nor with his card, without a name
                       WHERE k.contact_id = c0.id AND p4.card_id = k.id AND l4.purchase_id = p4.id AND CASE WHEN l4.product_id = l2.product_id THEN 1 ELSE 0 END = 1);
