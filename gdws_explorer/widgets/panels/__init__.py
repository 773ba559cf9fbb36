"""The panels below the mixing desk, one class per file; each is created when it is first opened.

A panel has `title`, `tip` and `box`, and follows the session's events in `refresh(event)`.
"""
