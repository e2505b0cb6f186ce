"""Times of one Llama-3.1-8B decoder layer in torch on this GPU, for tests/gpu/run.sh.

The best of eager and torch.compile, with the best SDPA backend, replayed from a CUDA graph; a shard
of TP n is the layer with 1/n of the heads and of the inner width. Weights are rotated past the L2.
    python3 tests/gpu/torch_layer.py OUT.json
"""
import json
import sys

import torch
import torch.nn.functional as F

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN = 4096, 32, 8, 128, 14336
COPIES, REPS = 4, 30


class Layer(torch.nn.Module):
    def __init__(self, tp):
        super().__init__()
        self.heads, self.kv, self.ffn = HEADS // tp, max(1, KV_HEADS // tp), FFN // tp
        linear = lambda n, k: torch.nn.Linear(k, n, bias=False)
        self.qkv = linear((self.heads + 2 * self.kv) * HEAD_DIM, HIDDEN)
        self.o = linear(HIDDEN, self.heads * HEAD_DIM)
        self.gate_up = linear(2 * self.ffn, HIDDEN)
        self.down = linear(HIDDEN, self.ffn)
        self.norms = torch.nn.ParameterList(torch.ones(HIDDEN) for _ in range(2))

    def forward(self, x, keys, values, cos, sin, causal):
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(F.rms_norm(x, (HIDDEN,), self.norms[0])).split(
            [self.heads * HEAD_DIM, self.kv * HEAD_DIM, self.kv * HEAD_DIM], -1)
        q, k, v = (t.view(batch, tokens, -1, HEAD_DIM).transpose(1, 2) for t in (q, k, v))
        turn = lambda t: t * cos + torch.cat((-t[..., 64:], t[..., :64]), -1) * sin
        q, k = turn(q), turn(k)
        if not causal:
            keys[:, :, -1:], values[:, :, -1:] = k, v
            k, v = keys, values
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        x = x + self.o(y.transpose(1, 2).reshape(batch, tokens, -1))
        gate, up = self.gate_up(F.rms_norm(x, (HIDDEN,), self.norms[1])).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


def graph_time(layers, arguments):
    """Median seconds of one layer, from graphs that run every copy once."""
    with torch.no_grad():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                for layer in layers:
                    layer(*arguments)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for layer in layers:
                layer(*arguments)
    times = []
    for _ in range(REPS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / len(layers))
    return sorted(times)[len(times) // 2]


def main():
    torch.manual_seed(1)
    rows = []
    for tp in (1, 2, 4, 8):
        layers = [Layer(tp).cuda().bfloat16().eval() for _ in range(COPIES)]
        for phase, batch, tokens in (("prefill", 8, 1024), ("decode", 8, 1)):
            make = lambda *shape: torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
            cache = [make(batch, layers[0].kv, 4096, HEAD_DIM) for _ in range(2)]
            angle = torch.rand(tokens, HEAD_DIM, device="cuda")
            arguments = (make(batch, tokens, HIDDEN), *cache, angle.cos().bfloat16(),
                         angle.sin().bfloat16(), phase == "prefill")
            best, how = graph_time(layers, arguments), "eager"
            try:
                compiled = graph_time([torch.compile(layer) for layer in layers], arguments)
                if compiled < best:
                    best, how = compiled, "compiled"
            except Exception as error:  # no compiler on the machine: eager stands
                how += f" (torch.compile: {type(error).__name__})"
            rows.append({"tp": tp, "phase": phase, "layer_s": best, "how": how})
    with open(sys.argv[1], "w") as file:
        json.dump({"torch": torch.__version__, "device": torch.cuda.get_device_name(),
                   "model": "llama-3.1-8b, one layer, batch 8, 1024 tokens or 4096 cached",
                   "rows": rows}, file, indent=1)
    print(f"{len(rows)} layers timed")


main()
