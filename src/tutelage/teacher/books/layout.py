"""The tables of a ledger."""

VERSION = 3
"""Of the tables' layout, kept in the file's user_version."""

UPGRADES = {2: "ALTER TABLE calls ADD COLUMN kind TEXT NOT NULL DEFAULT 'feedback';"}
"""What makes an earlier version's tables this one's."""

LAYOUT = """
CREATE TABLE IF NOT EXISTS teachers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    identity TEXT NOT NULL UNIQUE    -- JSON: what decides its replies
);
CREATE TABLE IF NOT EXISTS prompts (
    id TEXT PRIMARY KEY,             -- the first half of its SHA-256
    prompt TEXT NOT NULL             -- JSON: a string, or a list of {role, content}
);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    teacher INTEGER NOT NULL REFERENCES teachers,
    round INTEGER NOT NULL,
    question TEXT NOT NULL,          -- the question's id
    mistake TEXT,                    -- JSON of the mistake shown, NULL without feedback
    prompt TEXT NOT NULL REFERENCES prompts,
    places TEXT NOT NULL,            -- JSON list: which of the request's samples it asks for
    road TEXT NOT NULL,
    batch TEXT,                      -- the batch API's id, or the mark of a batch that is being handed in
    keys TEXT,                       -- JSON list: of a batch's call in flight, the keys of the samples at `places`
    begun TEXT NOT NULL,             -- ISO 8601, UTC
    ended TEXT,                      -- NULL: in flight
    failure TEXT,                    -- why nothing came; NULL for an answer
    detail TEXT,                     -- the same in words
    prompt_tokens INTEGER,           -- NULL: the teacher does not say
    cached_tokens INTEGER,
    completion_tokens INTEGER,
    cost INTEGER,                    -- in millionths of millionths of the prices' money; NULL: unknown
    charged_tokens INTEGER NOT NULL, -- what counts against the caps: the worst case where the true one is unknown
    charged_cost INTEGER NOT NULL,
    kind TEXT NOT NULL DEFAULT 'feedback' -- what it asks for: feedback, or a judgement of a rationale
);
CREATE INDEX IF NOT EXISTS calls_of_question ON calls (question, round);
CREATE INDEX IF NOT EXISTS failures_of_prompt ON calls (prompt) WHERE failure IS NOT NULL;
CREATE INDEX IF NOT EXISTS calls_in_flight ON calls (id) WHERE ended IS NULL;
CREATE TABLE IF NOT EXISTS samples (
    key TEXT PRIMARY KEY,            -- sample_keys, 64 hexadecimal digits
    call INTEGER NOT NULL REFERENCES calls,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL,              -- text, cut, refused, empty
    text TEXT,
    finish_reason TEXT NOT NULL,
    thinking TEXT
);
CREATE INDEX IF NOT EXISTS samples_of_call ON samples (call);
"""
