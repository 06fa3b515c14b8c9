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

-- Way by which a text of the queue leaves: src/sinks/sms/outlets.rs. A message of the API has its SID in `call`.
ALTER TABLE sms ADD COLUMN channel INTEGER NOT NULL DEFAULT 0;

-- Messages of the API: `sender` is a number, `service` the SID of a messaging service, `provider` the SID that the service gave it.
CREATE TABLE message (
    sid TEXT PRIMARY KEY,
    direction INTEGER NOT NULL,
    sender TEXT,
    service TEXT,
    recipient TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    error INTEGER,
    callback TEXT,
    provider TEXT,
    created INTEGER NOT NULL,
    sent INTEGER,
    updated INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_age ON message (created, sid);
CREATE INDEX message_by_recipient ON message (recipient, created);
CREATE INDEX message_by_provider ON message (provider) WHERE provider IS NOT NULL;

-- States of messages that their receivers, or the `url` of a reply, are still to hear of.
CREATE TABLE message_report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL,
    status TEXT NOT NULL,
    error INTEGER,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    url TEXT,
    is_get INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX message_report_by_message ON message_report (message, id);
CREATE INDEX message_report_by_due ON message_report (due);

-- Messages to the edge whose webhooks are still to be requested.
CREATE TABLE message_inbound (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL,
    sender TEXT,
    opt_out TEXT
) STRICT;
CREATE INDEX message_inbound_by_sender ON message_inbound (sender, id);
