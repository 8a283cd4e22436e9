"""The figures: their keys, targets and how each is measured; medians, the JSON of a run, and the tables made from it."""
import statistics
from collections import namedtuple

# target: at most this; None where the figure only tells. digits: behind the point.
Figure = namedtuple("Figure", "key title unit target digits how")

# The reports of server/crm that tests/crm/reports.py works out a second time.
REPORTS = ["deal_value", "pipeline_by_stage", "forecast_weighted", "forecast_history", "forecast", "stage_win_rate", "closing_rate", "rep_metrics", "goal_progress",
           "stage_stay", "stage_velocity", "deal_activity", "idle_deals", "deal_priority", "deal_ranking", "deal_without_rate", "lead_score_match",
           "lead_score_estimate", "leads_by_source", "objections_report", "tickets_figures", "csat_by_team", "contact_inquiry", "contact_360",
           "accounts_by_revenue", "due_tasks", "appointment_conflict"]


def report(view):
    return Figure(f"report_{view}_ratio", f"report `{view}` ÷ a count of the largest table that it reads", "", None, 0, "as above")


FIGURES = [
    Figure("local_insert_ratio", "local inserts ÷ plain SQLite", "", 1.20, 2,
           "rows of 250 bytes in transactions of 100; WAL, synchronous=NORMAL; no network"),
    Figure("local_update_ratio", "local one-column updates ÷ plain SQLite", "", 1.25, 2,
           "scattered, in transactions of 10; WAL, synchronous=NORMAL; no network"),
    Figure("first_sync_ratio", "first sync ÷ copying the rows from file to file", "", 2, 2,
           "50,000 rows, server's snapshot prepared; from connecting over TLS to the fsync on the device; one hop; copy: one transaction, "
           "synchronous=FULL"),
    Figure("first_sync_cold_ratio", "the same, the server just started and its snapshot yet to be made", "", None, 2,
           "as above"),
    Figure("push_ratio", "offline inserts until durable on the server ÷ plain inserts", "", 3, 2,
           "50,000 rows in transactions of 100; from connecting over TLS to the last result; server synchronous=FULL; one hop; plain: "
           "synchronous=FULL, transactions of 100"),
    Figure("delta_ratio", "updates on A until durable on B ÷ plain updates", "", 4, 2,
           "10,000 scattered one-column updates in 10 transactions; both connected over TLS; from A's first update to the fsync on B; two hops, "
           "server synchronous=FULL; plain: synchronous=FULL, 10 transactions"),
    Figure("delta_offline_ratio", "the same, made before A connects", "", None, 2,
           "from when A begins to connect"),
    Figure("up_bytes", "bytes up per such update", "B", 32, 1,
           "on A's TCP connection, TLS and WebSocket framing and handshake within"),
    Figure("down_bytes", "bytes down per such update", "B", 25, 1,
           "on B's TCP connection, likewise"),
    Figure("file_ratio", "device file after first sync ÷ plain file", "", 1.05, 3,
           "database and write-ahead log after a checkpoint, 50,000 rows"),
    Figure("live_p50_ms", "commit on A to visible on B, median", "ms", None, 2,
           "one row a transaction; TLS, two hops; server synchronous=FULL, devices NORMAL"),
    Figure("live_p99_ms", "the same, 99th percentile", "ms", None, 2, "as above"),
    Figure("live_p50_ratio", "the median ÷ an echo on the same server", "", None, 1, "echo: WebSocket ping over the same TLS connection"),
    Figure("live_p99_ratio", "the 99th percentile ÷ the echo's", "", None, 1, "as above"),
    Figure("idle_kib", "server memory per idle device", "KiB", 40, 1, "2,000 devices connected over TLS and in step"),
    Figure("fanout_ratio", "server CPU to bring a commit to 500 devices ÷ to 1", "", 60, 1, "one row a transaction, all over TLS"),
    Figure("replica_kib", "growth of a process that opens, syncs and idles", "KiB", None, 0,
           "resident memory after a first sync of 50,000 rows and a second of idling, against before satchel_open"),
    Figure("replica_peak_kib", "its peak meanwhile", "KiB", None, 0, "likewise, VmHWM"),
    Figure("replica_text_kib", "the library's code", "KiB", None, 0, "text of libsatchel.so as size(1) tells it, gcc -O3"),
    Figure("replica_file_kib", "the library's file", "KiB", None, 0, "libsatchel.so, stripped"),
    Figure("year_ratio", "store after a year of churn ÷ its live rows alone", "", 1.5, 2,
           "1,000 rows, 1,000,000 updates, 100,000 deletes and inserts in virtual time, devices in step, then history_days without work; "
           "rows alone: a plain file after VACUUM"),
    Figure("year_fresh_ratio", "the same ÷ a store that has had nothing but these rows", "", None, 2, "as above"),
    Figure("year_history_ratio", "store at the end of the year's last day ÷ its live rows alone", "", None, 1,
           "30 days of history kept: the log of 82,000 updates"),
    Figure("scope_first_sync_ratio", "first sync under a profile ÷ of the same rows without rules", "", None, 2,
           "a rep, a till, a manager and an agent of a company of 10,000 contacts, each by its profile of server/crm; beside each a server that has its rows and no "
           "rules; over TLS, either snapshot yet to be made; the sum of the four"),
    Figure("scope_push_ratio", "offline inserts of these four until durable ÷ without rules", "", None, 2,
           "2,000 transactions of one to three rows each, rights and buckets of each row looked at; until the last result"),
    Figure("scope_load_ratio", "filling the company with the four profiles in force ÷ without rules", "", None, 2,
           "through satchelctl sql, transactions of 1,000 rows; server synchronous=FULL"),
    Figure("automation_ratio", "a rep's offline work until durable with the rules on ÷ off", "", None, 2,
           "1,000 transactions of a lead, a person, an address, a deal or its next stage, in the CRM's company of 50,000 contacts; what the rules write is durable with it"),
    Figure("automation_cpu_ratio", "the server's CPU for it, with the effects' way back to the rep's device", "", None, 2, "as above"),
    Figure("automation_rows", "rows that rules write for each of these transactions", "", None, 1, "as above"),
    Figure("automation_none_ratio", "notes, a table that no rule watches: until durable with the rules on ÷ off", "", None, 2, "1,000 transactions"),
    Figure("automation_none_cpu_ratio", "the server's CPU for these", "", None, 2, "as above"),
    Figure("rep_first_sync_ratio", "a rep's first sync ÷ copying his rows from file to file", "", None, 2,
           "his profile's part of 50,000 contacts, snapshot prepared; from connecting over TLS to the fsync on the device; copy: INSERT ... SELECT from an attached "
           "file into the same tables and indexes, synchronous=FULL"),
    Figure("rep_first_sync_cold_ratio", "the same, the server just started and this view's snapshot yet to be made", "", None, 2, "as above"),
    Figure("check_insert_ratio", "local inserts with two checks on the table ÷ without", "", None, 2,
           "a form and a look into another table (satchel_check); rows of 250 bytes in transactions of 100; capture on both sides; no network"),
    Figure("check_update_ratio", "local one-column updates, likewise", "", None, 2,
           "in transactions of 10; one in five is of a column that a check reads"),
    Figure("report_slowest_ms", "the slowest report of the CRM", "ms", None, 0, "CPU time; all rows of the company of 50,000 contacts"),
    report("deal_value")._replace(how="CPU time of each row and column of the view, of the whole company of 50,000 contacts; beside SELECT count(*), which SQLite answers "
                                      "from the size of an index's pages"),
    *map(report, REPORTS[1:]),
    Figure("scale_ratio", "a delta of 100 rows at 1,000,000 rows ÷ at 10,000", "", 1.2, 2,
           "one transaction, both devices connected over TLS, from A's first update to the fsync on B"),
]
BY_KEY = {f.key: f for f in FIGURES}


def summary(figure, samples):
    value = statistics.median(samples)
    result = {"value": round(value, 4), "min": round(min(samples), 4), "max": round(max(samples), 4), "repetitions": len(samples)}
    if figure.target is not None:
        result.update(target=figure.target, met=value <= figure.target)
    result["how"] = figure.how
    return result


def number(figure, value):
    return f"{value:,.{figure.digits}f}" + (f" {figure.unit}" if figure.unit else "")


def verdict(entry):
    return "" if "met" not in entry else "met" if entry["met"] else "missed"


def spread(figure, entry):
    if entry["repetitions"] == 1 or entry["min"] == entry["max"]:
        return number(figure, entry["value"])
    low, high = (f"{entry[k]:,.{figure.digits}f}" for k in ("min", "max"))
    return f"{number(figure, entry['value'])} ({low} to {high})"


def peer_spread(entry):
    digits = 2 if entry["value"] < 10 else 1
    return f"{entry['value']:,.{digits}f} ({entry['min']:,.{digits}f} to {entry['max']:,.{digits}f})"


def rows(results):
    """(figure, entry) of what a run has measured, in the order above."""
    return [(f, results[f.key]) for f in FIGURES if f.key in results]


def print_text(results, out):
    for figure, entry in rows(results):
        target = f"<= {figure.target:g}" if figure.target is not None else ""
        out.write(f"{figure.key:32} {spread(figure, entry):34} {target:8} {verdict(entry):7} {figure.how}\n")
    for entry in results.get("peers", []):
        out.write(f"{entry['peer']}, {entry['what']}: {peer_spread(entry)}; {entry['how']}\n")


def print_markdown(results, out):
    """The README's table."""
    c = results["conditions"]
    out.write(f"Measured by `{c['command']}` on {c['date']}: {c['cpus']} CPUs, {c['system']}, SQLite {c['sqlite']}, {c['file_system']}, "
              f"Satchel {c['version']}. Medians, with the least and the greatest behind.\n\n")
    out.write("| | measured | target | | how |\n|---|---|---|---|---|\n")
    for figure, entry in rows(results):
        target = f"{figure.target:g}" if figure.target is not None else ""
        out.write(f"| `{figure.key}`: {figure.title} | {spread(figure, entry)} | {target} | {verdict(entry)} | {figure.how} |\n")
    if results.get("peers"):
        out.write("\n| peers, in the same run | measured | how |\n|---|---|---|\n")
        for entry in results["peers"]:
            out.write(f"| {entry['peer']}: {entry['what']} | {peer_spread(entry)} | {entry['how']} |\n")
