-- Version 4 of the store: calls that a request has removed; states of messages are callbacks.

-- Calls whose records may still be under way; `removed` in milliseconds since 1970.
CREATE TABLE call_removed (sid TEXT PRIMARY KEY, removed INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Rows leave when they are made callbacks.
DROP INDEX message_report_by_message;
DROP INDEX message_report_by_due;
ALTER TABLE message_report DROP COLUMN due;
ALTER TABLE message_report DROP COLUMN tries;
