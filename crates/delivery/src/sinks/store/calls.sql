-- Version 3 of the store: callbacks of applications, and calls that have ended.

-- Callbacks that no receiver has taken yet. `token` is their idempotency token, `created` microseconds since 1970: those about the same
-- resource are sent in that order. `parameters` is a JSON array of names and values.
CREATE TABLE callback (
    token TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    call TEXT NOT NULL,
    about TEXT NOT NULL,
    app TEXT NOT NULL,
    allow_private INTEGER NOT NULL,
    url TEXT NOT NULL,
    method TEXT NOT NULL,
    purpose TEXT NOT NULL,
    parameters TEXT NOT NULL
) STRICT;

-- Calls for the lists of the API, each with its call record: `started` as in the record, `ended` milliseconds since 1970.
CREATE TABLE call (
    sid TEXT PRIMARY KEY,
    started TEXT NOT NULL,
    ended INTEGER NOT NULL,
    caller TEXT NOT NULL,
    called TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX call_by_start ON call (started, sid, ended, caller, called);
CREATE INDEX call_by_end ON call (ended);

-- Calls of the parties that they have called.
CREATE TABLE call_party (sid TEXT PRIMARY KEY, call TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX call_party_by_call ON call_party (call);
