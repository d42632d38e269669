"""The library: who was it, and whence did it come? Pure, typed, and free of any platform."""

__version__ = "0.1.0"
