"""T19: the first sync of a company with 50,000 contacts: what it takes, and that a cut in its middle costs little.

A sanitizer build is many times slower and gets a company of 3,000; SATCHEL_T19_CONTACTS names another size for any build."""
import json
import os
import subprocess
import time

import harness
from harness import wait_until

CONTACTS = int(os.environ.get("SATCHEL_T19_CONTACTS") or (3000 if "SATCHEL_CFLAGS" in os.environ else 50000))

# What a cut may cost: pages that the device had asked for and not applied, and the rest of the one at half.
AGAIN_PAGES = 5


class FirstSync(harness.Case):
    def load(self, server):
        server.stop_timers()
        company = subprocess.Popen([harness.program("satchel-company"), "--contacts", str(CONTACTS)], stdout=subprocess.PIPE)
        with company.stdout as rows:
            subprocess.run([harness.program("satchelctl"), "--data", server.data, "sql", "-"], stdin=rows, check=True,
                           stdout=subprocess.DEVNULL)
        self.assertEqual(company.wait(), 0)
        self.assertEqual(server.one("SELECT count(*) FROM contact"), CONTACTS)

    def digest(self, device):
        return json.loads(device.run("digest", "--json").stdout)["digest"]

    def tell(self, what, device, proxy, began, before):
        seconds, sent, size = time.monotonic() - began, proxy.down_bytes - before, os.path.getsize(device.path)
        print(f"T19: {what}: {self.rows} rows in {seconds:.1f} s, {sent} bytes received, a file of {size} bytes", flush=True)
        return sent

    def pages_sent(self, server):
        return server.ctl("status")["since_start"]["snapshot_pages"]

    def test_T19_first_sync_cut_at_half_resumes_with_the_other_half(self):
        server = self.server()
        self.load(server)
        proxy = self.proxy(server)
        expected = server.ctl("digest")["digest"]
        self.assertIn(f"contact {CONTACTS} ", expected)
        self.rows = sum(int(line.split()[1]) for line in expected.splitlines())

        whole = self.device("whole", server, proxy)
        began, before = time.monotonic(), proxy.down_bytes
        whole.sync()
        whole_bytes, pages = self.tell("at one go", whole, proxy, began, before), self.pages_sent(server)
        self.assertEqual(self.digest(whole), expected)

        phone = self.device("phone", server, proxy)
        began, before = time.monotonic(), proxy.down_bytes
        proxy.cut_after(whole_bytes // 2)
        process = phone.start("sync")
        wait_until(lambda: proxy.cuts, "the cut")
        cut_at = proxy.down_bytes
        proxy.heal()
        self.assertEqual(process.wait(harness.PATIENCE_S), 0, phone.errors())
        self.tell("cut at half", phone, proxy, began, before)
        resumed = proxy.down_bytes - cut_at
        print(f"T19: after the cut {resumed} bytes, {100 * resumed / whole_bytes:.0f} % of the whole", flush=True)
        self.assertEqual(proxy.cuts, 1)
        self.assertLess(resumed, whole_bytes / 2 + AGAIN_PAGES * whole_bytes / pages)
        self.assertEqual(self.digest(phone), expected)
        phone.run("verify")


if __name__ == "__main__":
    harness.main()
