-- Version 9 of the store: e-mail about messages in mailboxes.

-- One row for each message whose e-mail waits, or was given up (`is_failed`) within the last day. Times are milliseconds since 1970, `due` is
-- the time of the next attempt.
CREATE TABLE mail (
    recording TEXT PRIMARY KEY,
    mailbox TEXT NOT NULL,
    recipient TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    is_failed INTEGER NOT NULL DEFAULT 0,
    error TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_by_due ON mail (due) WHERE is_failed = 0;
CREATE INDEX mail_by_failure ON mail (updated) WHERE is_failed = 1;
