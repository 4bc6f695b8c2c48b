"""Sources; importing the package registers those that come with it."""

from polygrain.sources import files as files
from polygrain.sources import synthetic as synthetic
