-- Expands: what version 1 writes stays valid.
ALTER TABLE prices ADD COLUMN source text NOT NULL DEFAULT 'unknown';
