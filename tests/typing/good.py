"""What a typed program may say; checked with mypy --strict."""

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl import Tensor
from ccdl.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.second = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(F.relu(self.first(x)))
        return y


def train(model: Net, x: Tensor, y: Tensor) -> float:
    step = ccdl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = F.cross_entropy(model(x), y)
    step.zero_grad()
    loss.backward()
    step.step()
    return float(loss.item())


x: Tensor = ccdl.randn(8, 4)
a: Tensor = (x + 1) * 2 - x / 3
b: Tensor = x.sum(dim=1, keepdim=True)
c: bool = x.requires_grad
n: int = x.dim()
s: Tensor = x[0, 1:].exp()
m: Tensor = ccdl.cat([x, x], dim=0)
w: Tensor = ccdl.where(x > 0, x, ccdl.zeros_like(x))
loader = DataLoader(TensorDataset(x, ccdl.zeros(8, dtype=ccdl.int64)), batch_size=4)
train(Net(3), x, ccdl.zeros(8, dtype=ccdl.int64))
