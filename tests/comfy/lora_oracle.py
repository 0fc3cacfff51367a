"""Run beside ComfyUI's own code: apply LoRAs of every naming style its way and ours, and report both.

    python lora_oracle.py COMFYUI_FOLDER  ->  JSON {"family/style": {"host", "ours", "unmatched", "error"}}

Names come from ComfyUI's own table of the names it accepts, weights from its ``load_lora`` and
``calculate_weight``. A process of its own, because importing ComfyUI changes the process.
"""

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
FAMILIES = {"sd1": "SD15", "sd2": "SD20", "sdxl": "SDXL", "sdxl-refiner": "SDXLRefiner"}
BRIEFLY = ("sd2", "sdxl-refiner")  # these differ from the others in text encoders and depth only
STRENGTH = 0.75
LDM = ("input_blocks", "middle_block", "output_blocks", "out_", "time_embed_", "label_emb")


def main(folder: str) -> None:
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent / "engine")]
    from demo import inside
    inside.comfyui(folder)
    print(json.dumps({f"{family}/{style}": report for family in FAMILIES for style, report in run(family)}))


def run(family):
    from sd_keys import pico_checkpoint
    shapes = {key: shape for key, shape in pico_checkpoint(family).items() if not key.startswith("first_stage")}
    draw = torch.Generator().manual_seed(7)
    base = {key: torch.randn(shape, generator=draw) for key, shape in shapes.items()}
    names = accepted_names(family, base)
    for style, tensors in files(names, to_host(family, base), draw):
        if family in BRIEFLY and "kohya" not in style:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "lora.safetensors")
            save_file(tensors, path)
            yield style, compare(family, base, names, tensors, path)


def compare(family, base, names, tensors, path):
    """Apply one file both ways, and measure the largest difference relative to the change itself."""
    before = to_host(family, base)
    theirs, changed = apply_theirs(names, tensors, before)
    cooked, found = apply_ours(family, base, path)
    ours = to_host(family, cooked)
    error = max(((ours[key] - theirs[key]).norm() / (theirs[key] - before[key]).norm().clamp(min=1e-9)).item()
                for key in before if not torch.equal(ours[key], theirs[key]) or key in changed)
    return {"host": len(changed), "ours": found.matched, "unmatched": found.unmatched, "error": error}


# -- their way ---------------------------------------------------------------------------------------------


def host_config(family, base):
    import comfy.model_detection
    import comfy.supported_models
    unet = comfy.model_detection.detect_unet_config(base, "model.diffusion_model.")
    return unet, getattr(comfy.supported_models, FAMILIES[family])


def to_host(family, tensors):
    """The tensors under ComfyUI's names: fused projections split, the text projection turned."""
    unet, config = host_config(family, tensors)
    text = {key: value for key, value in tensors.items() if not key.startswith("model.")}
    host = config.process_clip_state_dict(SimpleNamespace(unet_config=unet), dict(text))
    return {key.removeprefix("model."): value for key, value in tensors.items() if key not in text} | host


def accepted_names(family, base):
    """ComfyUI's table: name of a layer -> key of the weight, for this model."""
    import comfy.lora
    host, unet = to_host(family, base), host_config(family, base)[0]
    diffusion = {key: value for key, value in host.items() if key.startswith("diffusion_model.")}
    text = {key: value for key, value in host.items() if key not in diffusion}
    model = SimpleNamespace(state_dict=lambda: diffusion, model_config=SimpleNamespace(unet_config=unet))
    clip = SimpleNamespace(state_dict=lambda: text)
    names = comfy.lora.model_lora_keys_clip(clip, comfy.lora.model_lora_keys_unet(model, {}))
    other = ("lora_prior_", "lora_te2_") if family == "sdxl-refiner" else ("lora_prior_",)  # for other models
    return {name: key for name, key in names.items()
            if key in host and key.endswith(".weight") and not name.startswith(other)}


def apply_theirs(names, tensors, before):
    import comfy.lora
    patches = comfy.lora.load_lora(tensors, names)
    after = dict(before)
    for key, patch in patches.items():
        after[key] = comfy.lora.calculate_weight([(STRENGTH, patch, 1.0, None, None)], before[key].clone(), key)
    return after, set(patches)


# -- our way -----------------------------------------------------------------------------------------------


def apply_ours(family, base, path):
    from diffusion_soup.checkpoint import Checkpoint
    from diffusion_soup.lora import LoRAFile, delta_rows, match
    lora = LoRAFile(Checkpoint(path))
    found = match(lora, {key: tuple(tensor.shape) for key, tensor in base.items()}, family)
    cooked = {key: tensor.clone() for key, tensor in base.items()}
    for key, places in found.targets.items():
        for target, layer in places:
            rows = cooked[key][target.start:target.stop]
            delta = delta_rows(lora, target, layer, target.start, target.stop)
            rows += STRENGTH * delta.reshape(rows.shape)
    return cooked, found


# -- files -------------------------------------------------------------------------------------------------


def files(names, host, draw):
    """(style, tensors) for every way ComfyUI's table and loader know."""
    kohya = {name: key for name, key in names.items() if name.startswith("lora_")}
    ldm = {name: key for name, key in kohya.items() if name.startswith(tuple(f"lora_unet_{part}" for part in LDM))}
    text = {name: key for name, key in kohya.items() if name.startswith("lora_te")}
    plain = {name: key for name, key in kohya.items() if name not in ldm and name not in text}
    bare = {name: key for name, key in names.items() if name.startswith(("diffusion_model.", "text_encoders."))}
    lycoris = {name: key for name, key in names.items() if name.startswith("lycoris_")}
    old = {name: key for name, key in names.items() if ".processor.to_" in name and not name.startswith("unet.")}
    diffusers = {name: key for name, key in names.items()
                 if name.startswith(("unet.", "text_encoder.", "text_encoder_2."))}

    def low_rank(chosen, up, down, **options):
        return matrices(once(chosen), host, draw, up, down, **options)

    yield "kohya, LDM names", low_rank(ldm, ".lora_up.weight", ".lora_down.weight", alpha=2.0)
    yield "kohya, diffusers names", low_rank(plain, ".lora_up.weight", ".lora_down.weight", alpha=2.0)
    yield "kohya, text encoders", low_rank(text, ".lora_up.weight", ".lora_down.weight", alpha=2.0)
    yield "kohya, half", low_rank(ldm, ".lora_up.weight", ".lora_down.weight", alpha=1.0, dtype=torch.float16)
    yield "kohya, no alpha", low_rank(ldm | text, ".lora_up.weight", ".lora_down.weight")
    yield "tucker", low_rank(ldm, ".lora_up.weight", ".lora_down.weight", alpha=2.0, mid=".lora_mid.weight")
    yield "lycoris names", low_rank(lycoris, ".lora_up.weight", ".lora_down.weight", alpha=2.0)
    yield "bare names", low_rank(bare, ".lora_B.weight", ".lora_A.weight")
    yield "bare names, default adapter", low_rank(bare, ".lora_B.default.weight", ".lora_A.default.weight")
    yield "bare names, alpha", low_rank(bare, ".lora_up.weight", ".lora_down.weight", alpha=3.0)
    yield "attention processors", low_rank(old, "_lora.up.weight", "_lora.down.weight")
    yield "diffusers", low_rank(diffusers, ".lora.up.weight", ".lora.down.weight")
    yield "diffusers, linear layer", low_rank(diffusers, ".lora_linear_layer.up.weight",
                                              ".lora_linear_layer.down.weight")
    yield "differences", differences(once(ldm | text), host, draw)


def once(names):
    """One name of each weight."""
    return {name: key for key, name in {key: name for name, key in sorted(names.items())}.items()}


def matrices(names, host, draw, up, down, alpha=None, mid=None, dtype=torch.float32, rank=3):
    tensors = {}
    for name, key in names.items():
        rows, *rest = host[key].shape
        if not rest:
            continue
        ones, kernel = [1] * len(rest[1:]), tuple(rest[1:])
        core = mid and kernel not in ((), (1, 1))
        tensors[name + up] = torch.randn(rows, rank, *ones, generator=draw).to(dtype)
        tensors[name + down] = torch.randn(rank, rest[0], *(ones if core else kernel), generator=draw).to(dtype)
        if core:
            tensors[name + mid] = torch.randn(rank, rank, *kernel, generator=draw).to(dtype)
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(alpha)
    return tensors


def differences(names, host, draw):
    """LyCORIS "full" layers, and its "norm" layers where the weight is a vector."""
    tensors = {}
    for name, key in names.items():
        vector, bias = host[key].ndim == 1, key.removesuffix("weight") + "bias"
        tensors[name + (".w_norm" if vector else ".diff")] = torch.randn(host[key].shape, generator=draw)
        if bias in host:
            tensors[name + (".b_norm" if vector else ".diff_b")] = torch.randn(host[bias].shape, generator=draw)
    return tensors


if __name__ == "__main__":
    main(sys.argv[1])
