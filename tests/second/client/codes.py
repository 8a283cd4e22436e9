"""The result codes of protocol/satchel_rc.h by the numbers that they have on the wire, and how they are raised here."""

CODES = {
    1: "E_BUSY", 2: "E_IO", 3: "E_NETWORK", 4: "E_TIMEOUT", 5: "E_FULL", 6: "E_OVERLOAD", 7: "E_CLOSED", 8: "E_SUPERSEDED", 9: "E_PAUSED",
    20: "E_REVOKED", 21: "E_CERTIFICATE", 22: "E_EXPIRED", 23: "E_ENROL_CODE", 24: "E_ENROL_USED", 25: "E_VERSION", 26: "E_SCHEMA",
    27: "E_NOT_ENROLLED", 28: "E_PIN", 29: "E_READONLY", 30: "E_WIPED",
    40: "E_UNKNOWN_TABLE", 41: "E_UNKNOWN_COLUMN", 42: "E_TYPE", 43: "E_KEY_MISSING", 44: "E_KEY_TAKEN", 45: "E_ROW_MISSING",
    46: "E_NOT_NULL", 47: "E_CHECK", 48: "E_UNIQUE", 49: "E_FOREIGN_KEY", 50: "E_GUARD", 51: "E_SERVER_OWNED", 52: "E_APPEND_ONLY",
    53: "E_DEPENDS", 54: "E_RANGE", 55: "E_RESOLVED", 56: "E_TOO_LARGE", 57: "E_FORGOTTEN", 58: "E_SCOPE",
    70: "E_MALFORMED", 71: "E_ORDER", 72: "E_LIMIT", 74: "E_UTF8", 75: "E_NOT_DETERMINISTIC",
    110: "E_CORRUPT", 113: "E_NOMEM", 114: "E_NEWER_FILE", 115: "E_INTERNAL",
}
NUMBERS = {name: number for number, name in CODES.items()}


class Failure(Exception):
    """`code` is a name of satchel_rc.h; the text says more."""

    def __init__(self, code, text="", retry_after_ms=0):
        super().__init__(f"{code}: {text}" if text else code)
        self.code, self.text, self.retry_after_ms = code, text, retry_after_ms


def name_of(number):
    return CODES.get(number, f"code {number}")
