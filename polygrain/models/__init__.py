"""Networks and encoders; importing the package registers those that come with it."""

from polygrain.models import boosted as boosted
from polygrain.models import linear as linear
from polygrain.models import mixed as mixed
from polygrain.models import recurrent as recurrent
from polygrain.models import residual as residual
from polygrain.models import single as single
from polygrain.models import tcn as tcn
from polygrain.models import transformer as transformer
