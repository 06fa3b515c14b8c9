-- Version 8 of the store: transcriptions of recordings.

-- `transcription` is JSON of TranscriptionRequest (crates/resources/src/recordings/mod.rs), for a recording that asks for one.
ALTER TABLE recording ADD COLUMN transcription TEXT;

-- `state` is one of src/sinks/recordings/transcription/table.rs, times are milliseconds since 1970. `text` is an age file where
-- `is_encrypted`, else UTF-8. `due` is the time of the next request. `asked` is JSON of TranscriptionRequest.
CREATE TABLE transcription (
    sid TEXT PRIMARY KEY,
    recording TEXT NOT NULL,
    call TEXT NOT NULL,
    state TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL,
    text BLOB,
    is_encrypted INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    asked TEXT
) STRICT;
CREATE INDEX transcription_by_start ON transcription (created, sid);
CREATE INDEX transcription_by_recording ON transcription (recording, created, sid);
CREATE INDEX transcription_by_due ON transcription (due) WHERE state = 'in-progress';
