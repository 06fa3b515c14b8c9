-- Version 7 of the store: messages of mailboxes.

-- `mailbox` is the name of the mailbox that has taken the message, `caller` and `called` are its numbers.
ALTER TABLE recording ADD COLUMN mailbox TEXT;
ALTER TABLE recording ADD COLUMN caller TEXT;
ALTER TABLE recording ADD COLUMN called TEXT;
CREATE INDEX recording_by_mailbox ON recording (mailbox, started, sid) WHERE mailbox IS NOT NULL;
