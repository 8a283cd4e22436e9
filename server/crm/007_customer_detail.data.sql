INSERT INTO custom_field_def(id, entity, name, type, options, pos) VALUES
  (X'018bcfe568007000800000000000f001', 'account', 'advertiser industry', 'option', '["luxury retail", "automotive", "hospitality"]', 1);

INSERT INTO validation_rule(id, tbl, col, check_sql, code, words) VALUES
  (X'018bcfe568007000800000000000f101', 'contact_point', 'value', 'kind <> ''email'' OR value LIKE ''_%@_%''', 'EMAIL_FORM',
   'an e-mail address has something on both sides of an @'),
  (X'018bcfe568007000800000000000f102', 'contact_point', 'value', 'kind <> ''phone'' OR length(value) BETWEEN 3 AND 40', 'PHONE_LENGTH',
   'a phone number has 3 to 40 characters'),
  (X'018bcfe568007000800000000000f103', 'lead', 'email', 'email IS NULL OR email LIKE ''_%@_%''', 'LEAD_EMAIL_FORM',
   'an e-mail address has something on both sides of an @'),
  (X'018bcfe568007000800000000000f104', 'lead', 'company_size', 'company_size IS NULL OR company_size >= 0', 'LEAD_SIZE',
   'a company has no fewer than 0 people'),
  (X'018bcfe568007000800000000000f105', 'deal', 'currency', 'currency IS NULL OR currency = upper(currency)', 'DEAL_CURRENCY',
   'a currency is three capital letters, as EUR'),
  (X'018bcfe568007000800000000000f106', 'quote_line', 'qty', 'qty <> 0', 'QUOTE_QTY', 'a line of a quote is of at least one piece'),
  (X'018bcfe568007000800000000000f107', 'appointment', 'ends_at', 'ends_at > starts_at', 'APPOINTMENT_ENDS', 'an appointment ends after it begins');
