"""CSTAR-style training: low rank and robustness trained together, by ADMM."""
