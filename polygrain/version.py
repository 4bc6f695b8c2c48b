"""The package's version, apart from the front door, which imports everything."""

__version__ = "0.1.0"
