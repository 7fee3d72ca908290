"""Mixed precision: matrix products and convolutions in a half format, the rest where it is safe.

``autocast`` chooses the dtype op by op, ``GradScaler`` keeps small float16 gradients from vanishing.
"""

from .autocast_mode import autocast, custom_bwd, custom_fwd, is_autocast_available
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]
