"""How students' test scores differ by group, how sure we can be, and what score to expect."""
__version__ = "0.1.0"

import lazy_loader

# The public names stand in __init__.pyi; each module is imported when a name of it is first used.
_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# What only the dashboard and notebooks need is not installed by `pip install studperf` alone: the extra that brings it.
_EXTRAS = dict.fromkeys(("ipywidgets", "jupyter_client", "jupyter_server", "tornado", "traitlets", "voila"), "dashboard") | {
    "nbclient": "lab", "nbformat": "lab"}


def with_remedy(error):
    """Return the error for a missing package, with the command that installs it if it belongs to an extra."""
    package = (error.name or "").partition(".")[0]
    if package not in _EXTRAS:
        return error
    return ModuleNotFoundError(f'{package} is not installed; install it with: pip install "studperf[{_EXTRAS[package]}]"', name=package)


def __getattr__(name):
    try:
        return _public(name)
    except ModuleNotFoundError as error:
        raise with_remedy(error) from None
