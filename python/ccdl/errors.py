"""Exceptions that ccdl raises, each a subclass of the builtin that PyTorch raises there."""

from . import _C

__all__ = []
for _source in (getattr(_C, "errors", None), _C):
    for _name in dir(_source) if _source is not None else ():
        _item = getattr(_source, _name)
        if isinstance(_item, type) and issubclass(_item, BaseException) and not _name.startswith("_"):
            globals()[_name] = _item
            if _name not in __all__:
                __all__.append(_name)
del _source, _name, _item
