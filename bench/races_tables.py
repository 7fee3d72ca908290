"""Races of small models on tables, graphs, words and in reinforcement learning: a step is dominated by small operations."""

from __future__ import annotations

import numpy as np

from racing import classifier, fill, inference, race, reals, stepping, whole


def logistic(batch: int):
    return lambda T, exact: classifier(T, T.nn.Linear(784, 10), (batch, 784), 10)


def mlp_norm(T, exact):
    nn = T.nn
    drop = 0.0 if exact else 0.5
    layers = []
    for a, b in ((784, 256), (256, 128)):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(drop)]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    return classifier(T, model, (64, 784), 10, T.optim.Adam(model.parameters(), lr=1e-3))


def by_optimizer(make, schedule=None):
    """An MLP of three layers by an optimizer, with a schedule of the learning rate."""

    def build(T, exact):
        nn = T.nn
        model = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, 8))
        optimizer = make(T.optim, model.parameters())
        step = classifier(T, model, (32, 64), 8, optimizer)
        if schedule is None:
            return step
        scheduler = schedule(T.optim.lr_scheduler, optimizer)

        def scheduled():
            loss = step()
            scheduler.step()
            return loss

        return scheduled

    return build


def autoencoder(T, exact):
    nn = T.nn
    sizes = (784, 256, 64, 16)
    layers = []
    for a, b in [*zip(sizes, sizes[1:]), *zip(sizes[:0:-1], sizes[-2::-1])]:
        layers += [nn.Linear(a, b), nn.ReLU()]
    model = fill(T, nn.Sequential(*layers[:-1], nn.Sigmoid()))
    x = reals(T, 64, 784, low=0.0)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: nn.functional.mse_loss(model(x), x))


def vae(T, exact):
    nn, F = T.nn, T.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.mean, self.logvar = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
            self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mean, logvar = self.mean(h), self.logvar(h)
            std = T.exp(0.5 * logvar)
            z = mean + std * (fixed if exact else T.randn_like(std))
            return T.sigmoid(self.fc4(F.relu(self.fc3(z)))), mean, logvar

    model, x, fixed = fill(T, VAE()), reals(T, 128, 784, low=0.0), reals(T, 128, 20, seed=3)

    def loss():
        y, mean, logvar = model(x)
        return F.binary_cross_entropy(y, x, reduction="sum") - 0.5 * T.sum(1 + logvar - mean.pow(2) - logvar.exp())

    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), loss)


def graph(T, nodes: int, edges: int):
    return whole(T, nodes, 2, edges, seed=5)


def gcn_dense(T, exact):
    """Two graph convolutions with a normalised dense adjacency matrix (Kipf and Welling)."""
    nn, F = T.nn, T.nn.functional
    n = 512
    a = (np.random.default_rng(4).random((n, n)) < 0.01).astype(np.float32)
    a = np.maximum(a, a.T) + np.eye(n, dtype=np.float32)
    d = a.sum(1) ** -0.5
    adjacency = T.from_numpy((a * d[:, None] * d).astype(np.float32))
    model = fill(T, nn.ModuleList([nn.Linear(128, 32), nn.Linear(32, 7)]))
    x, y, drop = reals(T, n, 128), whole(T, 7, n), 0.0 if exact else 0.5

    def loss():
        h = F.dropout(F.relu(adjacency @ model[0](x)), drop, training=True)
        return F.nll_loss(F.log_softmax(adjacency @ model[1](h), dim=1), y)

    return stepping(T.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4), loss)


def gcn_edges(T, exact):
    """Message passing over a list of edges: gather the sources, index_add to the targets, divide by the degrees."""
    nn, F = T.nn, T.nn.functional
    n = 1024
    source, target = graph(T, n, 8192)
    degree = T.zeros(n).index_add(0, target, T.ones(8192)).clamp(min=1).unsqueeze(1)
    model = fill(T, nn.ModuleList([nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 8)]))
    x, y = reals(T, n, 64), whole(T, 8, n)

    def loss():
        h = x
        for layer in model[:2]:
            m = layer(h)
            h = F.relu(T.zeros_like(m).index_add(0, target, m[source]) / degree)
        return F.cross_entropy(model[2](h), y)

    return stepping(T.optim.Adam(model.parameters(), lr=0.01), loss)


def gat(T, exact):
    """Attention over edges with a softmax by scatter_reduce and scatter_add (Velickovic et al.)."""
    nn, F = T.nn, T.nn.functional
    n, heads, width = 512, 4, 16
    source, target = graph(T, n, 4096)

    class GAT(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.out = nn.Linear(64, heads * width, bias=False), nn.Linear(heads * width, 5)
            self.left, self.right = (nn.Parameter(T.zeros(1, heads, width)) for _ in range(2))

        def forward(self, x):
            h = self.lin(x).view(n, heads, width)
            score = F.leaky_relu((h * self.left).sum(-1)[source] + (h * self.right).sum(-1)[target], 0.2)
            index = target.unsqueeze(1).expand(-1, heads)
            top = T.full((n, heads), -1e9).scatter_reduce(0, index, score.detach(), "amax")
            weight = T.exp(score - top[target])
            total = T.zeros(n, heads).scatter_add(0, index, weight)
            weight = weight / (total[target] + 1e-9)
            y = T.zeros(n, heads, width).index_add(0, target, h[source] * weight.unsqueeze(-1))
            return self.out(F.elu(y.reshape(n, heads * width)))

    model = fill(T, GAT())
    x, y = reals(T, n, 64), whole(T, 5, n)
    return stepping(T.optim.Adam(model.parameters(), lr=5e-3), lambda: F.cross_entropy(model(x), y))


def factorisation(T, exact):
    """Users and items with biases, ratings by the mean square error."""
    nn = T.nn

    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.users, self.items = nn.Embedding(2000, 32), nn.Embedding(3000, 32)
            self.user_bias, self.item_bias = nn.Embedding(2000, 1), nn.Embedding(3000, 1)

        def forward(self, u, i):
            return (self.users(u) * self.items(i)).sum(1) + self.user_bias(u).squeeze(1) + self.item_bias(i).squeeze(1)

    model = fill(T, Factors())
    users, items, stars = whole(T, 2000, 1024), whole(T, 3000, 1024, seed=3), reals(T, 1024)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: nn.functional.mse_loss(model(users, items), stars))


def skip_gram(T, exact):
    """word2vec with negative samples: embeddings, bmm, logsigmoid (Mikolov et al.)."""
    nn, F = T.nn, T.nn.functional
    inner, outer = nn.Embedding(10000, 100), nn.Embedding(10000, 100)
    fill(T, inner, outer)
    centre, around, others = whole(T, 10000, 256), whole(T, 10000, 256, seed=3), whole(T, 10000, 256, 5, seed=4)

    def loss():
        v = inner(centre).unsqueeze(2)
        good = F.logsigmoid(T.bmm(outer(around).unsqueeze(1), v)).squeeze()
        bad = F.logsigmoid(-T.bmm(outer(others), v)).squeeze(2).sum(1)
        return -(good + bad).mean()

    return stepping(T.optim.SGD([*inner.parameters(), *outer.parameters()], lr=0.1), loss)


def wide_and_deep(T, exact):
    """Click prediction: an EmbeddingBag for the wide part, concatenated embeddings for the deep one."""
    nn = T.nn

    class Clicks(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.EmbeddingBag(5000, 1, mode="sum")
            self.fields = nn.ModuleList([nn.Embedding(500, 16) for _ in range(8)])
            self.deep = nn.Sequential(nn.Linear(8 * 16 + 13, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, bags, fields, numbers):
            x = T.cat([embed(fields[:, i]) for i, embed in enumerate(self.fields)] + [numbers], dim=1)
            return (self.wide(bags) + self.deep(x)).squeeze(1)

    model = fill(T, Clicks())
    bags, fields, numbers = whole(T, 5000, 256, 10), whole(T, 500, 256, 8, seed=3), reals(T, 256, 13)
    y = whole(T, 2, 256, seed=4).float()
    loss = nn.BCEWithLogitsLoss()
    return stepping(T.optim.Adagrad(model.parameters(), lr=0.01), lambda: loss(model(bags, fields, numbers), y))


def dqn(T, exact):
    """Q-learning with a target network: gather, max, smooth_l1, clip_grad_value_."""
    nn, F = T.nn, T.nn.functional
    make = lambda: nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    policy, target = make(), make()
    fill(T, policy)
    target.load_state_dict(policy.state_dict())
    s, s2, reward = reals(T, 128, 4), reals(T, 128, 4, seed=3), reals(T, 128, seed=4)
    action, alive = whole(T, 2, 128, 1), whole(T, 2, 128, seed=5).float()

    def loss():
        q = policy(s).gather(1, action)
        with T.no_grad():
            best = target(s2).max(1).values
        return F.smooth_l1_loss(q, (reward + 0.99 * alive * best).unsqueeze(1))

    def after():
        nn.utils.clip_grad_value_(policy.parameters(), 100)
        for a, b in zip(target.parameters(), policy.parameters()):
            a.data.mul_(0.995).add_(b.data, alpha=0.005)

    return stepping(T.optim.AdamW(policy.parameters(), lr=1e-4, amsgrad=True), loss, after)


def actor_critic(T, exact):
    """One update from an episode of 32 single states, as in the classical example: stack, Categorical, smooth_l1."""
    nn, F = T.nn, T.nn.functional

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.affine, self.action, self.value = nn.Linear(4, 128), nn.Linear(128, 2), nn.Linear(128, 1)

        def forward(self, x):
            x = F.relu(self.affine(x))
            return F.softmax(self.action(x), dim=-1), self.value(x)

    model, states = fill(T, Policy()), reals(T, 32, 4)
    actions = [T.tensor(i % 2) for i in range(32)]
    returns = [float(r) for r in np.random.default_rng(6).standard_normal(32)]

    def loss():
        policies, values = [], []
        for state, action, r in zip(states, actions, returns):
            probabilities, value = model(state)
            chosen = T.distributions.Categorical(probabilities)
            policies.append(-chosen.log_prob(action) * (r - value.item()))
            values.append(F.smooth_l1_loss(value, T.tensor([r])))
        return T.stack(policies).sum() + T.stack(values).sum()

    return stepping(T.optim.Adam(model.parameters(), lr=3e-2), loss)


def ppo(T, exact):
    """The clipped surrogate with entropy and a value loss over a minibatch of 64."""
    nn = T.nn
    make = lambda out: nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, out))
    actor, critic = make(4), make(1)
    fill(T, actor, critic)
    x, action, old = reals(T, 64, 8), whole(T, 4, 64), reals(T, 64, seed=3) * 0.1 - 1.4
    advantage, returns = reals(T, 64, seed=4), reals(T, 64, seed=5)
    parameters = [*actor.parameters(), *critic.parameters()]

    def loss():
        policy = T.distributions.Categorical(logits=actor(x))
        ratio = (policy.log_prob(action) - old).exp()
        a = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        surrogate = T.max(-a * ratio, -a * T.clamp(ratio, 0.8, 1.2)).mean()
        value = 0.5 * ((critic(x).view(-1) - returns) ** 2).mean()
        return surrogate - 0.01 * policy.entropy().mean() + 0.5 * value

    return stepping(T.optim.Adam(parameters, lr=3e-4, eps=1e-5), loss, lambda: nn.utils.clip_grad_norm_(parameters, 0.5))


def equation(T, exact):
    """A network that solves u'' = -sin(x): two derivatives by autograd.grad with create_graph."""
    nn = T.nn
    model = fill(T, nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)))
    x = reals(T, 256, 1).requires_grad_()

    def loss():
        u = model(x)
        du = T.autograd.grad(u, x, T.ones_like(u), create_graph=True)[0]
        d2u = T.autograd.grad(du, x, T.ones_like(du), create_graph=True)[0]
        return ((d2u + T.sin(x)) ** 2).mean()

    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), loss)


def gradient_penalty(T, exact):
    """A critic's step of WGAN-GP: the norm of the gradient at points between two samples."""
    nn = T.nn
    critic = fill(T, nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)))
    real, fake, share = reals(T, 64, 64), reals(T, 64, 64, seed=3), reals(T, 64, 1, seed=4, low=0.0)

    def loss():
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        grad = T.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)[0]
        return critic(fake).mean() - critic(real).mean() + 10 * ((grad.norm(2, dim=1) - 1) ** 2).mean()

    return stepping(T.optim.Adam(critic.parameters(), lr=1e-4, betas=(0.5, 0.9)), loss)


def point_net(T, exact):
    """Points through shared 1x1 convolutions, the largest of each feature, a classifier."""
    nn = T.nn

    class Points(nn.Module):
        def __init__(self):
            super().__init__()
            layers = []
            for a, b in ((3, 64), (64, 64), (64, 256)):
                layers += [nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.ReLU()]
            self.each, self.all = nn.Sequential(*layers), nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))

        def forward(self, x):
            return self.all(T.max(self.each(x), 2)[0])

    return classifier(T, Points(), (8, 3, 512), 10)


def mixture(T, exact):
    """A mixture density network: logsumexp of the components' log-likelihoods."""
    nn, F = T.nn, T.nn.functional
    body = fill(T, nn.Sequential(nn.Linear(16, 64), nn.ELU(), nn.Linear(64, 64), nn.ELU(), nn.Linear(64, 15)))
    x, y = reals(T, 256, 16), reals(T, 256, 1, seed=3)

    def loss():
        weights, means, scales = body(x).chunk(3, dim=1)
        scales = F.softplus(scales) + 1e-3
        each = -0.5 * ((y - means) / scales) ** 2 - scales.log() - 0.919
        return -T.logsumexp(F.log_softmax(weights, dim=1) + each, dim=1).mean()

    return stepping(T.optim.RMSprop(body.parameters(), lr=1e-3), loss)


def mlp_bfloat16(T, exact):
    nn = T.nn
    model = fill(T, nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)))
    x, y = reals(T, 128, 784), whole(T, 10, 128)

    def loss():
        with T.autocast("cpu", dtype=T.bfloat16):
            return nn.functional.cross_entropy(model(x), y)

    return stepping(T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), loss)


def neural_ode(T, exact):
    """Twenty steps of Runge and Kutta's method of order four through a field of two layers (Chen et al.)."""
    nn = T.nn
    field = fill(T, nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2)))
    start, path, h = reals(T, 20, 2), reals(T, 20, 20, 2, seed=3), 0.1

    def loss():
        x, points = start, []
        for _ in range(20):
            a = field(x**3)
            b = field((x + h / 2 * a) ** 3)
            c = field((x + h / 2 * b) ** 3)
            d = field((x + h * c) ** 3)
            x = x + h / 6 * (a + 2 * b + 2 * c + d)
            points.append(x)
        return (T.stack(points) - path).abs().mean()

    return stepping(T.optim.RMSprop(field.parameters(), lr=1e-3), loss)


def maml(T, exact):
    """Four tasks, two inner steps each, gradients through them (Finn et al.)."""
    nn, F = T.nn, T.nn.functional
    model = fill(T, nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)))
    x, y = reals(T, 4, 10, 1), reals(T, 4, 10, 1, seed=3)

    def forward(p, x):
        return F.linear(F.relu(F.linear(F.relu(F.linear(x, p[0], p[1])), p[2], p[3])), p[4], p[5])

    def loss():
        total = 0.0
        for task in range(4):
            p = list(model.parameters())
            for _ in range(2):
                inner = F.mse_loss(forward(p, x[task]), y[task])
                p = [a - 0.01 * g for a, g in zip(p, T.autograd.grad(inner, p, create_graph=True))]
            total = total + F.mse_loss(forward(p, x[task]), y[task])
        return total / 4

    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), loss)


def radiance_field(T, exact):
    """Rays of 32 samples through an MLP of sines and cosines, composited by cumprod (Mildenhall et al.)."""
    nn, F = T.nn, T.nn.functional
    layers = [nn.Linear(63, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 4)]
    model = fill(T, nn.Sequential(*layers))
    origin, direction, colours = reals(T, 64, 1, 3), reals(T, 64, 1, 3, seed=3), reals(T, 64, 3, seed=4, low=0.0)
    depth, waves = T.linspace(2, 6, 32).view(1, 32, 1), 2.0 ** T.arange(10)

    def loss():
        at = origin + direction * depth
        angles = (at[..., None] * waves).flatten(2)
        out = model(T.cat([at, angles.sin(), angles.cos()], -1))
        alpha = 1 - T.exp(-F.relu(out[..., 3]) * 0.1)
        passed = T.cumprod(T.cat([T.ones(64, 1), 1 - alpha + 1e-10], -1), -1)[:, :-1]
        return F.mse_loss(((alpha * passed)[..., None] * T.sigmoid(out[..., :3])).sum(1), colours)

    return stepping(T.optim.Adam(model.parameters(), lr=5e-4), loss)


def spline_network(T, exact):
    """Two layers of B-splines by the recursion of de Boor (a Kolmogorov-Arnold network, Liu et al.)."""
    nn, F = T.nn, T.nn.functional

    class Splines(nn.Module):
        def __init__(self, inputs, outputs, grid=5, order=3):
            super().__init__()
            self.order = order
            self.knots = T.linspace(-1 - order * 2 / grid, 1 + order * 2 / grid, grid + 2 * order + 1)
            self.base = nn.Parameter(T.zeros(outputs, inputs))
            self.spline = nn.Parameter(T.zeros(outputs, inputs, grid + order))

        def forward(self, x):
            t, z = self.knots, x.unsqueeze(-1)
            b = ((z >= t[:-1]) & (z < t[1:])).to(x.dtype)
            for k in range(1, self.order + 1):
                b = (z - t[: -(k + 1)]) / (t[k:-1] - t[: -(k + 1)]) * b[..., :-1] + (t[k + 1 :] - z) / (t[k + 1 :] - t[1:-k]) * b[..., 1:]
            return F.linear(F.silu(x), self.base) + F.linear(b.flatten(1), self.spline.flatten(1))

    model = fill(T, nn.Sequential(Splines(28, 16), Splines(16, 5)))
    x, y = reals(T, 64, 28, low=-1.0), whole(T, 5, 64)
    return stepping(T.optim.AdamW(model.parameters(), lr=1e-3), lambda: F.cross_entropy(model(x), y))


def recommendation(T, exact):
    """Six bags of categories and numbers, their products in pairs, an MLP (DLRM, Naumov et al.)."""
    nn, F = T.nn, T.nn.functional
    sizes = (100, 1000, 5000, 50, 300, 2000)
    bags = nn.ModuleList([nn.EmbeddingBag(n, 16, mode="sum") for n in sizes])
    below = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 16))
    above = nn.Sequential(nn.Linear(16 + 21, 64), nn.ReLU(), nn.Linear(64, 1))
    fill(T, bags, below, above)
    numbers, y = reals(T, 128, 13), whole(T, 2, 128).float()
    categories, offsets = [whole(T, n, 128 * 3, seed=5 + i) for i, n in enumerate(sizes)], T.arange(0, 128 * 3, 3)
    rows, columns = T.tril_indices(7, 7, -1)

    def loss():
        x = below(numbers)
        all_ = T.cat([x] + [bag(c, offsets) for bag, c in zip(bags, categories)], 1).view(128, 7, 16)
        pairs = T.bmm(all_, all_.transpose(1, 2))[:, rows, columns]
        return F.binary_cross_entropy_with_logits(above(T.cat([x, pairs], 1)).squeeze(1), y)

    return stepping(T.optim.Adagrad([*bags.parameters(), *below.parameters(), *above.parameters()], lr=0.01), loss)


def expert_mixture(T, exact):
    """Rows routed to two of four experts by topk, gathered and added back by index."""
    nn, F = T.nn, T.nn.functional
    gate, head = nn.Linear(32, 4), nn.Linear(32, 5)
    experts = nn.ModuleList([nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32)) for _ in range(4)])
    fill(T, gate, experts, head)
    x, y = reals(T, 100, 32), whole(T, 5, 100)

    def loss():
        weight, chosen = gate(x).softmax(1).topk(2, 1)
        weight = weight / weight.sum(1, keepdim=True)
        out = T.zeros_like(x)
        for k, expert in enumerate(experts):
            row, place = (chosen == k).nonzero(as_tuple=True)
            out = out.index_add(0, row, expert(x[row]) * weight[row, place].unsqueeze(1))
        return F.cross_entropy(head(out), y)

    return stepping(T.optim.Adam([*gate.parameters(), *experts.parameters(), *head.parameters()], lr=1e-3), loss)


def mlp_inference(T, exact):
    nn = T.nn
    return inference(T, nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)), reals(T, 1, 784))


ROWS = [
    race("logistic regression 784 B32", logistic(32)),
    race("logistic regression 784 B256", logistic(256)),
    race("MLP batch norm dropout Adam B64", mlp_norm),
    race("MLP 64-128-128-8 B32 SGD momentum", by_optimizer(lambda o, p: o.SGD(p, lr=0.01, momentum=0.9, nesterov=True))),
    race("MLP 64-128-128-8 B32 Adam, cosine", by_optimizer(lambda o, p: o.Adam(p, lr=1e-3), lambda s, o: s.CosineAnnealingLR(o, 1000))),
    race("MLP 64-128-128-8 B32 AdamW, one cycle", by_optimizer(lambda o, p: o.AdamW(p, lr=1e-3), lambda s, o: s.OneCycleLR(o, 1e-3, total_steps=1000000))),
    race("MLP 64-128-128-8 B32 RMSprop", by_optimizer(lambda o, p: o.RMSprop(p, lr=1e-3))),
    race("MLP 64-128-128-8 B32 Adagrad", by_optimizer(lambda o, p: o.Adagrad(p, lr=1e-2))),
    race("autoencoder 784 B64", autoencoder),
    race("VAE 784 B128", vae),
    race("GCN dense 512", gcn_dense),
    race("GCN index_add 1024", gcn_edges),
    race("GAT scatter 512", gat),
    race("matrix factorisation B1024", factorisation),
    race("skip-gram B256", skip_gram),
    race("wide and deep B256", wide_and_deep),
    race("DQN B128", dqn),
    race("actor-critic 32 states", actor_critic),
    race("PPO B64", ppo),
    race("differential equation B256", equation),
    race("WGAN-GP critic B64", gradient_penalty),
    race("PointNet B8", point_net),
    race("mixture density B256", mixture),
    race("MLP bfloat16 B128", mlp_bfloat16, tol=3e-2),
    race("neural ODE B20", neural_ode),
    race("MAML 4 tasks", maml),
    race("NeRF 64 rays", radiance_field),
    race("KAN splines B64", spline_network),
    race("DLRM B128", recommendation),
    race("mixture of experts B100", expert_mixture),
    race("MLP inference B1", mlp_inference, first=True),
]
