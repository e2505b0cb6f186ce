"""Loads exported plans in transformers as a user would, and says what came of it.

    torchrun --nproc-per-node 2 tests/support/transformers_tp.py jobs.json facts.json

jobs.json: a list of {name, folder, exported, trains}. `folder` holds a config.json; a checkpoint of
random weights is saved there. `exported` is the file of `tplan export --to hf` for it, or, of a job
that trains, of `--to accelerate`. facts.json gets, for every job and rank: the largest difference
of its logits from those of the whole model in one process, the largest logit, how often each
collective ran, and the local shape of every parameter; of a job that trains the largest difference
of its losses before and after a step, and by how much the step lowers the loss; or the error at
which it ended. tests/e2e/transformers_tp.cpp writes the one and judges the other.
"""
import json
import os
import runpy
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.distributed as dist
import transformers
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode


def save_checkpoint(folder):
    """Random weights. Norms and biases too: as ones and zeros they would hide mistakes."""
    torch.manual_seed(1)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)


def logits(model):
    vocab = model.config.get_text_config().vocab_size
    tokens = torch.tensor([[(7 * i * i + 3 * i + 1) % vocab for i in range(12)]])
    with torch.no_grad():
        out = model(tokens, use_cache=False).logits
    return out.full_tensor() if isinstance(out, DTensor) else out


def local_shape(parameter):
    return list((parameter.to_local() if isinstance(parameter, DTensor) else parameter).shape)


def collectives(counts):
    """Gloo runs the same collective under several names."""
    found = {"all_reduce": 0, "all_gather": 0, "other": 0}
    for op, times in counts.items():
        name = str(op)
        kind = ("all_reduce" if "all_reduce" in name or "allreduce" in name else
                "all_gather" if "all_gather" in name or "allgather" in name else "other")
        found[kind] += times
    return found


def run(job):
    whole = logits(transformers.AutoModelForCausalLM.from_pretrained(
        job["folder"], dtype=torch.float32).eval())
    model = runpy.run_path(job["exported"])["model"].eval()
    with CommDebugMode() as ran:
        sharded = logits(model)
    return {
        "error": "",
        "difference": (sharded - whole).abs().max().item(),
        "largest": whole.abs().max().item(),
        "collectives": collectives(ran.get_comm_counts()),
        "shapes": {name: local_shape(parameter) for name, parameter in model.named_parameters()},
    }


def losses(model, step):
    """The losses before and after one step of the optimizer."""
    vocab = model.config.get_text_config().vocab_size
    tokens = torch.tensor([[(7 * i * i + 3 * i + 1) % vocab for i in range(12)]])
    found = []
    for _ in range(2):
        loss = model(tokens, labels=tokens, use_cache=False).loss
        found.append(loss.item())
        loss.backward()
        step.step()
        step.zero_grad()
    return found


def train(job):
    whole = transformers.AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32)
    expected = losses(whole, torch.optim.AdamW(whole.parameters()))
    exported = runpy.run_path(job["exported"])
    model = exported["model"]
    shapes = {name: local_shape(parameter) for name, parameter in model.named_parameters()}
    found = losses(model, exported["optimizer"])
    return {
        "error": "",
        "difference": max(abs(a - b) for a, b in zip(found, expected)),
        "largest": expected[0] - expected[1],
        "collectives": {},
        "shapes": shapes,
    }


def main():
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    dist.init_process_group("gloo")
    results = {}
    for job in jobs:
        if dist.get_rank() == 0:
            save_checkpoint(job["folder"])
        dist.barrier()
        try:
            mine = train(job) if job["trains"] else run(job)
        except (Exception, SystemExit) as error:
            mine = {"error": f"{type(error).__name__}: {error}"}
        ranks = [None] * dist.get_world_size()
        dist.all_gather_object(ranks, mine)
        results[job["name"]] = ranks
    if dist.get_rank() == 0:
        with open(sys.argv[2], "w") as file:
            json.dump({"torch": torch.__version__, "transformers": transformers.__version__,
                       "jobs": results}, file)
    dist.destroy_process_group()


main()
