"""Races of convolutional and other image models: training steps and single images without gradients."""

from __future__ import annotations

from racing import classifier, fill, inference, race, reals, stepping, whole


def conv_norm(T, a, b, k=3, s=1, groups=1, act=None):
    nn = T.nn
    return nn.Sequential(nn.Conv2d(a, b, k, s, k // 2, groups=groups, bias=False), nn.BatchNorm2d(b), (act or nn.ReLU)())


def head(T, features, classes=10):
    return T.nn.Sequential(T.nn.AdaptiveAvgPool2d(1), T.nn.Flatten(), T.nn.Linear(features, classes))


def residual(T, body, last=None):
    """x + body(x), through last."""

    class Residual(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.last = body, last or T.nn.Identity()

        def forward(self, x):
            return self.last(x + self.body(x))

    return Residual()


def alexnet(T, exact):
    nn, drop = T.nn, 0.0 if exact else 0.5
    relu = lambda: nn.ReLU(inplace=True)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), relu(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), relu(),
        nn.Conv2d(192, 256, 3, padding=1), relu(), nn.Conv2d(256, 192, 3, padding=1), relu(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Dropout(drop), nn.Linear(192 * 9, 1024), relu(), nn.Dropout(drop), nn.Linear(1024, 1024), relu(),
        nn.Linear(1024, 100))  # fmt: skip
    return classifier(T, model, (16, 3, 64, 64), 100)


def vgg(T, exact):
    nn, layers, width = T.nn, [], 3
    for plan in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if plan:
            layers += [nn.Conv2d(width, plan, 3, padding=1), nn.ReLU(inplace=True)]
            width = plan
        else:
            layers.append(nn.MaxPool2d(2, 2))
    return classifier(T, nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10)), (8, 3, 32, 32), 10)


def resnet50(T):
    nn = T.nn

    class Bottleneck(nn.Module):
        def __init__(self, a, width, stride):
            super().__init__()
            b = 4 * width
            self.body = nn.Sequential(conv_norm(T, a, width, 1), conv_norm(T, width, width, 3, stride),
                                      nn.Conv2d(width, b, 1, bias=False), nn.BatchNorm2d(b))  # fmt: skip
            self.short = nn.Sequential()
            if stride != 1 or a != b:
                self.short = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.body(x) + self.short(x))

    layers, a = [conv_norm(T, 3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(a, width, stride if i == 0 else 1))
            a = 4 * width
    return nn.Sequential(*layers, head(T, a))


def mobilenet(T):
    """MobileNetV2's inverted residuals, half of its blocks."""
    nn, relu6 = T.nn, T.nn.ReLU6
    layers, a = [conv_norm(T, 3, 32, 3, 2, act=relu6)], 32
    for grow, b, count, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 64, 2, 2), (6, 96, 1, 1)):
        for i in range(count):
            stride, h = s if i == 0 else 1, a * grow
            body = nn.Sequential(*([conv_norm(T, a, h, 1, act=relu6)] if grow > 1 else []), conv_norm(T, h, h, 3, stride, h, relu6),
                                 nn.Conv2d(h, b, 1, bias=False), nn.BatchNorm2d(b))  # fmt: skip
            layers.append(residual(T, body) if stride == 1 and a == b else body)
            a = b
    return nn.Sequential(*layers, conv_norm(T, a, 320, 1, act=relu6), head(T, 320))


def efficientnet(T):
    """EfficientNet's blocks: depthwise 3x3 and 5x5, squeeze and excitation, SiLU."""
    nn, silu = T.nn, T.nn.SiLU

    class Squeeze(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(a, b, 1), nn.SiLU(), nn.Conv2d(b, a, 1), nn.Sigmoid())

        def forward(self, x):
            return x * self.gate(x)

    layers, a = [conv_norm(T, 3, 32, 3, 2, act=silu)], 32
    for b, k, s, count in ((24, 3, 2, 2), (40, 5, 2, 2), (80, 3, 1, 2)):
        for i in range(count):
            stride, h = s if i == 0 else 1, 4 * a
            body = nn.Sequential(conv_norm(T, a, h, 1, act=silu), conv_norm(T, h, h, k, stride, h, silu), Squeeze(h, max(a // 4, 8)),
                                 nn.Conv2d(h, b, 1, bias=False), nn.BatchNorm2d(b))  # fmt: skip
            layers.append(residual(T, body) if stride == 1 and a == b else body)
            a = b
    return nn.Sequential(*layers, conv_norm(T, a, 320, 1, act=silu), head(T, 320))


def densenet(T, exact):
    nn = T.nn

    class Dense(nn.Module):
        def __init__(self, a):
            super().__init__()
            self.body = nn.Sequential(nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, 48, 1, bias=False),
                                      nn.BatchNorm2d(48), nn.ReLU(), nn.Conv2d(48, 12, 3, padding=1, bias=False))  # fmt: skip

        def forward(self, x):
            return T.cat([x, self.body(x)], 1)

    layers, a = [nn.Conv2d(3, 24, 3, padding=1, bias=False)], 24
    for block in range(3):
        for _ in range(5):
            layers.append(Dense(a))
            a += 12
        if block < 2:
            layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, a // 2, 1, bias=False), nn.AvgPool2d(2)]
            a //= 2
    return classifier(T, nn.Sequential(*layers, nn.BatchNorm2d(a), nn.ReLU(), head(T, a)), (8, 3, 32, 32), 10)


def shufflenet(T, exact):
    """Units of ShuffleNetV2: split, a branch with a depthwise convolution, concatenation, shuffled channels."""
    nn = T.nn

    class Unit(nn.Module):
        def __init__(self, a):
            super().__init__()
            h = a // 2
            self.body = nn.Sequential(conv_norm(T, h, h, 1), nn.Conv2d(h, h, 3, 1, 1, groups=h, bias=False), nn.BatchNorm2d(h), conv_norm(T, h, h, 1))

        def forward(self, x):
            left, right = x.chunk(2, dim=1)
            y = T.cat((left, self.body(right)), dim=1)
            n, c, h, w = y.shape
            return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)

    layers = [conv_norm(T, 3, 48, 3, 2), *(Unit(48) for _ in range(3)), conv_norm(T, 48, 96, 3, 2), *(Unit(96) for _ in range(3))]
    return classifier(T, nn.Sequential(*layers, head(T, 96)), (8, 3, 64, 64), 10)


def convnext(T, exact):
    """Blocks of depthwise 7x7, LayerNorm over channels, GELU and a learnt scale."""
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, a):
            super().__init__()
            self.depthwise, self.norm = nn.Conv2d(a, a, 7, padding=3, groups=a), nn.LayerNorm(a, eps=1e-6)
            self.up, self.act, self.down = nn.Linear(a, 4 * a), nn.GELU(), nn.Linear(4 * a, a)
            self.gamma = nn.Parameter(T.ones(a))

        def forward(self, x):
            y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
            y = self.gamma * self.down(self.act(self.up(y)))
            return x + y.permute(0, 3, 1, 2)

    model = nn.Sequential(nn.Conv2d(3, 64, 4, 4), *(Block(64) for _ in range(3)), nn.Conv2d(64, 128, 2, 2), *(Block(128) for _ in range(3)), head(T, 128))
    return classifier(T, model, (8, 3, 64, 64), 10, T.optim.AdamW(model.parameters(), lr=1e-3))


def unet(T, exact):
    nn, F = T.nn, T.nn.functional
    double = lambda a, b: nn.Sequential(conv_norm(T, a, b), conv_norm(T, b, b))

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.d1, self.d2, self.d3 = double(3, 16), double(16, 32), double(32, 64)
            self.up2, self.u2 = nn.ConvTranspose2d(64, 32, 2, stride=2), double(64, 32)
            self.up1, self.u1 = nn.ConvTranspose2d(32, 16, 2, stride=2), double(32, 16)
            self.out = nn.Conv2d(16, 2, 1)

        def forward(self, x):
            a = self.d1(x)
            b = self.d2(F.max_pool2d(a, 2))
            c = self.up2(self.d3(F.max_pool2d(b, 2)))
            b = self.up1(self.u2(T.cat([b, c], dim=1)))
            return self.out(self.u1(T.cat([a, b], dim=1)))

    model, x, y = fill(T, UNet()), reals(T, 4, 3, 64, 64), whole(T, 2, 4, 64, 64)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: F.cross_entropy(model(x), y))


def pyramid(T, exact):
    """Segmentation: features of three scales, enlarged bilinearly and added, a reflection-padded output."""
    nn, F = T.nn, T.nn.functional

    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = conv_norm(T, 3, 32, 3, 2), conv_norm(T, 32, 64, 3, 2), conv_norm(T, 64, 64, 3, 2)
            self.la, self.lb, self.out = nn.Conv2d(32, 64, 1), nn.Conv2d(64, 64, 1), nn.Conv2d(64, 8, 3)

        def forward(self, x):
            a = self.a(x)
            b = self.b(a)
            up = lambda y, like: F.interpolate(y, size=like.shape[2:], mode="bilinear", align_corners=False)
            y = self.lb(b) + up(self.c(b), b)
            y = self.la(a) + up(y, a)
            return F.interpolate(self.out(F.pad(y, (1, 1, 1, 1), mode="reflect")), scale_factor=2, mode="nearest")

    model, x, y = fill(T, Pyramid()), reals(T, 4, 3, 64, 64), whole(T, 8, 4, 64, 64)
    return stepping(T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), lambda: F.cross_entropy(model(x), y))


def vit(T):
    """Patches of 4 of a 32x32 image, a class token, four pre-norm layers."""
    nn = T.nn

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 96, 4, 4)
            self.token, self.places = nn.Parameter(T.zeros(1, 1, 96)), nn.Parameter(T.zeros(1, 65, 96))
            layer = nn.TransformerEncoderLayer(96, 3, 192, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
            self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.norm, self.head = nn.LayerNorm(96), nn.Linear(96, 10)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = T.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
            return self.head(self.norm(self.layers(x)[:, 0]))

    return ViT()


def mixer(T, exact):
    """MLP-Mixer: MLPs over the patches, then over the channels."""
    nn = T.nn

    class Layer(nn.Module):
        def __init__(self, places, width):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.tokens = nn.Sequential(nn.Linear(places, 64), nn.GELU(), nn.Linear(64, places))
            self.channels = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            x = x + self.tokens(self.n1(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.n2(x))

    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.layers = nn.Conv2d(3, 96, 4, 4), nn.Sequential(*(Layer(64, 96) for _ in range(4)))
            self.norm, self.head = nn.LayerNorm(96), nn.Linear(96, 10)

        def forward(self, x):
            return self.head(self.norm(self.layers(self.patches(x).flatten(2).transpose(1, 2))).mean(dim=1))

    model = Mixer()
    return classifier(T, model, (16, 3, 32, 32), 10, T.optim.Adam(model.parameters(), lr=1e-3))


def dcgan(T, exact):
    """A step of the discriminator on real and false images, then one of the generator."""
    nn = T.nn
    layers, a = [], 64
    for b in (128, 64, 32):
        layers += [nn.ConvTranspose2d(a, b, 4, 1 if a == 64 and b == 128 else 2, 0 if b == 128 else 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
        a = b
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False), nn.Tanh())
    layers, a = [], 3
    for b in (32, 64, 128):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), *([nn.BatchNorm2d(b)] if a > 3 else []), nn.LeakyReLU(0.2, inplace=True)]
        a = b
    critic = nn.Sequential(*layers, nn.Conv2d(128, 1, 4, 1, 0, bias=False), nn.Sigmoid(), nn.Flatten(0))
    fill(T, generator, critic)
    adam = lambda m: T.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999))
    by_generator, by_critic, bce = adam(generator), adam(critic), nn.BCELoss()
    real, fixed, yes, no = reals(T, 16, 3, 32, 32), reals(T, 16, 64, 1, 1, seed=3), T.ones(16), T.zeros(16)

    def step():
        critic.zero_grad()
        bce(critic(real), yes).backward()
        fake = generator(fixed if exact else T.randn(16, 64, 1, 1))
        bce(critic(fake.detach()), no).backward()
        by_critic.step()
        generator.zero_grad()
        loss = bce(critic(fake), yes)
        loss.backward()
        by_generator.step()
        return loss

    return step


def super_resolution(T, exact):
    """Sub-pixel convolution (Shi et al.): 5x5, 3x3, PixelShuffle by 3."""
    nn = T.nn
    model = fill(T, nn.Sequential(nn.Conv2d(1, 64, 5, padding=2), nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3)))  # fmt: skip
    x, y = reals(T, 8, 1, 32, 32), reals(T, 8, 1, 96, 96)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: nn.functional.mse_loss(model(x), y))


def style(T, exact):
    """Style transfer: the image is what is trained, by Gram matrices of fixed features, content and total variation."""
    nn, F = T.nn, T.nn.functional
    stages = nn.ModuleList([nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in ((3, 32), (32, 64), (64, 64))])
    fill(T, stages)
    for p in stages.parameters():
        p.requires_grad_(False)

    def features(x):
        found = []
        for stage in stages:
            x = F.avg_pool2d(stage(x), 2)
            found.append(x)
        return found

    def gram(f):
        b, c, h, w = f.shape
        f = f.view(b, c, h * w)
        return f.bmm(f.transpose(1, 2)) / (c * h * w)

    content, goal = features(reals(T, 1, 3, 96, 96))[-1], [gram(f) for f in features(reals(T, 1, 3, 96, 96, seed=3))]
    image = reals(T, 1, 3, 96, 96, seed=4).requires_grad_()

    def loss():
        found = features(image)
        total = F.mse_loss(found[-1], content) + 1e3 * sum(F.mse_loss(gram(f), g) for f, g in zip(found, goal))
        return total + 1e-3 * ((image[:, :, 1:] - image[:, :, :-1]).abs().sum() + (image[..., 1:] - image[..., :-1]).abs().sum())

    return stepping(T.optim.Adam([image], lr=0.02), loss)


def diffusion(T, exact):
    """A denoising step: U-Net with GroupNorm, SiLU, the time's embedding and attention at the lowest resolution."""
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.n1, self.c1, self.time = nn.GroupNorm(8, a), nn.Conv2d(a, b, 3, padding=1), nn.Linear(64, b)
            self.n2, self.c2, self.short = nn.GroupNorm(8, b), nn.Conv2d(b, b, 3, padding=1), nn.Conv2d(a, b, 1)

        def forward(self, x, t):
            y = self.c1(F.silu(self.n1(x))) + self.time(F.silu(t))[:, :, None, None]
            return self.short(x) + self.c2(F.silu(self.n2(y)))

    class Attention(nn.Module):
        def __init__(self, a):
            super().__init__()
            self.norm, self.qkv, self.out = nn.GroupNorm(8, a), nn.Conv2d(a, 3 * a, 1), nn.Conv2d(a, a, 1)

        def forward(self, x):
            b, c, h, w = x.shape
            q, k, v = self.qkv(self.norm(x)).view(b, 3, c, h * w).unbind(1)
            weight = T.softmax(T.einsum("bci,bcj->bij", q, k) * c**-0.5, dim=-1)
            return x + self.out(T.einsum("bij,bcj->bci", weight, v).reshape(b, c, h, w))

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
            self.first, self.d1, self.d2 = nn.Conv2d(3, 32, 3, padding=1), Block(32, 32), Block(32, 64)
            self.down, self.attention, self.middle = nn.Conv2d(32, 32, 3, 2, 1), Attention(64), Block(64, 64)
            self.u1, self.norm, self.last = Block(96, 32), nn.GroupNorm(8, 32), nn.Conv2d(32, 3, 3, padding=1)

        def forward(self, x, t):
            angles = t.float()[:, None] * T.exp(-0.5 * T.arange(16).float())[None]
            t = self.time(T.cat([angles.sin(), angles.cos()], dim=1))
            a = self.d1(self.first(x), t)
            b = self.middle(self.attention(self.d2(self.down(a), t)), t)
            y = self.u1(T.cat([a, F.interpolate(b, scale_factor=2, mode="nearest")], dim=1), t)
            return self.last(F.silu(self.norm(y)))

    model = fill(T, Denoiser())
    x, t, fixed = reals(T, 4, 3, 32, 32), whole(T, 1000, 4), reals(T, 4, 3, 32, 32, seed=3)
    kept = T.cumprod(1 - T.linspace(1e-4, 0.02, 1000), dim=0)

    def loss():
        noise = fixed if exact else T.randn_like(x)
        a = kept[t][:, None, None, None]
        return F.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)

    return stepping(T.optim.AdamW(model.parameters(), lr=2e-4), loss)


def siamese(T, exact):
    """Three images through one network, the triplet loss of their normalised embeddings."""
    nn, F = T.nn, T.nn.functional
    model = fill(T, nn.Sequential(nn.Conv2d(1, 32, 5), nn.PReLU(), nn.MaxPool2d(2, 2), nn.Conv2d(32, 64, 5), nn.PReLU(), nn.MaxPool2d(2, 2),
                                  nn.Flatten(), nn.Linear(1024, 256), nn.PReLU(), nn.Linear(256, 64)))  # fmt: skip
    images = [reals(T, 16, 1, 28, 28, seed=s) for s in (1, 2, 3)]
    embed = lambda x: F.normalize(model(x), dim=1)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: F.triplet_margin_loss(*map(embed, images), margin=1.0))


def conv_bfloat16(T, exact):
    nn = T.nn
    model = fill(T, nn.Sequential(conv_norm(T, 3, 32), nn.MaxPool2d(2), conv_norm(T, 32, 64), nn.MaxPool2d(2), conv_norm(T, 64, 64), head(T, 64)))
    x, y = reals(T, 16, 3, 32, 32), whole(T, 10, 16)

    def loss():
        with T.autocast("cpu", dtype=T.bfloat16):
            return nn.functional.cross_entropy(model(x), y)

    return stepping(T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), loss)


def trained(make, *shape):
    return lambda T, exact: classifier(T, make(T), shape, 10)


def looked_at(make, *shape):
    return lambda T, exact: inference(T, make(T), reals(T, *shape))


def policy_frames(T, exact):
    """PPO's clipped surrogate of four stacked frames 84x84: filters 8x8 by 4 and 4x4 by 2 (Mnih et al.)."""
    nn = T.nn
    layers = [nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(32 * 81, 128), nn.ReLU()]
    model = fill(T, nn.ModuleList([nn.Sequential(*layers), nn.Linear(128, 6), nn.Linear(128, 1)]))
    body, policy, value = model
    frames, action, advantage = reals(T, 16, 4, 84, 84, low=0.0), whole(T, 6, 16), reals(T, 16, seed=3)

    def loss():
        h = body(frames)
        chosen = T.distributions.Categorical(logits=policy(h))
        ratio = (chosen.log_prob(action) + 1.8).exp()
        gain = T.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
        return 0.5 * (value(h).squeeze(1) - advantage).pow(2).mean() - gain - 0.01 * chosen.entropy().mean()

    return stepping(T.optim.Adam(model.parameters(), lr=2.5e-4), loss, lambda: nn.utils.clip_grad_norm_(model.parameters(), 0.5))


def squeeze_excitation(T, exact):
    """Gates by 1x1 convolutions of single pixels, two images, as the heads of MobileNetV3 and LR-ASPP have them."""
    nn = T.nn

    class Gated(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.down, self.up = nn.Conv2d(width, width // 4, 1), nn.Conv2d(width // 4, width, 1)
            self.spatial, self.norm = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width)

        def forward(self, x):
            h = T.nn.functional.hardswish(self.norm(self.spatial(x)))
            return x + h * T.nn.functional.hardsigmoid(self.up(T.relu(self.down(h.mean((2, 3), keepdim=True)))))

    model = nn.Sequential(conv_norm(T, 3, 480, 3, 4), *[Gated(480) for _ in range(4)], head(T, 480))
    return classifier(T, model, (2, 3, 32, 32), 10)


ROWS = [
    race("AlexNet dropout 64x64 B16", alexnet),
    race("VGG-11 32x32 B8", vgg),
    # Norms over 16 numbers behind ReLU magnify rounding: after a step of float32 any two libraries differ by percents.
    race("ResNet-50 64x64 B4", trained(resnet50, 4, 3, 64, 64), first=True),
    race("MobileNetV2 64x64 B8", trained(mobilenet, 8, 3, 64, 64)),
    race("EfficientNet blocks 64x64 B8", trained(efficientnet, 8, 3, 64, 64)),
    race("DenseNet 32x32 B8", densenet),
    race("ShuffleNet units 64x64 B8", shufflenet),
    race("ConvNeXt blocks 64x64 B8", convnext),
    race("U-Net 64x64 B4", unet),
    race("feature pyramid 64x64 B4", pyramid),
    race("ViT patch 4 32x32 B16", trained(vit, 16, 3, 32, 32)),
    race("MLP-Mixer 32x32 B16", mixer),
    race("DCGAN 32x32 B16", dcgan),
    race("super-resolution 32x32 B8", super_resolution),
    race("style transfer 96x96", style),
    race("diffusion U-Net 32x32 B4", diffusion),
    race("siamese triplets 28x28 B16", siamese),
    race("CNN bfloat16 32x32 B16", conv_bfloat16, tol=3e-2),
    race("ResNet-50 inference 64x64", looked_at(resnet50, 1, 3, 64, 64), first=True),
    race("MobileNetV2 inference 64x64", looked_at(mobilenet, 1, 3, 64, 64), first=True),
    race("EfficientNet inference 64x64", looked_at(efficientnet, 1, 3, 64, 64), first=True),
    race("ViT inference 32x32", looked_at(vit, 1, 3, 32, 32), first=True),
    race("PPO frames 84x84 B16", policy_frames),
    race("squeeze and excitation 8x8 B2", squeeze_excitation),
]
