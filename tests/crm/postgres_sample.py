"""What postgres.py adds to the sample company: rows for what views and automations look at and the company has not. Accents, capitals, NULL and empty, ties,
sums that do not divide, and times on both sides of an instant."""
from office import ANN, BOB, DAY_MS, EVE, MIA, NORTH, SOUTH, STORE, TOM, key

NOW = 1794824430123  # 2026-11-16 10:20:30.123 UTC
MONTH = "2026-11"
COMPANY, PLAIN = key(0x101), key(0x102)
ZOE, ADA, HAL, NOBODY = (key(0x201 + i) for i in range(4))
FIRST, SECOND, THIRD = (key(0x301 + i) for i in range(3))  # products
FAIR, WEB, WON_OVER, OWNED, BARE, CLERK = (key(0x401 + i) for i in range(6))  # leads
DEMO, OFFER, WON, LOST, STRANGE, IDLE, FRESH, LATE, BACK, DATED, UNDATED = (key(0x501 + i) for i in range(11))  # deals
QUOTE, DRAFT = key(0x601), key(0x602)
WAITS, ANSWERED, OPENED_AGAIN, FROM_PHONE, FROM_MAIL, KNOWN, SLOW = (key(0x701 + i) for i in range(7))  # tickets
CARD = key(0x801)
WEST, OLD, YOUNG, HELPER = (key(0x901 + i) for i in range(4))  # a team that Ann leads: two reps, an agent


def stage(n):
    return f"X'018bcfe568007000800000000000b{n}'"


def days(n):
    return NOW - int(n * DAY_MS)


SAMPLE = f"""
UPDATE contact_point SET norm = NULL WHERE kind = 'phone';
UPDATE lead SET score = NULL;
INSERT INTO assign_rule(id, prio, title_like, region_code, min_score, to_user, to_team) VALUES({key(1)}, 1, '%größe%', NULL, NULL, {EVE}, NULL),
  ({key(2)}, 2, NULL, 'N', 20, NULL, {NORTH}), ({key(3)}, 3, NULL, 'S', NULL, NULL, NULL);
INSERT INTO account(id, name, employees, revenue_cents, website, owner_id) VALUES
  ({COMPANY}, 'Größe & Söhne', 900, 5000000000, 'HTTPS://Groesse.example', {ANN}),
  ({PLAIN}, 'Plain', NULL, NULL, NULL, NULL);
INSERT INTO contact(id, account_id, given, family, job_title, birth_year, region_code, status, owner_id, merged_into, erased) VALUES
  ({ZOE}, {COMPANY}, 'Zoë', 'Ångström', 'CTO', 1980, 'N', 'prospect', {ANN}, NULL, 0),
  ({ADA}, {COMPANY}, NULL, 'Straße', 'Managing DIRECTOR', 2000, 'S', 'inactive', {BOB}, NULL, 0),
  ({HAL}, {PLAIN}, 'Hal', NULL, NULL, NULL, NULL, 'customer', NULL, NULL, 0), ({NOBODY}, NULL, 'No', 'Body', 'Clerk', 1970, NULL, 'lead', NULL, {ZOE}, 1);
INSERT INTO contact_point(id, contact_id, kind, value) VALUES({key(1)}, {ZOE}, 'email', ' Zoe@Groesse.EXAMPLE '),
  ({key(2)}, {ZOE}, 'phone', '0049 (0)30 / 55-66.7'),
  ({key(3)}, {HAL}, 'phone', '+49 171 555 1299'), ({key(4)}, {ADA}, 'social', '@ÄdaX');
INSERT INTO contact_point(id, contact_id, kind, value, norm) VALUES({key(5)}, {HAL}, 'email', 'hal@plain.example', 'hal@plain.example');
INSERT INTO address(id, owner_kind, owner_row, street, city, zip, country) VALUES
  ({key(1)}, 'contact', {ZOE}, 'Lange  Straße 5.', 'Bad-Köln,  West', 'D-50 667', ' DE '),
  ({key(2)}, 'contact', {ADA}, 'High Street', NULL, NULL, '');
INSERT INTO custom_field_def(id, entity, name, type, required, pos) VALUES({key(1)}, 'contact', 'shoe size', 'integer', 1, 1),
  ({key(2)}, 'deal', 'colour', 'text', 1, 2);
INSERT INTO custom_value(entity_row, field_id, entity, value) VALUES({ZOE}, {key(1)}, 'contact', '39'), ({DEMO}, {key(2)}, 'deal', 'grün'),
  ({ADA}, {key(9)}, 'contact', 'old');
INSERT INTO lead(id, given, family, company, job_title, region_code, company_size, email, phone, source, status, owner_id, created_by, created_at) VALUES
  ({FAIR}, 'Élise', 'Œuvre', 'Fair & Co', 'CHIEF of it', 'N', 4, 'E@fair.example', '00 41 (0)44-1', 'fair', 'nurturing', {ANN}, {ANN}, {days(40)}),
  ({WEB}, NULL, NULL, '', 'Head of Größe', 'S', 250, NULL, '', 'web', 'nurturing', NULL, {EVE}, {days(3)}),
  ({WON_OVER}, 'Won', 'Over', 'New Works', 'ceo', 'N', 1000, 'w@new.example', '030 1', 'referral', 'converted', {BOB}, {BOB}, {days(2)}),
  ({OWNED}, 'Ow', 'Ned', NULL, 'Director', 'N', 49, 'o@n.example', NULL, NULL, 'qualified', {ANN}, {BOB}, {days(1)}),
  ({BARE}, 'Bare', NULL, NULL, 'Größe', 'X', NULL, NULL, NULL, 'purchased', 'converted', NULL, {EVE}, NULL),
  ({CLERK}, 'Cl', 'Erk', 'C', 'Student', 'N', 50, NULL, NULL, 'Fair', 'new', NULL, NULL, NULL),
  ({key(0x40f)}, 'T', 'ie', 'C', 'None', 'S', 50, NULL, NULL, 'campaign', 'working', NULL, NULL, NULL);
INSERT INTO score_reason(lead_id, rule_id, points, words) VALUES({FAIR}, X'018bcfe568007000800000000000e002', 1, 'as it was');
INSERT INTO currency_rate(currency, since, micro) VALUES('GBP', {days(0.5)}, 1181111), ('USD', {days(-3)}, 1), ('SEK', {days(90)}, 90000);
INSERT INTO sequence_enrolment(id, sequence_id, lead_id, started_at, ended_at) VALUES({key(1)}, X'018bcfe568007000800000000000e202', {CLERK}, {days(6)}, NULL),
  ({key(2)}, X'018bcfe568007000800000000000e201', {FAIR}, {days(40)}, NULL), ({key(3)}, X'018bcfe568007000800000000000e201', {OWNED}, {days(40)}, {days(30)});
INSERT INTO deal(id, name, account_id, stage_id, amount_cents, currency, probability, close_date, next_step, owner_id, created_by, created_at) VALUES
  ({DEMO}, 'Demo', {COMPANY}, {stage(102)}, 12345678, 'USD', 33, {days(-20)}, NULL, {ANN}, NULL, {days(20)}),
  ({OFFER}, 'Offer', {PLAIN}, {stage(105)}, 501, 'GBP', 70, {days(-20)}, 'Sign', NULL, {ANN}, {days(9)}),
  ({WON}, 'Won', {PLAIN}, {stage(106)}, 99999, 'CHF', NULL, {days(5)}, NULL, {ANN}, NULL, {days(50)}),
  ({LOST}, 'Lost', NULL, {stage(107)}, 1, 'EUR', NULL, NULL, NULL, {BOB}, NULL, {days(50)}),
  ({STRANGE}, 'Strange', NULL, {stage(101)}, 700, 'XTS', 1, NULL, '', {EVE}, NULL, {days(1)}),
  ({IDLE}, 'Idle', {COMPANY}, {stage(103)}, 1500001, NULL, 55, NULL, NULL, {BOB}, NULL, {days(90)}),
  ({FRESH}, 'Fresh', NULL, {stage(101)}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  ({LATE}, 'Late', NULL, {stage(201)}, 50, 'TRY', 50, {days(3)}, 'Call', {ANN}, NULL, {days(2)}),
  ({BACK}, 'Back', {COMPANY}, {stage(103)}, 12345678, 'USD', 33, {days(-20)}, NULL, {ANN}, NULL, {days(20)}),
  ({DATED}, 'Dated', {PLAIN}, {stage(104)}, 70000, 'EUR', 50, {days(-40)}, 'Ask', {EVE}, NULL, {days(1)}),
  ({UNDATED}, 'Undated', {PLAIN}, {stage(104)}, 70000, 'EUR', 50, NULL, 'Ask', {EVE}, NULL, {days(1)});
INSERT INTO deal_contact(deal_id, contact_id, role, added_at) VALUES({DEMO}, {ADA}, 'decides', 2), ({DEMO}, {ZOE}, NULL, 1), ({OFFER}, {HAL}, NULL, 1),
  ({WON}, {ZOE}, NULL, 0), ({LOST}, {ZOE}, NULL, 0), ({IDLE}, {ADA}, NULL, 0);
INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user) VALUES
  (satchel_id({WON}, 0), {WON}, 0, NULL, {stage(105)}, {days(50)}, NULL), (satchel_id({WON}, 1), {WON}, 1, {stage(105)}, {stage(106)}, {days(5)}, {ANN}),
  (satchel_id({LOST}, 0), {LOST}, 0, NULL, {stage(105)}, {days(50)}, NULL),
  (satchel_id({LOST}, 1), {LOST}, 1, {stage(105)}, {stage(107)}, {days(8) + 1}, {BOB}),
  (satchel_id({BACK}, 0), {BACK}, 0, NULL, {stage(103)}, {days(20)}, {ANN}),
  (satchel_id({BACK}, 1), {BACK}, 1, {stage(103)}, {stage(104)}, {days(4)}, {ANN}),
  (satchel_id({IDLE}, 0), {IDLE}, 0, NULL, {stage(103)}, {days(90)}, {BOB}), (satchel_id({IDLE}, 1), {IDLE}, 1, {stage(103)}, {stage(103)}, {days(80)}, {BOB});
INSERT INTO interaction(id, contact_id, deal_id, ticket_id, channel, direction, at, subject, by_user, kind) VALUES
  ({key(1)}, {ZOE}, {DEMO}, NULL, 'meeting', 'in', {days(1)}, 'Demo', {ANN}, 'demo_booked'),
  ({key(2)}, NULL, NULL, {ANSWERED}, 'phone', 'in', {days(2)}, 'Asked', {TOM}, NULL),
  ({key(3)}, {HAL}, NULL, NULL, 'chat', 'in', {days(0)}, NULL, {BOB}, 'other');
INSERT INTO note(id, parent_kind, parent_row, body, by_user, at) VALUES({key(1)}, 'contact', {ZOE}, 'Likes tea', {ANN}, {days(1)}),
  ({key(2)}, 'deal', {IDLE}, NULL, {BOB}, {days(70)});
INSERT INTO task(id, title, due_at, remind_at, assignee_id, parent_kind, parent_row, template_id, done_at) VALUES
  ({key(1)}, 'Late', {days(1)}, NULL, {ANN}, 'contact', {ZOE}, NULL, NULL),
  ({key(2)}, 'Tonight', {days(-0.3)}, {NOW}, {ANN}, 'contact', {ZOE}, NULL, NULL),
  ({key(3)}, 'Tomorrow', {days(-1)}, {days(-2)}, {BOB}, 'contact', {HAL}, NULL, NULL),
  ({key(4)}, 'Done', {days(3)}, NULL, {ANN}, 'contact', {ADA}, NULL, {days(2)}),
  ({key(5)}, 'Never been there', NULL, NULL, {ANN}, 'deal', {DEMO}, X'018bcfe568007000800000000000d007', NULL),
  ({key(6)}, 'Of whom it was', NULL, NULL, {BOB}, 'lead', {OWNED}, X'018bcfe568007000800000000000d101', NULL);
INSERT INTO quote(id, deal_id, provisional, status, currency, created_by, created_at) VALUES({QUOTE}, {OFFER}, 'P-7', 'accepted', 'GBP', {ANN}, {days(2)}),
  ({DRAFT}, {DEMO}, NULL, 'draft', 'EUR', {ANN}, NULL);
INSERT INTO quote_line(id, quote_id, qty, unit_cents) VALUES({key(1)}, {QUOTE}, 3, 333333), ({key(2)}, {QUOTE}, -1, 99);
INSERT INTO objection(id, parent_kind, parent_row, kind, at, by_user) VALUES({key(1)}, 'deal', {WON}, 'price', 1, {ANN}),
  ({key(2)}, 'deal', {LOST}, 'price', 2, {ANN}), ({key(3)}, 'deal', {LOST}, 'price', 3, {ANN}),
  ({key(4)}, 'lead', {FAIR}, 'price', 4, {BOB}), ({key(5)}, 'lead', {WEB}, 'timing', 5, NULL);
INSERT INTO goal(id, owner_id, month, kind, target) VALUES({key(1)}, {ANN}, '{MONTH}', 'won_cents', 100), ({key(2)}, {ANN}, '{MONTH}', 'won_deals', 1),
  ({key(3)}, {ANN}, '{MONTH}', 'interactions', 9), ({key(4)}, {EVE}, '{MONTH}', 'won_cents', 0);
INSERT INTO forecast_snapshot(month, owner_id, at, deals, open_cents, weighted_cents, history_cents) VALUES('{MONTH}', {ANN}, 1, 1, 2, 3, 4);
INSERT INTO product(id, sku, name, price_cents) VALUES({FIRST}, 'S-1', 'First', 100), ({SECOND}, 'S-2', 'Second', 250), ({THIRD}, 'S-3', 'Third', 0);
INSERT INTO product_price(product_id, version, price_cents, since) VALUES({FIRST}, 1, 100, 0), ({FIRST}, 2, 120, {days(10)}), ({SECOND}, 1, 250, 0);
INSERT INTO loyalty_card(id, program_id, code, contact_id) SELECT {CARD}, id, 'X-1', {ADA} FROM loyalty_program;
INSERT INTO loyalty_entry(id, card_id, kind, points, at) VALUES({key(1)}, {CARD}, 'adjust', -5, {days(1)});
INSERT INTO purchase(id, channel, store_id, receipt_no, contact_id, card_id, total_cents, at) VALUES
  ({key(1)}, 'pos', {STORE}, '1', {ZOE}, NULL, 350, {days(0.1)}), ({key(2)}, 'pos', {STORE}, '2', NULL, {CARD}, 100, {days(0.2)}),
  ({key(3)}, 'ecom', NULL, '3', {HAL}, NULL, 100, {days(0.3)}), ({key(4)}, 'ecom', NULL, '4', {ADA}, NULL, 350, {days(30)});
INSERT INTO purchase_line(id, purchase_id, product_id, qty, unit_cents, price_version) VALUES({key(1)}, {key(1)}, {FIRST}, 1, 100, 1),
  ({key(2)}, {key(1)}, {SECOND}, 1, 250, 7), ({key(3)}, {key(2)}, {FIRST}, 1, 120, 2),
  ({key(4)}, {key(3)}, {FIRST}, 1, 100, NULL), ({key(5)}, {key(4)}, {SECOND}, 1, 250, 1), ({key(6)}, {key(4)}, {THIRD}, 1, 0, 1),
  ({key(7)}, {key(4)}, {FIRST}, -1, 100, 1);
INSERT INTO suggestion(contact_id, product_id, because_id, buyers, at) VALUES({ADA}, {FIRST}, {SECOND}, 1, 1), ({HAL}, {SECOND}, {FIRST}, 9, 1);
INSERT INTO suggestion_due(contact_id, since) VALUES({HAL}, 1);
UPDATE lead SET score = 30 WHERE owner_id IS NULL;
INSERT INTO referral(id, referrer, referee, at, by_user) VALUES({key(1)}, {ZOE}, {HAL}, {days(2)}, {ANN}), ({key(2)}, {ADA}, {HAL}, {days(3)}, {BOB}),
  ({key(3)}, {HAL}, {HAL}, 3, NULL);
INSERT INTO appointment(id, title, starts_at, ends_at, owner_id, cancelled, tentative) VALUES({key(1)}, 'One', {days(-1)}, {days(-1.2)}, {ANN}, 0, 0),
  ({key(2)}, 'Two', {days(-1.1)}, {days(-1.3)}, {ANN}, 0, 0),
  ({key(3)}, 'Three', {days(-1.2)}, {days(-1.4)}, {ANN}, 0, 1), ({key(4)}, 'Gone', {days(-1)}, {days(-2)}, {ANN}, 1, 0),
  ({key(5)}, 'Alone', {days(-5)}, {days(-6)}, {BOB}, 0, 1),
  ({key(6)}, 'Both', {days(-8)}, {days(-9)}, {EVE}, 0, 1), ({key(7)}, 'Both', {days(-8)}, {days(-9)}, {EVE}, 0, 1);
INSERT INTO appointment_attendee(appointment_id, contact_id) VALUES({key(1)}, {ZOE}), ({key(3)}, {ZOE}), ({key(4)}, {HAL});
INSERT INTO ticket(id, subject, kind, priority, state, contact_id, assignee_id, opened_at, resolved_at, reached_by, reached_norm, channel) VALUES
  ({WAITS}, 'Waits', 'complaint', 3, 'open', {ZOE}, {ANN}, {days(4)}, NULL, NULL, NULL, 'web'),
  ({ANSWERED}, 'Answered', 'question', 1, 'pending', {HAL}, {TOM}, {days(2)}, NULL, NULL, NULL, 'phone'),
  ({OPENED_AGAIN}, 'Again', 'problem', 2, 'open', NULL, {BOB}, NULL, {days(1)}, NULL, NULL, NULL),
  ({FROM_PHONE}, 'Calls', 'question', 5, 'open', NULL, NULL, {days(0.1)}, NULL, '0049 30 55 66 7', NULL, 'phone'),
  ({FROM_MAIL}, 'Writes', 'question', 4, 'open', NULL, NULL, {days(0)}, NULL, ' HAL@plain.example', NULL, 'email'),
  ({KNOWN}, 'Known', 'question', 3, 'closed', NULL, {ANN}, {days(33)}, NULL, NULL, 'hal@plain.example', NULL),
  ({SLOW}, 'Slow clock', 'complaint', 3, 'resolved', {ADA}, {BOB}, {days(1)}, {days(2)}, NULL, NULL, NULL);
INSERT INTO ticket_event(id, ticket_id, kind, body, at, by_user, internal) VALUES({key(1)}, {ANSWERED}, 'reply', 'We look', {days(1.9)}, {TOM}, 0),
  ({key(2)}, {ANSWERED}, 'reply', 'Seen', {days(3)}, {TOM}, 0),
  ({key(3)}, {WAITS}, 'reply', 'Mine', {days(1)}, {TOM}, 1), ({key(4)}, {SLOW}, 'reply', 'Ahead', {days(-9)}, {ANN}, 0);
INSERT INTO feedback(id, contact_id, ticket_id, kind, score, body, at) VALUES({key(1)}, {ZOE}, {SLOW}, 'csat', 4, 'Gut', {days(1)}),
  ({key(2)}, {ZOE}, {SLOW}, 'csat', 1, NULL, {days(0)}), ({key(3)}, {ADA}, NULL, 'nps', 10, NULL, {days(1)}),
  ({key(4)}, NULL, {KNOWN}, 'csat', 3, NULL, {days(1)}), ({key(5)}, {HAL}, NULL, 'text', NULL, 'Ja', {days(1)});
INSERT INTO kb_article(id, title, body, published, copy_of) VALUES({key(1)}, 'Größe', NULL, 1, {key(2)});
UPDATE team SET manager_id = {MIA} WHERE id = {SOUTH};
INSERT INTO team(id, name, manager_id) VALUES({WEST}, 'West', {ANN});
INSERT INTO user_account(id, name, role, team_id) VALUES({OLD}, 'Öld Rep', 'rep', {WEST}), ({YOUNG}, 'Young Rep', 'rep', {WEST}),
  ({HELPER}, 'Helper', 'agent', {WEST});
INSERT INTO account(id, name, owner_id, created_by) VALUES({key(0x911)}, 'West & Co', {OLD}, {EVE});
INSERT INTO contact(id, account_id, family, owner_id, created_by) VALUES({key(0x911)}, NULL, 'Of nobody', NULL, {OLD}),
  ({key(0x912)}, {key(0x911)}, 'Of a company', {EVE}, {EVE});
INSERT INTO lead(id, family, status, owner_id) VALUES({key(0x911)}, 'West', 'working', {OLD});
INSERT INTO deal(id, name, stage_id, owner_id) VALUES({key(0x911)}, 'West', {stage(101)}, {OLD});
INSERT INTO ticket(id, subject, assignee_id) VALUES({key(0x911)}, 'West', {OLD});
INSERT INTO reassignment(id, entity, entity_row, from_user, to_user, why, by_user, at) VALUES
  ({key(1)}, 'account', {key(0x911)}, {OLD}, {YOUNG}, 'Weiß mehr', {ANN}, {days(2)}),
  ({key(2)}, 'contact', {key(0x911)}, {OLD}, {YOUNG}, NULL, {ANN}, {days(1)}),
  ({key(3)}, 'lead', {key(0x911)}, {OLD}, {YOUNG}, NULL, {ANN}, {days(1)}), ({key(4)}, 'deal', {key(0x911)}, {OLD}, {YOUNG}, NULL, {ANN}, {days(1)}),
  ({key(5)}, 'ticket', {key(0x911)}, {OLD}, {HELPER}, NULL, {ANN}, {days(1)}), ({key(6)}, 'lead', {key(0x911)}, {EVE}, {OLD}, NULL, {ANN}, 1),
  ({key(7)}, 'deal', {key(0x911)}, {OLD}, {HELPER}, NULL, {ANN}, 1), ({key(8)}, 'contact', {key(0x912)}, {OLD}, {YOUNG}, NULL, {ANN}, 1),
  ({key(9)}, 'deal', {DEMO}, {ANN}, {YOUNG}, NULL, {ANN}, 1), ({key(10)}, 'deal', {IDLE}, {BOB}, {YOUNG}, NULL, {ANN}, 1),
  ({key(11)}, 'deal', {key(0x9ff)}, {OLD}, {YOUNG}, NULL, {ANN}, 1), ({key(12)}, 'lead', {OWNED}, {ANN}, {BOB}, NULL, {MIA}, 1),
  ({key(13)}, 'ticket', {key(0x911)}, {OLD}, {YOUNG}, NULL, {ANN}, 1), ({key(14)}, 'deal', {key(0x911)}, {OLD}, {BOB}, NULL, {EVE}, 1),
  ({key(15)}, 'account', {key(0x911)}, {EVE}, {YOUNG}, NULL, {ANN}, 1);
UPDATE stage SET exit_fields = '["amount_cents", "next_step"]' WHERE id = {stage(104)};
UPDATE stage SET exit_fields = '["probability", "close_date", "account_id", "currency"]' WHERE id = {stage(101)};
"""
