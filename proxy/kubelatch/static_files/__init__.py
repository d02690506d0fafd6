"""Static files (``--www``): from a request below the prefix to a file's bytes.

It knows directories, links and types of content, and nothing of the API or of who may ask.
"""

from .serving import StaticFiles

__all__ = ["StaticFiles"]
