-- Version 1 of the store.

-- Text messages of calls that nobody answered: `state` is one of src/sinks/sms/texts.rs, times are milliseconds since 1970.
CREATE TABLE sms (
    call TEXT PRIMARY KEY,
    recipient TEXT NOT NULL,
    sender TEXT NOT NULL,
    body TEXT NOT NULL,
    state INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    asked INTEGER,
    doubted INTEGER,
    sid TEXT,
    result TEXT
) STRICT;
CREATE INDEX sms_by_state ON sms (state, created);
CREATE INDEX sms_by_due ON sms (due, created) WHERE state IN (1, 3);
CREATE INDEX sms_by_recipient ON sms (recipient, created);
CREATE INDEX sms_by_age ON sms (created);
CREATE INDEX sms_under_way ON sms (recipient) WHERE state IN (2, 3);
CREATE INDEX sms_counted ON sms (created) WHERE state IN (2, 3) OR result IN ('sent', 'unknown');
CREATE INDEX sms_counted_of ON sms (recipient, created) WHERE state IN (2, 3) OR result IN ('sent', 'unknown');

-- Who wants no text messages.
CREATE TABLE opted_out (recipient TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Call records that the URL has not taken yet, in the order in which they are sent.
CREATE TABLE call_record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sid TEXT NOT NULL UNIQUE,
    json BLOB NOT NULL
) STRICT;

-- How many calls have counted with a limit by the day.
CREATE TABLE day_count (
    trunk TEXT NOT NULL,
    scope TEXT NOT NULL,
    day TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (trunk, scope, day)
) STRICT, WITHOUT ROWID;

-- Files of earlier versions that have been taken over and are about to be removed.
CREATE TABLE taken_over (path TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
