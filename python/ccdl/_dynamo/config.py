"""Settings of a tracer that ccdl does not have: any name may be set, and nothing reads it."""

verbose = False
suppress_errors = False
cache_size_limit = 8
recompile_limit = 8
automatic_dynamic_shapes = None
assume_static_by_default = True
capture_scalar_outputs = False
optimize_ddp = False
