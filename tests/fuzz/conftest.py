import sys
from pathlib import Path

# For generated_networks.py and its neighbours: there is no package of tests.
sys.path.insert(0, str(Path(__file__).parent))
