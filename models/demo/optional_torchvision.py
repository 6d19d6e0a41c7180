"""Imported before transformers and open_clip, which both import torchvision when it is installed.

Wheels of torch and torchvision from different indexes do not always fit each other, and then
the import fails over operators (`torchvision::nms`) that nothing here uses. In that case their
registration is skipped; where torchvision works this module changes nothing.
"""

import sys
import types

try:
    import torchvision  # noqa: F401
except (ImportError, RuntimeError, OSError):
    for name in [m for m in sys.modules if m.startswith("torchvision")]:
        del sys.modules[name]
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
