"""Networks; importing the package registers those that come with it."""

from polygrain.models import single as single
