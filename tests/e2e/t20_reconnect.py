"""T20: 200 devices that come back at once: all get in step, nothing is lost or doubled, and the server's memory stays in bounds."""
import json
import os
import re
import subprocess
import threading

import harness

DEVICES = int(os.environ.get("SATCHEL_T20_DEVICES") or 200)
EDITS = 4
INSERTS, COUNTS = EDITS * 3 // 4, EDITS // 4  # as satchel-load storm mixes them
POOL = 64  # rows that satchel-load makes for all


def limit(name):
    with open(os.path.join(harness.ROOT, "protocol/limits.h"), encoding="utf-8") as f:
        value = re.search(rf"#define {name} \(?(\d+)u?(?: << (\d+))?\)?", f.read())
    return int(value.group(1)) << int(value.group(2) or 0)


# What a device may have of the server on its way at once: one message in, one out. The hub's queues allow more, for a device that does not read.
BOUND_KIB = 2 * limit("LIMIT_PAGE_BYTES") // 1024


class Reconnect(harness.Case):
    def storm(self, server, *options, during=None):
        """satchel-load storm, with `during` run when it waits for the server to be restarted."""
        command = [harness.program("satchel-load"), "--data", server.data, "storm", "--devices", str(DEVICES), "--json", "--keep",
                   "--work", self.path("devices"), "--patience", str(harness.PATIENCE_S), *map(str, options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        lines = []
        ready = threading.Event()

        def read():
            for line in process.stderr:
                lines.append(line)
                if "restart the server now" in line:
                    ready.set()
            ready.set()

        reader = threading.Thread(target=read)
        reader.start()
        if during:
            ready.wait(harness.PATIENCE_S)
            during()
        out = process.stdout.read()
        status = process.wait(harness.PATIENCE_S)
        reader.join()
        process.stderr.close()
        harness.check_output("satchel-load", "".join(lines))
        self.assertEqual(status, 0, out + "".join(lines))
        print(f"T20: {out.strip()}", flush=True)
        return json.loads(out)

    def check(self, server, storm):
        self.assertEqual((storm["devices"], storm["different"], storm["errors"], storm["refused"]), (DEVICES, 0, 0, 0))
        self.assertLess(storm["peak_kib"], storm["rss_before_kib"] + DEVICES * BOUND_KIB)
        self.assertEqual(server.one("SELECT count(*) FROM satchel_refused"), 0)
        self.assertEqual(server.ctl("verify")["problems"], 0)

    def test_T20_200_devices_that_come_back_at_once_stay_in_bounds(self):
        # A sanitizer keeps freed memory for a while, which is not the server's.
        server = self.server(prefix=["env", "ASAN_OPTIONS=" + os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"])
        # All carry work that could not be sent.
        storm = self.storm(server, "--edits", EDITS)
        self.check(server, storm)
        self.assertEqual(storm["transactions"], DEVICES * EDITS)
        self.assertEqual(server.one("SELECT count(*) FROM contact WHERE source = 'load'"), POOL + DEVICES * INSERTS)
        self.assertEqual(server.one("SELECT sum(visit_count) FROM contact"), DEVICES * COUNTS)

        # The server died, and all find out at once.
        def restart():
            server.kill()
            server.start()

        storm = self.storm(server, "--restart", during=restart)
        self.assertGreaterEqual(storm["disconnects"], DEVICES)
        self.check(server, storm)


if __name__ == "__main__":
    harness.main()
