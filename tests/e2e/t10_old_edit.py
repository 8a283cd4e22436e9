"""T10: an edit that is uploaded late, with a stamp long past, still reaches everybody."""
import harness


class T10OldEdit(harness.Case):
    def test_T10_old_edit_uploaded_late_is_pulled_by_others(self):
        server = self.server()
        late, busy, watcher = (self.device(name, server) for name in ("late", "busy", "watcher"))
        busy.sync()
        busy.sql("INSERT INTO contact(id, given, job_title, region_code) VALUES(x'01', 'Ada', 'none', 'N')")
        self.sync_all(busy, late, watcher)
        late.sql("UPDATE contact SET region_code = 'late' WHERE id = x'01';"
                 "INSERT INTO note(id, parent_kind, parent_row, body) VALUES(x'02', 'contact', x'01', 'written long ago')")
        # Meanwhile everybody else moves on, far past the stamps of the two.
        for i in range(20):
            busy.sql(f"UPDATE contact SET job_title = 'job {i}' WHERE id = x'01'")
            self.sync_all(busy, watcher, rounds=1)
        cursor = watcher.status()["cursor"]
        late.sync()
        watcher.sync()
        self.assertGreater(watcher.status()["cursor"], cursor)
        self.assertEqual(watcher.read("SELECT region_code, job_title FROM contact"), [("late", "job 19")])
        self.assertEqual(watcher.one("SELECT body FROM note"), "written long ago")
        self.sync_all(late, busy, watcher)
        self.assert_same(server, late, busy, watcher)


if __name__ == "__main__":
    harness.main()
