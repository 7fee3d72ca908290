"""Another path to :mod:`ccdl.utils.data.collate`."""

import re

from ..collate import default_collate, default_convert

__all__ = ["default_collate", "default_convert", "np_str_obj_array_pattern"]

np_str_obj_array_pattern = re.compile(r"[SaUO]")  # letters of NumPy's dtypes that no tensor has
