"""What every room needs; nothing here knows of networks or plans."""
