"""``python -m ccdl``."""

import sys

from .cli import main

sys.exit(main())
