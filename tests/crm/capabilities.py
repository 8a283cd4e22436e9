"""The list of capabilities: each is a check of a running company, and says what of server/crm it cannot do without."""
import os
import re
import sqlite3

CAPABILITIES = []


class Capability:
    def __init__(self, number, name, check, needs, section, why=None):
        self.number, self.name, self.check, self.needs, self.section, self.why = number, name, check, needs, section, why


def capability(number, name, *needs):
    """Of a function that takes an Office, fails by an exception, and returns what it has seen in a few words."""
    def add(check):
        CAPABILITIES.append(Capability(number, name, check, needs, check.__module__))
        return check
    return add


def later(section, number, name, why):
    CAPABILITIES.append(Capability(number, name, None, (), section, why))


# ---- what a capability may need; each can take it out of a copy of server/crm ----


class Need:
    def __init__(self, *words):
        self.words = words

    def __str__(self):
        return " ".join((type(self).__name__.lower(), *self.words))


def edit(directory, name, change):
    path = os.path.join(directory, name)
    with open(path, encoding="utf-8") as f:
        before = f.read()
    after = change(before)
    if before == after:
        raise LookupError(f"{name} has nothing of the kind")
    with open(path, "w", encoding="utf-8") as f:
        f.write(after)


def add_migration(directory, sql="", data=None):
    """One more migration, after all others; `data` is run by the server as its own changes."""
    number = 1 + max(int(name[:3]) for name in os.listdir(directory) if name[:3].isdigit())
    for end, text in ((".sql", sql or "-- nothing\n"), (".data.sql", data)):
        if text is not None:
            with open(os.path.join(directory, f"{number:03d}_without{end}"), "w", encoding="utf-8") as f:
                f.write(text)


class Automation(Need):
    """A rule of automation.sql, by name."""

    def remove(self, directory):
        def without(text):
            db = sqlite3.connect(":memory:")
            columns = ("name", "tbl", "event", "columns", "condition", "every", "actions", "overwrites", "about")
            db.execute("CREATE TABLE automation(name PRIMARY KEY, tbl, event, columns, condition, every, actions, overwrites DEFAULT 0, about)")
            db.executescript(text)
            if db.execute("DELETE FROM automation WHERE name = ?", self.words).rowcount != 1:
                raise LookupError(f"no automation {self.words[0]}")
            quoted = ", ".join(f"quote({c})" for c in columns)
            return "".join(f"INSERT INTO automation({', '.join(columns)}) VALUES({', '.join(row)});\n"
                           for row in db.execute(f"SELECT {quoted} FROM automation ORDER BY rowid"))
        edit(directory, "automation.sql", without)


class View(Need):
    """A view, by name: it is left with its columns and without rows."""

    def remove(self, directory):
        name = self.words[0]
        for file in sorted(os.listdir(directory), reverse=True):
            if file.endswith(".sql"):
                with open(os.path.join(directory, file), encoding="utf-8") as f:
                    found = re.findall(rf"^CREATE VIEW {name}\b(\([^)]*\))? AS\n(.*?);$", f.read(), re.S | re.M)
                if found:
                    columns, select = found[-1]
                    add_migration(directory, f"DROP VIEW {name};\nCREATE VIEW {name}{columns} AS SELECT * FROM (\n{select}\n) WHERE 1 = 0;\n")
                    return
        raise LookupError(f"no view {name}")


class Merge(Need):
    """The rule by which a column merges: 'table', 'column'. It becomes lww, by which the later writer wins."""

    def remove(self, directory):
        table, column = self.words
        rules = re.compile(r"^INSERT INTO satchel_rule\b.*?;$", re.S | re.M)
        pattern = re.compile(rf"\('{table}', *'{column}', *'(?!lww')[^']*'")
        for file in sorted(os.listdir(directory)):
            if file[:3].isdigit():
                try:
                    edit(directory, file, lambda text: rules.sub(lambda found: pattern.sub(f"('{table}', '{column}', 'lww'", found[0]), text))
                    return
                except LookupError:
                    pass
        raise LookupError(f"no rule of {table}.{column}")


class Data(Need):
    """Reference rows, as the SQL that takes them away."""

    def remove(self, directory):
        add_migration(directory, data=self.words[0] + ";\n")


class Text(Need):
    """A piece of a file: name of the file, piece, and what stands there instead (nothing, if it is not given)."""

    def remove(self, directory):
        file, piece, instead = (*self.words, "")[:3]
        edit(directory, file, lambda text: text.replace(piece, instead))

    def __str__(self):
        return f"{self.words[0]}: {' '.join(self.words[1].split())[:70]}"
