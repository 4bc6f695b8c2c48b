"""Output ensembles; importing the package registers those that come with it."""

from polygrain.ensembles import attention as attention
from polygrain.ensembles import contrastive as contrastive
from polygrain.ensembles import mean as mean
from polygrain.ensembles import tree as tree
