"""Capabilities of section 1B: leads, from the first word to the hand-off."""
from capabilities import Automation, Data, Merge, Text, View, capability, later
from office import ANN, BOB, EVE, NORTH, SOUTH


@capability("C21", "Lead scoring 1-100", Automation("lead-score"), View("lead_score_match"), Merge("lead", "score"))
def scoring(office):
    leads = [(office.new(), title, source, size) for title in ("CEO", "Student", "Buyer") for source in ("referral", "purchased", "web") for size in (3, 300)] * 2
    office.ann.sql("".join(f"INSERT INTO lead(id, family, job_title, source, company_size, created_by) VALUES({office.new()}, 'L', '{t}', '{s}', {n}, {ANN});"
                           for _, t, s, n in leads))
    office.ann.sync()
    scores = office.hq.read("SELECT job_title, source, company_size, min(score), max(score), count(*) FROM lead WHERE family = 'L' GROUP BY 1, 2, 3")
    assert len(scores) == len(leads) / 2 and all(1 <= low == high <= 100 for *_, low, high, _ in scores), scores
    assert len({s[3] for s in scores}) > 5, scores
    lead = office.hq.read("SELECT quote(id) FROM lead WHERE family = 'L' LIMIT 1")[0][0]
    name, _ = office.refusal(office.ann, f"UPDATE lead SET score = 77 WHERE id = {lead}")
    return f"{len(leads)} leads: all of 1 to 100, equal ones equal; a device's own score is refused ({name})"
