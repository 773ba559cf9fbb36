"""The explorer in a notebook; no arithmetic in here."""
