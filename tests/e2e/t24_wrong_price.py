"""T24: a till sells at a price that is no longer in force: the receipt stands as it was printed, and the server flags it."""
import time

import harness

DAY_MS = 86400000
STORE, KIM, TEA, JAM = (f"x'{n:032x}'" for n in (0x5701, 0xa7, 0x7ea, 0x1a3))
OFFICE = f"""
INSERT INTO store(id, name) VALUES({STORE}, 'High Street');
INSERT INTO user_account(id, name, role, store_id) VALUES({KIM}, 'Kim Cashier', 'cashier', {STORE});
INSERT INTO product(id, sku, name, price_cents) VALUES({TEA}, 'TEA', 'Tea', 500), ({JAM}, 'JAM', 'Jam', 300);
"""
FLAGGED = ("SELECT p.receipt_no, s.unit_cents, s.price_version, s.version_in_force, s.cents_in_force FROM old_price_sales s "
           "JOIN purchase p ON p.id = s.purchase_id ORDER BY p.receipt_no")


class T24WrongPrice(harness.Case):
    def setUp(self):
        super().setUp()
        self.office = self.server()
        self.office.sql(OFFICE)
        self.till = self.device("till").enroll(self.office, options=["--profile", "till", "--store", STORE])
        self.till.sync()
        self.receipts = 0

    def sell(self, *lines, at=None):
        """(product, quantity, version or None for the one that the till has): a receipt with a line each, by the prices on the till. Its number."""
        self.receipts += 1
        number = f"R{self.receipts}"
        rows, total = [], 0
        for product, qty, version in lines:
            cents, own = self.till.read(f"SELECT price_cents, price_version FROM product WHERE id = {product}")[0]
            total += qty * cents
            rows.append(f"(uuid7(), x'{self.receipts:032x}', {product}, {qty}, {cents}, {version or own})")
        self.till.sql(f"BEGIN; INSERT INTO purchase(id, channel, store_id, receipt_no, total_cents, at) VALUES(x'{self.receipts:032x}', 'pos', {STORE}, '{number}', {total}, "
                      f"{at or int(time.time() * 1000)}); INSERT INTO purchase_line(id, purchase_id, product_id, qty, unit_cents, price_version) VALUES{', '.join(rows)}; COMMIT")
        return number

    def standing(self, side):
        """Every receipt with its lines, as it is kept."""
        return side.read("SELECT p.receipt_no, p.total_cents, p.at, l.product_id, l.qty, l.unit_cents, l.price_version FROM purchase p "
                         "JOIN purchase_line l ON l.purchase_id = p.id ORDER BY p.receipt_no, l.id")

    def flagged(self):
        return self.office.read(FLAGGED)

    def test_T24_sold_offline_at_the_old_price_is_flagged_and_stands(self):
        before = self.sell((TEA, 2, None), at=int(time.time() * 1000) - DAY_MS)  # sold when it was the price
        self.office.sql(f"UPDATE product SET price_cents = 600 WHERE id = {TEA};")
        self.assertEqual(self.office.one(f"SELECT price_version FROM product WHERE id = {TEA}"), 2)
        time.sleep(0.01)
        old = self.sell((TEA, 1, None), (JAM, 1, None))
        printed = self.standing(self.till)
        self.till.sync()
        self.assertEqual(self.standing(self.office), printed)
        self.assertEqual([(r[0], r[1], r[5], r[6]) for r in printed if r[3] == bytes.fromhex(TEA[2:-1])], [(before, 1000, 500, 1), (old, 800, 500, 1)])
        self.assertEqual(self.flagged(), [(old, 500, 1, 2, 600)])
        self.assertEqual(self.office.ctl("rejected"), [])
        # In step again, it sells at the price in force, and that a later price comes makes no receipt wrong that was right.
        self.sell((TEA, 1, None))
        self.till.sync()
        self.office.sql(f"UPDATE product SET price_cents = 650 WHERE id = {TEA};")
        self.assertEqual(self.flagged(), [(old, 500, 1, 2, 600)])
        self.assertEqual(self.office.read("SELECT version, price_cents FROM product_price WHERE product_id = ? ORDER BY 1", bytes.fromhex(TEA[2:-1])),
                         [(1, 500), (2, 600), (3, 650)])

    def test_T24_version_that_there_never_was_is_flagged_and_stands(self):
        number = self.sell((TEA, 1, 99), (JAM, 1, None))
        printed = self.standing(self.till)
        self.till.sync()
        self.assertEqual(self.standing(self.office), printed)
        self.assertEqual(self.flagged(), [(number, 500, 99, 1, 500)])
        self.assertEqual(self.office.ctl("rejected"), [])

    def test_T24_server_killed_and_the_receipt_sent_again_is_flagged_once(self):
        self.office.sql(f"UPDATE product SET price_cents = 600 WHERE id = {TEA};")
        time.sleep(0.01)
        numbers = [self.sell((TEA, 1, None)) for _ in range(20)]
        process = self.till.start("sync", "--timeout", harness.PATIENCE_S)
        harness.wait_until(lambda: self.office.one("SELECT count(*) FROM purchase") or process.poll() is not None, "a receipt", pause_s=0)
        self.office.kill()
        self.office.start()
        self.assertEqual(process.wait(harness.PATIENCE_S), 0, self.till.errors())
        self.assertEqual(self.flagged(), [(number, 500, 1, 2, 600) for number in sorted(numbers)])
        self.assertEqual(self.standing(self.office), self.standing(self.till))


if __name__ == "__main__":
    harness.main()
