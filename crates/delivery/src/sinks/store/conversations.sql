-- Version 14 of the store: cookies of conversations, which webhooks of messages have set.

-- `set_at` is the time when one was set last, in milliseconds since 1970; `jar` a JSON list of cookies, whose values are secrets.
CREATE TABLE conversation_jar (
    sender TEXT NOT NULL,
    number TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    jar TEXT NOT NULL,
    PRIMARY KEY (sender, number)
) STRICT;
CREATE INDEX conversation_jar_by_time ON conversation_jar (set_at);
