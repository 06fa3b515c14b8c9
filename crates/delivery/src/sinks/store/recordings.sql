-- Version 5 of the store: recordings of calls.

-- `path` is below `directory`; both are NULL once the file is deleted. `state` is one of src/sinks/recordings/index.rs, times are
-- milliseconds since 1970, `sha256` is of the file as it is stored.
CREATE TABLE recording (
    sid TEXT PRIMARY KEY,
    call TEXT NOT NULL,
    conference TEXT,
    source TEXT NOT NULL,
    channels INTEGER NOT NULL,
    state TEXT NOT NULL,
    directory TEXT,
    path TEXT,
    is_opus INTEGER NOT NULL,
    is_encrypted INTEGER NOT NULL,
    started INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT,
    gaps INTEGER NOT NULL DEFAULT 0,
    lost_milliseconds INTEGER NOT NULL DEFAULT 0,
    error TEXT
) STRICT;
CREATE INDEX recording_by_start ON recording (started, sid);
CREATE INDEX recording_by_call ON recording (call, started, sid);
CREATE INDEX recording_by_conference ON recording (conference, started, sid) WHERE conference IS NOT NULL;
CREATE INDEX recording_by_state ON recording (state, started);
