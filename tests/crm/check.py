"""One line for each capability of the CRM: passed, failed, or later and why; and the proof that no check passes without what it is about.

usage: check.py [--mutate] [--jobs N] [SECTION|CAPABILITY...]

Sections are the files beside this one: customers, leads, sales, automation, service. --mutate takes out of a copy of server/crm, one at a time, what each check says
that it needs, and runs the check: it has to fail. Exit status: 0 all is as it should be, 1 not, 2 wrong usage."""
import argparse
import concurrent.futures
import importlib
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import capabilities
import office

SECTIONS = ("customers", "leads", "sales", "automation", "service")


def chosen(words):
    for section in SECTIONS:
        importlib.import_module(section)
    capabilities.CAPABILITIES.sort(key=lambda c: c.number)
    known = {c.number for c in capabilities.CAPABILITIES} | set(SECTIONS)
    unknown = [w for w in words if w not in known]
    if unknown:
        print(f"check.py: {unknown[0]} is neither a section ({', '.join(SECTIONS)}) nor a capability", file=sys.stderr)
        sys.exit(2)
    return [c for c in capabilities.CAPABILITIES if not words or c.number in words or c.section in words]


def first_line(error):
    return " ".join((str(error) or type(error).__name__).split())[:160]


def run_office(work, schema=office.SCHEMA):
    """Raises what went wrong with the company itself."""
    result = unittest.TestResult()
    office.Office(work, schema).run(result)
    for _, trouble in result.errors + result.failures:
        raise RuntimeError(trouble)


# ---- as it is ----


def run_section(section, wanted):
    """(capability, words or exception) of each."""
    done = []

    def work(hq):
        for c in wanted:
            try:
                done.append((c, c.check(hq)))
            except Exception as error:
                done.append((c, error))

    run_office(work)
    return done


def say(c, outcome, words):
    print(f"{c.number:<5}{c.name:<34}{outcome:<7}{words}", flush=True)


def check(wanted, jobs):
    failed = 0
    by_section = {s: [c for c in wanted if c.section == s and c.check] for s in SECTIONS}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {s: pool.submit(run_section, s, cs) for s, cs in by_section.items() if cs}
        for section in SECTIONS:
            for c in (c for c in wanted if c.section == section and not c.check):
                say(c, "later", c.why)
            for c, outcome in running[section].result() if section in running else []:
                bad = isinstance(outcome, Exception)
                failed += bad
                say(c, "FAIL" if bad else "pass", first_line(outcome) if bad else outcome)
    counted = sum(1 for c in wanted if c.check)
    print(f"{counted - failed} of {counted} capabilities passed, {len(wanted) - counted} are for later")
    return 1 if failed else 0


# ---- without what it needs ----


def run_without(c, need):
    """What failed; None if the check did not notice."""
    seen = []

    def work(hq):
        try:
            c.check(hq)
        except Exception as error:
            seen.append(error)

    with tempfile.TemporaryDirectory(prefix="satchel-crm-") as directory:
        schema = os.path.join(directory, "crm")
        shutil.copytree(office.SCHEMA, schema)
        need.remove(schema)
        run_office(work, schema)
    return seen[0] if seen else None


def mutate(wanted, jobs):
    blind = 0
    pairs = [(c, need) for c in wanted for need in c.needs]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for (c, need), done in zip(pairs, [pool.submit(run_without, c, need) for c, need in pairs]):
            trouble = done.exception()
            seen = trouble or done.result()
            blind += bool(trouble) or seen is None
            outcome = "does not load" if trouble else "noticed" if seen else "NOT NOTICED"
            print(f"{c.number:<5}without {str(need):<60}{outcome:<14}{first_line(seen) if seen else ''}", flush=True)
    without = [c.number for c in wanted if c.check and not c.needs]
    for number in without:
        print(f"{number}: says of nothing that it needs it")
    print(f"{len(pairs) - blind} of {len(pairs)} removals were noticed")
    return 1 if blind or without else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--mutate", action="store_true", help="take out what each check needs, and see it fail")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="companies at a time (default: one for each processor)")
    parser.add_argument("what", nargs="*", metavar="SECTION|CAPABILITY")
    args = parser.parse_args()
    wanted = chosen(args.what)
    sys.exit((mutate if args.mutate else check)(wanted, args.jobs))


if __name__ == "__main__":
    main()
