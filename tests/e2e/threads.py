"""The threaded parts at work at once: the server's loop, writer and readers under several devices, enrolments and an admin; a replica's background
thread beside its program. In the thread sanitizer's build a race in any of them fails the process that has it."""
import os
import ssl
import subprocess
import urllib.request

import harness


class Threads(harness.Case):
    def test_thread_server_under_devices_enrolments_and_admin(self):
        server = self.server()
        devices = [self.device(f"device-{i}", server) for i in range(4)]
        self.sync_all(*devices, rounds=1)
        watching = [device.start("sync", "--watch") for device in devices[:2]]
        busy = []
        for i, device in enumerate(devices):
            # Who has the lock may have no processor for longer than others wait if they are not told.
            work = f"PRAGMA busy_timeout = {harness.PATIENCE_S * 1000};"
            work += "".join(f"INSERT INTO contact(id, given) VALUES(x'{i:02x}{n:04x}', 'Ada {n}');" for n in range(150))
            busy.append(subprocess.Popen(device.command("sql", work), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        for n in range(6):
            self.device(f"late-{n}", server).sync()
            server.ctl("status")
            server.ctl("verify")
            server.ctl("device", "list")
            server.sql(f"INSERT INTO team(id, name) VALUES(x'{n:02x}', 'Team {n}');\n")
            self.metrics(server)
        server.ctl("device", "revoke", "late-0")
        for process in busy:
            errors = process.communicate(timeout=harness.PATIENCE_S)[1]
            harness.check_output("satchel", errors)
            self.assertEqual(process.returncode, 0, errors)
        self.sync_all(*devices[2:])
        harness.wait_until(lambda: server.one("SELECT count(*) FROM contact") == 600, "all commits")
        for process in watching:
            process.terminate()
            self.assertEqual(process.wait(harness.PATIENCE_S), 0, devices[0].errors() + devices[1].errors())
        self.sync_all(*devices)
        self.assert_same(server, *devices)
        # SIGTERM with devices connected.
        devices[0].start("sync", "--watch")
        harness.wait_until(lambda: server.ctl("status")["since_start"]["sessions"] == 1, "the connection")
        server.stop()

    def metrics(self, server):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{server.https_port}/metrics", context=context, timeout=60) as answer:
            text = answer.read().decode()
        self.assertIn("satchel_seq ", text)

    def test_thread_program_of_the_readme_beside_its_background_thread(self):
        """tests/e2e/background.c: writes while satchel_start's thread syncs, with callbacks, status and stop from other threads."""
        server = self.server()
        phone, other = self.device("phone", server), self.device("other", server)
        phone.sync()
        done = subprocess.run([os.environ["SATCHEL_BACKGROUND"], phone.path], capture_output=True, text=True, timeout=harness.PATIENCE_S, check=False)
        harness.check_output("background", done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.sync_all(phone, other)
        self.assertEqual(server.one("SELECT count(*) FROM contact"), 400)
        self.assert_same(server, phone, other)


if __name__ == "__main__":
    harness.main()
