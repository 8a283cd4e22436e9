"""The two databases that postgres.py compares, asked in one way: a server's store, copied, and a PostgreSQL of the test's own; with the server's functions."""
import contextlib
import glob
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile

import harness
import office
from postgres_sample import NOW

PROGRAMS = os.path.dirname(max(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]), default=""))


class Refused(Exception):
    """What a database said that did not take the SQL."""


def literal(v, postgres):
    if isinstance(v, bytes):
        return f"CAST('\\x{v.hex()}' AS bytea)" if postgres else f"x'{v.hex()}'"
    return "NULL" if v is None else "'" + v.replace("'", "''") + "'" if isinstance(v, str) else repr(v)


def as_json(names, row):
    """A row in one form for both sides; 1.0 is 1 there."""
    def plain(v):
        return "\\x" + v.hex() if isinstance(v, bytes) else int(v) if isinstance(v, float) and v == int(v) else v

    return json.dumps(dict(zip(names, map(plain, row))), ensure_ascii=False)


# ---- SQLite ----


def satchel_id(*values):
    """As protocol/functions.c; texts and blobs are short here."""
    def put(v):
        if v is None or isinstance(v, int):
            return b"\5" if v is None else b"\1" + v.to_bytes(8, "big", signed=True)
        content = v.encode() if isinstance(v, str) else v
        return (b"\3" if isinstance(v, str) else b"\4") + bytes([len(content)]) + content

    return hashlib.sha256(b"".join(map(put, values))).digest()[:16]


class Sqlite:
    """The store as it stands, in memory."""

    def __init__(self, store):
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        with contextlib.closing(harness.open_file(store)) as source:
            source.backup(self.db)
        for name, function in office.FUNCTIONS.items():
            self.db.create_function(name, 1, function, deterministic=True)
        self.db.create_function("satchel_now", 0, lambda: NOW)
        self.db.create_function("satchel_id", -1, satchel_id, deterministic=True)

    def ask(self, queries, statements=(), keep=False):
        """What each query says after the statements, as rows in order."""
        end = "ROLLBACK"
        self.db.execute("BEGIN")
        try:
            for statement in statements:
                self.db.execute(statement)
            answers = []
            for query in queries:
                rows = self.db.execute(query)
                answers.append(sorted(as_json([c[0] for c in rows.description], row) for row in rows))
            end = "COMMIT" if keep else end
            return answers
        except sqlite3.Error as error:
            raise Refused(f"SQLite: {error}") from error
        finally:
            self.db.execute(end)


# ---- PostgreSQL ----

FUNCTIONS = f"""
CREATE FUNCTION satchel_now() RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT CAST({NOW} AS bigint)';
CREATE FUNCTION day_of(ms bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT to_char(DATE '1970-01-01' + CAST(floor(ms / 86400000.0) AS integer), 'YYYY-MM-DD') $$;
CREATE FUNCTION month_of(ms bigint) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT substr(day_of(ms), 1, 7)';
CREATE FUNCTION fold(words text) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT regexp_replace(normalize(replace(translate(lower(normalize(words, NFKD) COLLATE "und-x-icu"), 'ς', 'σ'), 'ß', 'ss'), NFKD),
                           '[\u0300-\u036f]', '', 'g') $$;
CREATE FUNCTION satchel_put(v bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce('\\x04' || set_byte('\\x00', 0, length(v)) || v, '\\x05') $$;
CREATE FUNCTION satchel_put(v text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN v IS NULL THEN '\\x05' ELSE set_byte(satchel_put(convert_to(v, 'UTF8')), 0, 3) END $$;
CREATE FUNCTION satchel_put(v bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce('\\x01' || int8send(v), '\\x05') $$;
""" + "".join(f"CREATE FUNCTION satchel_id({', '.join(types)}) RETURNS bytea LANGUAGE sql IMMUTABLE AS "
              f"$$ SELECT substr(sha256({' || '.join(f'satchel_put(${i + 1})' for i in range(n))}), 1, 16) $$;\n"
              for n in (2, 3, 4) for types in itertools.product(("bytea", "text", "bigint"), repeat=n))


def call(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **options)
    if done.returncode:
        raise Refused("PostgreSQL: " + " ".join(re.sub(r"psql:<stdin>:\d+: ", "", done.stderr or done.stdout).split())[:400])
    return done.stdout


class Postgres:
    def __init__(self, directory):
        self.directory = directory

    def execute(self, sql):
        return call([PROGRAMS + "/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-U", "postgres", "-f", "-"],
                    input="SET client_min_messages = error;\n" + sql)

    def ask(self, queries, statements=(), keep=False):
        asked = [f"SELECT '#';\nSELECT row_to_json(q) FROM (\n{query}\n) q;" for query in queries]
        said = self.execute("\n".join(["BEGIN;", *(s + "\n;" for s in statements), *asked, "COMMIT;" if keep else "ROLLBACK;"]))
        answers = []
        for line in said.splitlines():
            if line == "#":
                answers.append([])
            else:
                row = json.loads(line)
                answers[-1].append(as_json(row, row.values()))
        return [sorted(rows) for rows in answers]


@contextlib.contextmanager
def postgres():
    """Behind a socket in a directory of its own, and with the locale C: texts are in the order of their bytes. It ends with this process, however that ends."""
    with tempfile.TemporaryDirectory(prefix="satchel-pg-") as directory:
        run_as = ["setpriv", "--pdeathsig", "QUIT"]
        if os.geteuid() == 0:  # as which it does not run
            run_as += ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
            shutil.chown(directory, "postgres", "postgres")
        data = os.path.join(directory, "data")
        call([*run_as, PROGRAMS + "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
            process = subprocess.Popen([*run_as, PROGRAMS + "/postgres", "-D", data, "-k", directory, "-F", "-c", "listen_addresses="],
                                       stdout=log, stderr=log, cwd="/")

            def is_ready():
                if process.poll() is not None:
                    log.seek(0)
                    raise Refused("PostgreSQL did not start: " + log.read()[-1000:])
                return subprocess.run([PROGRAMS + "/pg_isready", "-q", "-h", directory], check=False).returncode == 0

            try:
                harness.wait_until(is_ready, "PostgreSQL to be ready")
                side = Postgres(directory)
                side.execute(FUNCTIONS)
                yield side
            finally:
                process.send_signal(signal.SIGQUIT)
                process.wait()
