-- Version 12 of the store: the date by which retention periods are judged.

-- One row. `boot` is the kernel's boot id; `uptime` milliseconds since that boot, suspended time included; `wall` and `age` milliseconds
-- since 1970; `hold` the milliseconds for which nothing is deleted.
CREATE TABLE retention_clock (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    boot TEXT NOT NULL,
    uptime INTEGER NOT NULL,
    wall INTEGER NOT NULL,
    age INTEGER NOT NULL,
    hold INTEGER NOT NULL
) STRICT;
