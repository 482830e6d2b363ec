"""Writes dirty.ndjson, one fault a line, and dirty.md, which says what each line must become. Standard library only.

    python3 data-samples/make_dirty.py

Both come from the one list below, so they cannot disagree. Every secret and every person here is made up.
"""

from pathlib import Path

A, D, R = "accepted", "duplicate", "rejected"
TS = b'"ts":"2026-10-05T09:00:00Z"'


def line(rest, ts=TS):
    return b"{" + ts + b"," + rest + b"}"


def batch(*events):
    return b'{"repo":"acme/api","branch":"fix/login","pr":7,"developer":"dev-1","events":[' + b",".join(events) + b"]}"


EDIT = b'"type":"edit","repo":"acme/api","pr":7,"payload":{"file":"src/a.rs","lines_added":1}'
# Put together here so that scanners for real secrets have nothing to find in this file.
FAKE_GITHUB = b"ghp" + b"_FAKE0123456789FAKE0123456789FAKE0123"
FAKE_AWS = b"AKIA" + b"FAKEFAKEFAKE0000"
FAKE_JWT = b"eyJ" + b"FAKEFAKEFAKE.FAKEFAKEFAKE.FAKE"

# (bytes of the line, what its events must become in order, the reason or what to look at)
LINES = [
    (line(EDIT), [A], "a clean event, for the duplicates below"),
    # --- the same event again, written otherwise
    (line(EDIT), [D], "the same bytes"),
    (b'{"payload":{"lines_added":1,"file":"src/a.rs"},"pr":7,"repo":"acme/api","type":"edit",' + TS + b"}", [D],
     "other key order"),
    (line(EDIT.replace(b":1}", b":1.0}")), [D], "1.0 for 1"),
    (line(EDIT, b'"ts":"2026-10-05T11:00:00+02:00"'), [D], "the same moment in another offset"),
    (line(EDIT, b'"ts":"2026-10-05T09:00:00.000000Z"'), [D], "the same moment with microseconds"),
    (line(EDIT.replace(b'"pr":7', b'"pr":"acme/api#7","branch":null')), [D], "pull request in full, null for absent"),
    (b"  " + line(EDIT) + b"  \r", [D], "blanks around, carriage return at the end"),
    (line(EDIT.replace(b":1}", b":2}")), [A], "one changed field makes a new event"),
    (b"", [], "an empty line is nothing"),
    (b" \t ", [], "a blank line is nothing"),
    # --- not JSON, or no object
    (b'{"ts":"2026-10-05T09:00:01Z","type":"edit","payload":{"file":"src/b', [R], "not_json: cut off"),
    (b"Traceback (most recent call last):", [R], "not_json: text between events"),
    (line(EDIT) + b"," , [R], "not_json: trailing comma"),
    (line(EDIT) + line(EDIT), [D, D], "two objects back to back are two events"),
    (line(b"'type':'edit'"), [R], "not_json: single quotes"),
    (line(b'"type":"usage","payload":{"interval_s":NaN}'), [R], "not_json: NaN"),
    (b"\x00" * 24, [R], "encoding: NUL bytes, as a file system leaves them after a crash"),
    (line(b'"type":"annotation","payload":{"note":"a\x00b"}'), [R], "encoding: a raw NUL in a string"),
    (line(b'"type":"annotation","payload":{"note":"caf\xe9"}'), [R], "encoding: Latin-1, not UTF-8"),
    (line(b'"type":"annotation","payload":{"note":"\xed\xa0\x80"}'), [R], "encoding: half a surrogate pair"),
    (b"[1,2,3]", [R, R, R], "not_an_object: each entry of a list counts"),
    (b'"edit"', [R], "not_an_object"),
    (b"null", [R], "not_an_object"),
    # --- when and what
    (b'{"type":"edit","payload":{"file":"src/a.rs"}}', [R], "timestamp: none"),
    (line(EDIT, b'"ts":null'), [R], "timestamp: null"),
    (line(EDIT, b'"ts":1759654800'), [R], "timestamp: a number"),
    (line(EDIT, b'"ts":"yesterday"'), [R], "timestamp: words"),
    (line(EDIT, b'"ts":"2026-10-05T09:00:00"'), [R], "timestamp: no offset"),
    (line(EDIT, b'"ts":"2026-02-30T09:00:00Z"'), [R], "timestamp: no such day"),
    (line(EDIT, b'"ts":"0000-01-01T00:00:00Z"'), [R], "timestamp: year 0"),
    (line(EDIT, b'"ts":"1969-12-31T23:59:59Z"'), [R], "timestamp: before 1970"),
    (line(EDIT, b'"ts":"2200-01-01T00:00:00Z"'), [R], "timestamp: 2200 is too late"),
    (line(EDIT, b'"ts":"9999-12-31T23:59:59Z"'), [R], "timestamp: year 9999"),
    (line(EDIT, b'"ts":"2199-12-31T23:59:59Z"'), [A], "later than now: kept, flagged by `check`, left out of training"),
    (line(b'"payload":{"file":"src/a.rs"}'), [R], "type: none"),
    (line(b'"type":7,"payload":{}'), [R], "type: a number"),
    (line(b'"type":"","payload":{}'), [R], "type: empty"),
    # --- required fields
    (line(b'"type":"edit","payload":{"lines_added":3}'), [R], "missing_field: file"),
    (line(b'"type":"edit"'), [R], "missing_field: file, no payload at all"),
    (line(b'"type":"test","payload":{"command":"pytest -q","exit_code":1}'), [R], "missing_field: duration_ms"),
    (line(b'"type":"ci_run","payload":{"duration_ms":1000}'), [R], "missing_field: run_id"),
    (line(b'"type":"usage","payload":{"interval_s":null,"cpu_cores":0.5}'), [R], "missing_field: interval_s is null"),
    (line(b'"type":"kpi","payload":{"metric":"lead_time_hours"}'), [R], "missing_field: value"),
    # --- wrong types
    (line(b'"type":"edit","payload":["src/a.rs"]'), [R], "field_type: payload"),
    (line(b'"type":"edit","payload":{"file":42}'), [R], "field_type: file"),
    (line(b'"type":"usage","payload":{"interval_s":"600"}'), [R], "field_type: interval_s, a number in a string"),
    (line(b'"type":"usage","payload":{"interval_s":600,"memory_bytes":-1}'), [R], "field_type: memory_bytes, negative"),
    (line(b'"type":"usage","payload":{"interval_s":600,"memory_bytes":1.5}'), [R], "field_type: memory_bytes, half a byte"),
    (line(b'"type":"command","payload":{"command":"make","exit_code":0,"duration_ms":-5}'), [R],
     "field_type: duration_ms, negative"),
    (line(b'"type":"command","payload":{"command":"make","exit_code":"0","duration_ms":5}'), [R],
     "field_type: exit_code, a number in a string"),
    (line(b'"type":"command","payload":{"command":"make","exit_code":0,"duration_ms":5,"oom_killed":"no"}'), [R],
     "field_type: oom_killed"),
    (line(b'"type":"edit","repo":["acme/api"],"payload":{"file":"src/a.rs"}'), [R], "field_type: repo"),
    (line(b'"type":"command","payload":{"command":"make","exit_code":-11.0,"duration_ms":5.0}'), [A],
     "whole numbers may be written 5.0; an exit code may be negative"),
    (line(b'"type":"ci_run","payload":{"run_id":900001,"duration_ms":1000}'), [A], "an identifier may be a number"),
    # --- unknown things are kept
    (line(b'"type":"coffee_break","payload":{"cups":2,"kind":["filter"]}'), [A], "unknown type, kept as JSON"),
    (line(b'"type":"edit","colour":"blue","payload":{"file":"src/c.rs","mood":{"level":3}}'), [A],
     "unknown fields, outside and inside, kept as JSON"),
    (line(b'"type":"annotation","payload":{"note":"a\\u0000b \\ud83d\\ude80 \\u00e9"}'), [A],
     "escaped NUL, emoji and accent are text like any other"),
    (line(b'"type":"edit","pr":7,"payload":{"file":"src/d.rs"}'), [A],
     "a pull request without its repository: kept in the context, linked to nothing"),
    # --- batches
    (batch(b'{"ts":"2026-10-05T10:00:00Z","type":"edit","payload":{"file":"src/e.rs"}}',
           b'{"ts":"2026-10-05T10:00:30Z","type":"edit","payload":{"lines_added":4}}',
           b'{"ts":"2026-10-05T10:01:00Z","type":"annotation","payload":{"note":"done"}}'),
     [A, R, A], "missing_field: file, of the second event only"),
    (batch(b'"not an event"', b'{"ts":"2026-10-05T10:00:00Z","type":"edit","payload":{"file":"src/e.rs"}}'),
     [R, D], "not_an_object, then an event of the batch above again"),
    (batch(), [], "a batch without events holds none"),
    # --- what must not be stored as it stands; the word FAKE must not be found in any column of any table
    (line(b'"type":"command","payload":{"command":"curl -H \'Authorization: Bearer FAKE-bearer-0123456789\' '
          b'https://api.invalid","exit_code":0,"duration_ms":120}'), [A], "a bearer token is masked"),
    (line(b'"type":"command","payload":{"command":"git push https://FAKEname:FAKEpass@git.invalid/acme/api",'
          b'"exit_code":0,"duration_ms":900}'), [A], "a login in an address is masked"),
    (line(b'"type":"edit","payload":{"file":"/home/FAKEname/acme/api/src/a.rs","diff_snippet":"+token = \\"' + FAKE_GITHUB
          + b'\\""}'), [A], "a home folder and a token are masked"),
    (line(b'"type":"annotation","payload":{"note":"key ' + FAKE_AWS + b', jwt ' + FAKE_JWT
          + b', password=FAKEpassword1"}'), [A], "three more kinds of secrets are masked"),
    (line(b'"type":"annotation","payload":{"note":"ask @FAKE-person or FAKE.person@mail.invalid, C:\\\\Users\\\\FAKEname\\\\x"}'),
     [A], "a mention and an e-mail address become keyed hashes, a Windows home is masked"),
    (line(b'"type":"brand_new","payload":{"author":{"login":"FAKE-author","id":5},"reviewer":["FAKE-one","FAKE-two"]}'),
     [A], "fields that name people, in a type nobody knows"),
    (line(b'"type":"usage","developer":"FAKE-dev","payload":{"interval_s":"60","note":"FAKE.person@mail.invalid"}'), [R],
     "field_type: interval_s; the kept text names nobody either"),
    (b'{"ts":"2026-10-05T09:00:00Z","developer":"FAKE-dev","note":"password=FAKEpassword2 FAKE.person@mail.invalid', [R],
     "not_json: and still no secret and nobody in the kept text"),
    (line(b'"type":"annotation","payload":{"note":"the last line, without a line end"}'), [A], "no line end"),
]


def main():
    folder = Path(__file__).parent
    (folder / "dirty.ndjson").write_bytes(b"\n".join(bytes_ for bytes_, _, _ in LINES))
    count = {what: sum(events.count(what) for _, events, _ in LINES) for what in (A, D, R)}
    reasons = {}
    rows = []
    for number, (_, events, why) in enumerate(LINES, 1):
        rows.append(f"| {number} | {', '.join(events) or 'not read'} | {why} |")
        if R in events:
            code = why.split(":")[0].split(",")[0]
            reasons[code] = reasons.get(code, 0) + events.count(R)
    text = [
        "# What each line of dirty.ndjson must become",
        "",
        "Written by `make_dirty.py` together with the file itself. Ingested alone into an empty lake:",
        "",
        f"**read {sum(count.values())} = accepted {count[A]} + duplicates {count[D]} + rejected {count[R]}**",
        "",
        "Rejects by reason: " + ", ".join(f"{code} {n}" for code, n in sorted(reasons.items())) + ".",
        "The counts are of events, not lines: a batch counts once per event, a blank line not at all.",
        "",
        "After it, the word FAKE must not be found in any column of any table: it is part of every made-up secret,",
        "home folder and person here. (Searching the files would prove nothing, they are compressed.)",
        "",
        "| line | becomes | why |",
        "|---|---|---|",
        *rows,
        "",
    ]
    (folder / "dirty.md").write_text("\n".join(text))
    print(f"dirty.ndjson: {len(LINES)} lines, {count}, {reasons}")


if __name__ == "__main__":
    main()
