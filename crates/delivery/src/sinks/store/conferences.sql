-- Version 11 of the store: conferences that are over.

-- Times are milliseconds since 1970; `reason` is one of crates/conference/src/room/callback.rs, `call` the SID of the call whose leaving
-- ended it.
CREATE TABLE conference (
    sid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    reason TEXT NOT NULL,
    call TEXT
) STRICT;
CREATE INDEX conference_by_end ON conference (ended);
