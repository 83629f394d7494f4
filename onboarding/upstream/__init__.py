"""The adapter to the upstream's JSON API; the contract is docs/upstream.md. Must not import Django or the storage."""
