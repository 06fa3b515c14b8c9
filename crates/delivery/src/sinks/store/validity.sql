-- Version 13 of the store: messages with a time limit of their own.

-- The time after which the text is not sent, in milliseconds since 1970; NULL: that of the configuration alone.
ALTER TABLE sms ADD COLUMN expires INTEGER;
