-- Version 4 of the store: calls that a request has removed, in milliseconds since 1970. Their records may still be under way.
CREATE TABLE call_removed (sid TEXT PRIMARY KEY, removed INTEGER NOT NULL) STRICT, WITHOUT ROWID;
