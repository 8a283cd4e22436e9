INSERT INTO invoice_move(before, after) VALUES('draft', 'sent'), ('sent', 'paid'), ('sent', 'draft'), ('paid', 'refunded');
