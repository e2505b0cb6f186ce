"""Writes transformers_logits.json: what transformers computes for the tiny configurations.

Run by hand when tiny_configs.cpp changes; the tests read only the JSON. Needs torch and
transformers. Input: a JSON object family -> config.json (tiny_config() of each family).

    python3 tests/support/transformers_logits.py tiny.json > tests/support/transformers_logits.json
"""
import json
import sys
import tempfile

import numpy as np
import torch
import transformers

TOKENS = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]
DENSE = ["cohere", "falcon", "gemma", "gemma2", "gemma3_text", "glm4", "gpt2", "gpt_neox",
         "granite", "llama", "mistral", "olmo2", "phi", "phi3", "qwen2", "qwen3", "stablelm",
         "starcoder2"]
EXPERTS = ["deepseek_v2", "deepseek_v3", "glm4_moe", "gpt_oss", "mixtral", "qwen2_moe",
           "qwen3_moe"]


def weights(name, shape):
    """reference_weight() of transformers_logits.h for a whole parameter."""
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(h) + np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    unit = (x >> np.uint64(40)).astype(np.float64) / 2**24
    values = unit if len(shape) == 1 else 2 * unit - 1
    return torch.tensor(values.reshape(shape), dtype=torch.float64)


def logits(config):
    config = dict(config, pad_token_id=0, bos_token_id=1, eos_token_id=1)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/config.json", "w") as file:
            json.dump(config, file)
        loaded = transformers.AutoConfig.from_pretrained(folder, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(
        loaded, dtype=torch.float64, attn_implementation="eager",
        experts_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights(name, tuple(parameter.shape)))
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(weights(name, tuple(buffer.shape)))
        return model(torch.tensor([TOKENS])).logits[0, -1].tolist()


def main():
    torch.set_default_dtype(torch.float64)
    with open(sys.argv[1]) as file:
        configs = json.load(file)
    out = {
        "schema": "tplan.transformers_logits/1",
        "source": f"transformers {transformers.__version__}, float64 on a CPU, eager attention",
        "tokens": TOKENS,
    }
    # One line per family: arrays of numbers without line breaks.
    parts = [f'  "{k}": {json.dumps(v)}' for k, v in out.items()]
    for key, families in (("last_logits", DENSE), ("expert_logits", EXPERTS)):
        rows = [f'    "{name}": {[float(f"{x:.7g}") for x in logits(configs[name])[:16]]}'
                for name in families]
        parts.append(f'  "{key}": {{\n' + ",\n".join(rows) + "\n  }")
    print("{\n" + ",\n".join(parts) + "\n}")


main()
