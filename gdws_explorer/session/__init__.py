"""The explorer without a browser: one network, its plan, records and jobs."""
