"""Records on disk: Optuna studies in memory, SQLite or PostgreSQL."""
