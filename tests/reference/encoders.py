"""The five temporal encoders in PyTorch, written from the paper's appendix D alone.

Parameters are made by name, as the Rust crate makes them, so that both sides can be given the same
values. A batch has clips of one length; padding is not a notion here, which makes it a reference for
the masks as well.
"""

import math

import torch
import torch.nn.functional as F


class Parameters:
    """Makes named leaf tensors with `fill(name, shape)` and keeps them in order."""

    def __init__(self, fill):
        self.fill, self.all, self.prefix = fill, {}, ""

    def scoped(self, scope):
        inner = Parameters(self.fill)
        inner.all, inner.prefix = self.all, f"{self.prefix}{scope}."
        return inner

    def __call__(self, name, *shape):
        name = self.prefix + name
        self.all[name] = self.fill(name, shape).requires_grad_()
        return self.all[name]


def linear(p, name, inputs, outputs, bias=True):
    weight = p(f"{name}.weight", outputs, inputs)
    bias = p(f"{name}.bias", outputs) if bias else None
    return lambda x: F.linear(x, weight, bias)


def layer_norm(p, name, dim, groups=1):
    weight, bias = p(f"{name}.weight", dim), p(f"{name}.bias", dim)
    if groups == 1:
        return lambda x: F.layer_norm(x, (dim,), weight, bias, 1e-5)

    def forward(x):
        rows = x.reshape(-1, dim)
        return F.group_norm(rows, groups, weight, bias, 1e-5).reshape(x.shape)

    return forward


def heads_of(x, heads):
    batch, time, dim = x.shape
    return x.reshape(batch, time, heads, dim // heads).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).flatten(2)


def feed_forward(p, dim, activation):
    expand = linear(p, "feed_forward.expand", dim, 2 * dim)
    contract = linear(p, "feed_forward.contract", 2 * dim, dim)
    return lambda x: contract(activation(expand(x)))


# Zipformer, D.1


def swoosh_r(x):
    return F.softplus(x - 1) - 0.08 * x - 0.313261687


def swoosh_l(x):
    return F.softplus(x - 4) - 0.08 * x - 0.035


def bias_norm(p, name, dim):
    bias, log_scale = p(f"{name}.bias", dim), p(f"{name}.log_scale")

    def forward(x):
        spread = ((x - bias) ** 2).mean(-1, keepdim=True)
        return x * log_scale.exp() / (spread + 1e-8).sqrt()

    return forward


def bypass(p, name, dim):
    scale = p(f"{name}.scale", dim)

    def forward(x, y, warmup):
        share = scale.clamp(0.9 - 0.7 * min(warmup, 1.0), 1.0)
        return (1 - share) * x + share * y

    return forward


def zipformer_block(p, dim, heads):
    attention_norm = bias_norm(p, "attention_norm", dim)
    qkv = linear(p, "attention.qkv", dim, 3 * dim)
    out = linear(p, "attention.out", dim, dim)
    attention_bypass = bypass(p, "attention_bypass", dim)
    convolution_norm = bias_norm(p, "convolution_norm", dim)
    weight, bias = p("convolution.weight", dim, 1, 7), p("convolution.bias", dim)
    mix = linear(p, "mix", dim, dim)
    convolution_bypass = bypass(p, "convolution_bypass", dim)
    norm = bias_norm(p, "feed_forward_norm", dim)
    feed = feed_forward(p, dim, swoosh_l)
    feed_bypass = bypass(p, "feed_forward_bypass", dim)

    def forward(x, warmup):
        q, k, v = (heads_of(part, heads) for part in qkv(attention_norm(x)).chunk(3, -1))
        attended = out(joined(F.scaled_dot_product_attention(q, k, v)))
        x = attention_bypass(x, x + attended, warmup)
        normed = convolution_norm(x).transpose(1, 2)
        convolved = F.conv1d(normed, weight, bias, padding=3, groups=dim).transpose(1, 2)
        x = convolution_bypass(x, x + mix(swoosh_r(convolved)), warmup)
        return feed_bypass(x, x + feed(norm(x)), warmup)

    return forward


def zipformer(p, dim, layers, heads):
    stacks = []
    for layer in range(layers):
        s, factor = p.scoped(f"encoder.{layer}"), [1, 2, 4, 2][layer % 4]
        coarser = None
        if factor > 1:
            coarser = s("downsample.alpha", factor), bypass(s, "bypass", dim)
        stacks.append((factor, coarser, zipformer_block(s, dim, heads)))
    norm = bias_norm(p, "encoder.norm", dim)

    def forward(x, warmup):
        for factor, coarser, block in stacks:
            if coarser is None:
                x = block(x, warmup)
                continue
            alpha, around = coarser
            batch, time, _ = x.shape
            windows = -(-time // factor)
            last = x[:, -1:].expand(-1, windows * factor - time, -1)
            coarse = torch.cat([x, last], 1).reshape(batch, windows, factor, dim)
            coarse = (coarse * alpha.softmax(0)[:, None]).sum(2)
            fine = block(coarse, warmup).repeat_interleave(factor, 1)[:, :time]
            x = around(x, fine, warmup)
        return norm(x)

    return forward


# Retention, D.2


def retention(p, name, dim, heads):
    qkv = linear(p, f"{name}.qkv", dim, 3 * dim, False)
    out = linear(p, f"{name}.out", dim, dim, False)
    norm = layer_norm(p, f"{name}.norm", dim, heads)

    def forward(x):
        q, k, v = (heads_of(part, heads) for part in qkv(x).chunk(3, -1))
        steps = torch.arange(x.shape[1])
        gap = steps[:, None] - steps
        rates = 1 - 2.0 ** -(5 + torch.arange(heads, dtype=x.dtype))
        decay = (rates[:, None, None] ** gap.clamp(min=0)) * (gap >= 0)
        mixed = (q @ k.mT / math.sqrt(dim // heads) * decay) @ v
        return out(norm(joined(mixed)))

    return forward


def pre_norm_block(p, name, dim, mixer):
    mixer_norm = layer_norm(p, f"{name}_norm", dim)
    mix = mixer(p, name)
    norm = layer_norm(p, "feed_forward_norm", dim)
    feed = feed_forward(p, dim, F.silu)

    def forward(x):
        x = x + mix(mixer_norm(x))
        return x + feed(norm(x))

    return forward


def retention_block(p, dim, heads):
    return pre_norm_block(p, "retention", dim, lambda p, name: retention(p, name, dim, heads))


def stack_of(p, dim, layers, layer_of):
    blocks = [layer_of(p.scoped(f"encoder.{layer}"), layer) for layer in range(layers)]
    norm = layer_norm(p, "encoder.norm", dim)

    def forward(x, warmup):
        for block in blocks:
            x = block(x)
        return norm(x)

    return forward


def retnet(p, dim, layers, heads):
    return stack_of(p, dim, layers, lambda p, layer: retention_block(p, dim, heads))


# BiMamba, D.3, and the hybrid, D.4


def mamba(p, name, dim, states=16, kernel=4):
    inner, rank = 2 * dim, -(-dim // 16)
    to_u, to_z = (linear(p, f"{name}.{part}", dim, inner, False) for part in "uz")
    weight = p(f"{name}.convolution.weight", inner, 1, kernel)
    bias = p(f"{name}.convolution.bias", inner)
    select = linear(p, f"{name}.select", inner, rank + 2 * states, False)
    step = linear(p, f"{name}.step", rank, inner)
    a_log, skip = p(f"{name}.a_log", inner, states), p(f"{name}.d", inner)
    leave = linear(p, f"{name}.out", inner, dim, False)

    def forward(x):
        u, z = to_u(x), to_z(x)
        u = F.conv1d(F.pad(u.transpose(1, 2), (kernel - 1, 0)), weight, bias, groups=inner)
        u = F.silu(u.transpose(1, 2))
        delta, b, c = select(u).split([rank, states, states], -1)
        delta = F.softplus(step(delta))
        decay = (delta[..., None] * -a_log.exp()).exp()
        drive = (delta * u)[..., None] * b[:, :, None]
        h, outputs = torch.zeros_like(drive[:, 0]), []
        for t in range(x.shape[1]):
            h = decay[:, t] * h + drive[:, t]
            outputs.append((h @ c[:, t, :, None])[..., 0])
        return leave((torch.stack(outputs, 1) + skip * u) * F.silu(z))

    return forward


def bimamba_layer(p, dim):
    p = p.scoped("bimamba")
    forwards, backwards = mamba(p, "forwards", dim), mamba(p, "backwards", dim)
    ahead, back = p("forwards_share"), p("backwards_share")
    norm = layer_norm(p, "norm", dim)
    return lambda x: norm(ahead * forwards(x) + back * backwards(x.flip(1)).flip(1)) + x


def bimamba(p, dim, layers, heads):
    return stack_of(p, dim, layers, lambda p, layer: bimamba_layer(p, dim))


def hybrid(p, dim, layers, heads):
    def layer_of(p, layer):
        return bimamba_layer(p, dim) if layer % 2 else retention_block(p, dim, heads)

    return stack_of(p, dim, layers, layer_of)


# xLSTM


def mlstm(p, name, dim, heads):
    packed = linear(p, f"{name}.packed", dim, 3 * dim + 2 * heads)
    gate = linear(p, f"{name}.gate", dim, dim)
    norm = layer_norm(p, f"{name}.norm", dim, heads)
    out = linear(p, f"{name}.out", dim, dim)

    def forward(x):
        width = dim // heads
        q, k, v, i, f = packed(x).split([dim, dim, dim, heads, heads], -1)
        q, k, v = (heads_of(part, heads) for part in (q, k, v))
        log_f, k = F.logsigmoid(f), k / math.sqrt(width)
        batch, time, _ = x.shape
        c, n = x.new_zeros(batch, heads, width, width), x.new_zeros(batch, heads, width)
        m, outputs = x.new_zeros(batch, heads), []
        for t in range(time):
            top = torch.maximum(log_f[:, t] + m, i[:, t])
            keep, take = (log_f[:, t] + m - top).exp(), (i[:, t] - top).exp()
            m = top
            c = keep[..., None, None] * c + take[..., None, None] * (
                v[:, :, t, :, None] * k[:, :, t, None, :]
            )
            n = keep[..., None] * n + take[..., None] * k[:, :, t]
            bottom = torch.maximum((n * q[:, :, t]).sum(-1).abs(), (-m).exp())
            outputs.append((c @ q[:, :, t, :, None])[..., 0] / bottom[..., None])
        mixed = torch.stack(outputs, 1).flatten(2)
        return out(norm(mixed) * F.silu(gate(x)))

    return forward


def slstm(p, name, dim, heads):
    gates = linear(p, f"{name}.gates", dim, 4 * dim)
    recurrent = p(f"{name}.recurrent", 4 * dim, dim // heads)
    norm = layer_norm(p, f"{name}.norm", dim, heads)
    out = linear(p, f"{name}.out", dim, dim)

    def forward(x):
        batch, time, _ = x.shape
        width = dim // heads
        given = gates(x)
        h, outputs = x.new_zeros(batch, dim), []
        c = n = m = None
        by_head = recurrent.reshape(4, heads, width, width)
        for t in range(time):
            heard = torch.einsum("ghok,bhk->bgho", by_head, h.reshape(batch, heads, width))
            i, f, z, o = (given[:, t] + heard.reshape(batch, 4 * dim)).chunk(4, -1)
            if c is None:
                m, n, c = i, torch.ones_like(i), z.tanh()
            else:
                kept = F.logsigmoid(f) + m
                m = torch.maximum(kept, i)
                keep, take = (kept - m).exp(), (i - m).exp()
                c, n = keep * c + take * z.tanh(), keep * n + take
            h = o.sigmoid() * c / n
            outputs.append(h)
        return out(norm(torch.stack(outputs, 1)))

    return forward


def xlstm(p, dim, layers, heads):
    def layer_of(p, layer):
        name, mixer = ("slstm", slstm) if layer % 2 else ("mlstm", mlstm)
        return pre_norm_block(p, name, dim, lambda p, name: mixer(p, name, dim, heads))

    return stack_of(p, dim, layers, layer_of)


ENCODERS = {f.__name__: f for f in (zipformer, retnet, bimamba, hybrid, xlstm)}


def model(p, encoder, inputs, dim, layers, heads):
    """Projection, encoder, attention pooling (D.5) and one logit: `[batch, time, inputs]` → `[batch]`."""
    projection = linear(p, "projection", inputs, dim)
    encode = ENCODERS[encoder](p, dim, layers, heads)
    query, key = p("pooling.query", dim), linear(p, "pooling.key", dim, dim, False)
    head = linear(p, "head", dim, 1)

    def forward(x, warmup=1.0):
        x = encode(projection(x), warmup)
        weights = (key(x) @ query / math.sqrt(dim)).softmax(1)
        return head((weights[..., None] * x).sum(1))[:, 0]

    return forward


def focal_loss(logits, targets, gamma=2.0, alpha=0.25):
    """Paper D.6."""
    p = logits.sigmoid()
    positive = -alpha * (1 - p) ** gamma * F.logsigmoid(logits)
    negative = -(1 - alpha) * p**gamma * F.logsigmoid(-logits)
    return torch.where(targets > 0, positive, negative).mean()


def adamw(parameters, rate, weight_decay):
    """AdamW that leaves vectors and scalars undecayed."""
    groups = [
        {"params": [q for q in parameters if q.dim() > 1], "weight_decay": weight_decay},
        {"params": [q for q in parameters if q.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate)
