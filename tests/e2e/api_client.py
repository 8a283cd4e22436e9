"""A program of another system: speaks the HTTP API, and holds every answer against the API's own description."""
import http.client
import json
import ssl
import urllib.parse

import jsonschema

import harness

MET = set()  # (operationId, status), over all tests of the process


class Description:
    """The OpenAPI document: itself checked, and then what checks every answer."""

    def __init__(self, document):
        self.document = document
        self.resolver = jsonschema.RefResolver.from_schema(document)
        self.operations = {operation["operationId"]: (method, path, operation)
                           for path, item in document["paths"].items() for method, operation in item.items()}

    def follow(self, part):
        while "$ref" in part:
            part = self.resolver.resolve(part["$ref"])[1]
        return part

    def validate(self, value, schema, what):
        try:
            jsonschema.Draft202012Validator(schema, resolver=self.resolver).validate(value)
        except jsonschema.ValidationError as e:
            raise AssertionError(f"{what}: {e.message} at {list(e.absolute_path)}: {json.dumps(value)[:2000]}") from None

    def response(self, operation, status):
        responses = self.operations[operation][2]["responses"]
        if str(status) not in responses and status not in (500, 503):
            raise AssertionError(f"{operation} answered {status}, which its description does not have")
        return self.follow(responses.get(str(status)) or responses["default"])

    def check(self, operation, status, headers, body):
        described = self.response(operation, status)
        kind = headers["content-type"]
        if kind not in described["content"]:
            raise AssertionError(f"{operation} {status}: a body of type {kind}")
        self.validate(body, described["content"][kind]["schema"], f"{operation} {status}")
        for name, header in described.get("headers", {}).items():
            if name.lower() in headers:
                self.validate(headers[name.lower()], header["schema"], f"{operation} {status}: {name}")
            elif name != "Idempotent-Replayed":
                raise AssertionError(f"{operation} {status} without {name}")
        MET.add((operation, str(status)))

    def documented(self, tag=None):
        """Of the operations with this tag; without one, of those that have none."""
        return {(name, status) for name, (_, _, operation) in self.operations.items() for status in operation["responses"]
                if status != "default" and operation.get("tags", [None])[0] == tag}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __getitem__(self, name):
        return self.body[name]


class Api:
    """One program with its token, on one connection that is kept as long as the server does."""

    def __init__(self, server, token, description=None):
        self.server, self.token, self.description = server, token, description
        self.keys = 0
        self.connection = None

    def connect(self):
        self.connection = http.client.HTTPSConnection("127.0.0.1", self.server.https_port, timeout=harness.PATIENCE_S,
                                                      context=ssl._create_unverified_context())
        self.server.case.addCleanup(self.connection.close)

    def raw(self, method, target, body=None, headers=None):
        """The bytes of one exchange; a kept connection that the server has closed meanwhile is opened anew for it."""
        given = {"Authorization": "Bearer " + self.token} if self.token else {}
        given.update(headers or {})
        for again in (False, True):
            if not self.connection:
                self.connect()
            try:
                self.connection.request(method, target, body, given)
                response = self.connection.getresponse()
                data = response.read()
                break
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError, BrokenPipeError):
                self.connection.close()
                self.connection = None
                if again:
                    raise
        return response.status, {k.lower(): v for k, v in response.getheaders()}, data

    def call(self, operation, expect, body=None, headers=None, **arguments):
        """Calls an operation of the description, arguments by name; checks the answer against it."""
        method, path, described = self.description.operations[operation]
        for name in ("table", "key"):
            if "{" + name + "}" in path:
                path = path.replace("{" + name + "}", urllib.parse.quote(str(arguments.pop(name)), safe="/"))
        query = urllib.parse.urlencode({k.replace("__", "."): v for k, v in arguments.items()})
        data = body if body is None or isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        status, headers, text = self.raw(method.upper(), path + ("?" + query if query else ""), data, headers)
        if status != expect:
            raise AssertionError(f"{operation} {arguments} {str(body)[:300]}: {status} instead of {expect}: {text[:1000]!r}")
        answer = Answer(status, headers, json.loads(text))
        self.description.check(operation, status, headers, answer.body)
        return answer

    def write(self, *changes, expect=200, key=None, **rest):
        if key is None:
            self.keys += 1
            key = f"{id(self)}-{self.keys}"
        return self.call("write", expect, {"changes": list(changes), **rest}, {"Idempotency-Key": key})

    def follow(self, since=0, epoch=None, **arguments):
        """All pages of changes after a seq: (changes, seq, epoch)."""
        changes, rest = [], {}
        while True:
            page = self.call("listChanges", 200, since=since, **({"epoch": epoch} if epoch else {}), **arguments, **rest)
            changes += page["changes"]
            since, epoch = page["next"], page["epoch"]
            rest = {"continue": page["continue"]} if "continue" in page.body else {}
            if not page["more"] and not rest:
                return changes, since, epoch

    def rows(self, table, **arguments):
        """Every row of a table, by pages, and the first page."""
        rows, first, after = [], None, {}
        while True:
            page = self.call("listRows", 200, table=table, **arguments, **after)
            first = first or page
            rows += page["rows"]
            if "next" not in page.body:
                return rows, first
            after = {"after": page["next"]}


def change(table, op, key, **values):
    return {"table": table, "op": op, "key": key, **({"values": values} if values else {})}
