"""vmap's machinery: values of all samples at once (core) and the rules calls on them follow, by family."""

from __future__ import annotations

from . import core, elementwise, indexing, layers, products, reductions, shapes

core.RULES.update(elementwise.RULES)
core.RULES.update(reductions.RULES)
core.RULES.update(shapes.RULES)
core.RULES.update(indexing.RULES)
core.RULES.update(products.RULES)
core.RULES.update(layers.RULES)
