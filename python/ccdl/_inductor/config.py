"""Settings of a code generator that ccdl does not have: any name may be set, and nothing reads it."""

from types import SimpleNamespace

coordinate_descent_tuning = False
fx_graph_cache = False
epilogue_fusion = True
max_autotune = False
conv_1x1_as_mm = False
triton = SimpleNamespace(unique_kernel_names=True, cudagraphs=False, cudagraph_trees=True)
cpp = SimpleNamespace(threads=-1, simdlen=None)
