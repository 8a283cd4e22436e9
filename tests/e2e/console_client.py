"""A browser as far as the server can tell: a cookie, the session's csrf, and the headers that go with a page of the server's own."""
import http.client
import json
import os
import ssl

import harness
from api_client import Description

OWN = {"Sec-Fetch-Site": "same-origin"}
with open(os.path.join(harness.ROOT, "server/api/openapi.json"), encoding="utf-8") as described:
    DESCRIPTION = Description(json.load(described))


def operation_of(method, path):
    """Its name in the description; None if there is none."""
    parts = path.split("?")[0].split("/")
    for name, (verb, template, _) in DESCRIPTION.operations.items():
        pattern = template.split("/")
        if verb == method.lower() and len(pattern) == len(parts) and all(p == q or p.startswith("{") for p, q in zip(pattern, parts)):
            return name
    return None


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text
        kind = headers.get("content-type", "")
        self.body = json.loads(text) if text and "json" in kind else None

    def __getitem__(self, name):
        return self.body[name]


class Browser:
    def __init__(self, server, address="127.0.0.1"):
        self.server, self.address = server, address
        self.cookie = self.csrf = ""

    def send(self, method, path, body=None, headers=None, expect=None):
        """One exchange with these headers alone."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.https_port, timeout=harness.PATIENCE_S,
                                                 source_address=(self.address, 0), context=ssl._create_unverified_context())
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode())
        finally:
            connection.close()
        operation = operation_of(method, path)
        if operation and answer.body is not None:
            DESCRIPTION.check(operation, answer.status, answer.headers, answer.body)
        if expect is not None and answer.status != expect:
            raise AssertionError(f"{method} {path} {body}: {answer.status} instead of {expect}: {answer.text[:1000]}")
        return answer

    def headers(self, **other):
        """As the page sends them, but for those of `other`: Sec_Fetch_Site="cross-site"; None leaves one out."""
        given = {"Content-Type": "application/json", "Cookie": self.cookie, "X-CSRF-Token": self.csrf,
                 "Origin": f"https://127.0.0.1:{self.server.https_port}", **OWN}
        given.update({k.replace("_", "-"): v for k, v in other.items()})
        return {k: v for k, v in given.items() if v}

    def get(self, path, expect=200):
        return self.send("GET", path, headers={"Cookie": self.cookie, **OWN}, expect=expect)

    def post(self, path, body=None, expect=200, **headers):
        return self.send("POST", path, {} if body is None else body, self.headers(**headers), expect)

    def command(self, command, /, expect=200, **request):
        if expect == 200:
            DESCRIPTION.validate(request, {"$ref": f"#/components/schemas/Commands/properties/{command}"}, command)
        return self.post("/v1/admin/commands/" + command, request, expect)

    def login(self, name, password, expect=200, **headers):
        answer = self.post("/v1/login", {"name": name, "password": password}, expect, **headers)
        if answer.status == 200:
            self.cookie = answer.headers["set-cookie"].split(";")[0]
            self.csrf = answer["csrf"]
        return answer


def first_password(server):
    """Of the user admin, whom a server has that was started without a terminal."""
    with open(server.data + "/admin-password", encoding="utf-8") as f:
        return f.read().strip()
