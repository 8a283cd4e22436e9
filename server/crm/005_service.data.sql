INSERT INTO ticket_state_move(from_state, to_state) VALUES
  ('open', 'pending'), ('open', 'resolved'), ('open', 'closed'),
  ('pending', 'open'), ('pending', 'resolved'),
  ('resolved', 'open'), ('resolved', 'closed'),
  ('closed', 'open');
