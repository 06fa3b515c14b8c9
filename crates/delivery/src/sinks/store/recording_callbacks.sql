-- Version 6 of the store: what recordings report, and to which receiver.

-- `track` is `inbound`, `outbound` or `both`; `receiver` is JSON of RecordingReceiver (crates/resources/src/recordings/mod.rs); `error_code` is
-- Twilio's code of a recording without audio.
ALTER TABLE recording ADD COLUMN track TEXT NOT NULL DEFAULT 'both';
ALTER TABLE recording ADD COLUMN receiver TEXT;
ALTER TABLE recording ADD COLUMN error_code INTEGER;
