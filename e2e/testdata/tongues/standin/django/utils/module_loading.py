import importlib


def import_string(path):
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (AttributeError, ValueError) as e:
        raise ImportError(path) from e
