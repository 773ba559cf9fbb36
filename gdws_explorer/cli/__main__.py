"""Entry point of `python -m gdws_explorer.cli`."""

import sys

from gdws_explorer.cli import main

sys.exit(main())
