-- Version 2 of the store: what the Twilio-compatible API keeps.

-- Keys, with the SHA-256 of their secrets; times are milliseconds since 1970.
CREATE TABLE api_key (
    sid TEXT PRIMARY KEY,
    name TEXT,
    hash BLOB NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What requests have set of phone numbers, by the number's SID.
CREATE TABLE number_override (
    number TEXT NOT NULL,
    parameter TEXT NOT NULL,
    value TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (number, parameter)
) STRICT, WITHOUT ROWID;
