"""Static files (``--www``): from a request below the prefix to a file's bytes.

It knows directories, symbolic links and content types, but neither the API nor who may send
requests.
"""

from .serving import StaticFiles

__all__ = ["StaticFiles"]
