"""What mypy must refuse: the test compares its report with the lines marked `# error`."""

import ccdl
from ccdl import Tensor

x: Tensor = ccdl.ones(2, 3)
x.sum(dim="rows")  # error
x.reshape("2", "3")  # error
ccdl.exp()  # error
ccdl.cat(x, dim="0")  # error
n: int = x.exp()  # error
x.no_such_method()  # error
ccdl.no_such_function(x)  # error
ccdl.softmax(x, dim=1, nonsense=True)  # error
