-- Version 1 of the store. Later versions are made by the migrations of src/sinks/store/file.rs. Times are milliseconds since 1970.

-- Text messages. `state` is one of src/sinks/sms/texts.rs, `channel` the way by which a message leaves (src/sinks/sms/outlets.rs). `call` is the
-- SID of the missed call, or of the message of the API. After `expires` the message is not sent; NULL: the limit of the configuration alone.
-- One that waits has a row in `outbox`.
CREATE TABLE sms (
    call TEXT PRIMARY KEY,
    recipient TEXT NOT NULL,
    sender TEXT NOT NULL,
    body TEXT NOT NULL,
    state INTEGER NOT NULL,
    created INTEGER NOT NULL,
    asked INTEGER,
    doubted INTEGER,
    sid TEXT,
    result TEXT,
    channel INTEGER NOT NULL DEFAULT 0,
    expires INTEGER
) STRICT;
CREATE INDEX sms_by_state ON sms (state, channel, created);
CREATE INDEX sms_by_recipient ON sms (recipient, created);
CREATE INDEX sms_by_age ON sms (created);
CREATE INDEX sms_counted ON sms (created) WHERE state IN (2, 3) OR result IN ('sent', 'unknown');
CREATE INDEX sms_counted_of ON sms (recipient, created) WHERE state IN (2, 3) OR result IN ('sent', 'unknown');

-- Recipients that want no text messages.
CREATE TABLE opted_out (recipient TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Number of calls that have counted with a limit, by day.
CREATE TABLE day_count (
    trunk TEXT NOT NULL,
    scope TEXT NOT NULL,
    day TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (trunk, scope, day)
) STRICT, WITHOUT ROWID;

-- Keys of the API, with the SHA-256 of their secrets.
CREATE TABLE api_key (
    sid TEXT PRIMARY KEY,
    name TEXT,
    hash BLOB NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Parameters of phone numbers that requests have set, by the number's SID.
CREATE TABLE number_override (
    number TEXT NOT NULL,
    parameter TEXT NOT NULL,
    value TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (number, parameter)
) STRICT, WITHOUT ROWID;

-- Messages of the API: `sender` is a number, `service` the SID of a messaging service, `provider` the SID that the service gave it.
CREATE TABLE message (
    sid TEXT PRIMARY KEY,
    direction INTEGER NOT NULL,
    sender TEXT,
    service TEXT,
    recipient TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    error INTEGER,
    callback TEXT,
    provider TEXT,
    created INTEGER NOT NULL,
    sent INTEGER,
    updated INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_age ON message (created, sid);
CREATE INDEX message_by_recipient ON message (recipient, created);
CREATE INDEX message_by_provider ON message (provider) WHERE provider IS NOT NULL;

-- States of messages for their receivers, or for the `url` of a reply. A row leaves when it is made a callback.
CREATE TABLE message_report (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message TEXT NOT NULL,
    status TEXT NOT NULL,
    error INTEGER,
    created INTEGER NOT NULL,
    url TEXT,
    is_get INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Deliveries that wait for their receivers, by kind (src/sinks/outbox/mod.rs). `key` names one, and is the same in every attempt; those of
-- one `line` are sent one after the other, by `created` in microseconds since 1970. `host` has a turn among hosts, `place` among those of a
-- host; `share` is the party that it is for. `due` is the time of the next attempt; `given_up` that of the last one, of a row that is kept.
CREATE TABLE outbox (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    line TEXT NOT NULL,
    host TEXT NOT NULL,
    place TEXT NOT NULL,
    share TEXT NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    given_up INTEGER,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX outbox_given_up ON outbox (kind, place) WHERE given_up IS NOT NULL;

-- Calls for the lists of the API, each with its call record: `started` as in the record, `ended` is a time.
CREATE TABLE call (
    sid TEXT PRIMARY KEY,
    started TEXT NOT NULL,
    ended INTEGER NOT NULL,
    caller TEXT NOT NULL,
    called TEXT NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE INDEX call_by_start ON call (started, sid, ended, caller, called);
CREATE INDEX call_by_end ON call (ended);

-- Calls of the parties that they have called.
CREATE TABLE call_party (sid TEXT PRIMARY KEY, call TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX call_party_by_call ON call_party (call);

-- Calls that a request has removed, with records that may still be under way.
CREATE TABLE call_removed (sid TEXT PRIMARY KEY, removed INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- Recordings of calls. `path` is below `directory`; both are NULL once the file is deleted. `state` is one of src/sinks/recordings/index.rs,
-- `sha256` is of the file as it is stored. `track` is `inbound`, `outbound` or `both`; `receiver` and `transcription` are JSON of
-- RecordingReceiver and TranscriptionRequest (crates/resources/src/recordings/mod.rs); `error_code` is Twilio's code of a recording without
-- audio. `mailbox` is the name of the mailbox that has taken the message, `caller` and `called` are its numbers; `heard` is the time when the
-- message was heard first: NULL of one that is new, and of a recording that is no message.
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
    error TEXT,
    track TEXT NOT NULL DEFAULT 'both',
    receiver TEXT,
    error_code INTEGER,
    mailbox TEXT,
    caller TEXT,
    called TEXT,
    transcription TEXT,
    heard INTEGER
) STRICT;
CREATE INDEX recording_by_start ON recording (started, sid);
CREATE INDEX recording_by_call ON recording (call, started, sid);
CREATE INDEX recording_by_conference ON recording (conference, started, sid) WHERE conference IS NOT NULL;
CREATE INDEX recording_by_state ON recording (state, started);
CREATE INDEX recording_by_mailbox ON recording (mailbox, started, sid) WHERE mailbox IS NOT NULL;

-- Transcriptions of recordings. `state` is one of src/sinks/recordings/transcription/table.rs. `text` is an age file where
-- `is_encrypted`, else UTF-8. `asked` is JSON of TranscriptionRequest. One in progress has a row in `outbox`.
CREATE TABLE transcription (
    sid TEXT PRIMARY KEY,
    recording TEXT NOT NULL,
    call TEXT NOT NULL,
    state TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL,
    text BLOB,
    is_encrypted INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    asked TEXT
) STRICT;
CREATE INDEX transcription_by_start ON transcription (created, sid);
CREATE INDEX transcription_by_recording ON transcription (recording, created, sid);

-- Conferences that are over. `reason` is one of crates/conference/src/room/callback.rs, `call` the SID of the call that ended it by
-- leaving.
CREATE TABLE conference (
    sid TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    began INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    reason TEXT NOT NULL,
    call TEXT
) STRICT;
CREATE INDEX conference_by_end ON conference (ended);

-- The date by which retention periods are judged: one row. `boot` is the kernel's boot id; `uptime` milliseconds since that boot, suspended
-- time included; `hold` the milliseconds for which nothing is deleted.
CREATE TABLE retention_clock (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    boot TEXT NOT NULL,
    uptime INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    age INTEGER NOT NULL,
    hold INTEGER NOT NULL
) STRICT;

-- Cookies of conversations, which webhooks of messages have set. `set_at` is the time when one was set last; `jar` a JSON list of cookies, with
-- values that are secrets.
CREATE TABLE conversation_jar (
    sender TEXT NOT NULL,
    number TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    jar TEXT NOT NULL,
    PRIMARY KEY (sender, number)
) STRICT;
CREATE INDEX conversation_jar_by_time ON conversation_jar (set_at);
