-- Version 10 of the store: messages of mailboxes that were heard.

-- `heard`: when a message of a mailbox was heard first, in milliseconds since 1970; NULL: it is new, or the recording is no message.
ALTER TABLE recording ADD COLUMN heard INTEGER;
