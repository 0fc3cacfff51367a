"""Run beside ComfyUI's own code: a student in diffusers and the same student through our files and nodes.

    python dmm_reference.py COMFYUI_FOLDER sd1|sdxl  ->  JSON {case: largest difference / largest number}

The reference is diffusers' UNet with ``emb = time_embedding(t) + MLP(ẽ)``, written here once more and on its own.
It is saved as a diffusers folder, read and written as one file by our engine, loaded by ComfyUI, and given its style
model-wide and on a conditioning. A process of its own, because importing ComfyUI changes the process.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("anime", "comic", "photo")
TIME = 499
SIZE = 16


def main(folder: str, family: str) -> None:
    sys.path.insert(0, str(ROOT))
    from demo import inside
    inside.comfyui(folder, first=["diffusers.models.unets"])  # ComfyUI has a package called utils as well
    from diffusers import UNet2DConditionModel
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SETTINGS[family]).eval()
    reference = Reference(unet, family)
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        print(json.dumps(compare(reference, Path(scratch))))


WIDTHS = {"sd1": (320,), "sdxl": (320, 320, 320)}
SETTINGS = {
    "sd1": dict(sample_size=SIZE, block_out_channels=WIDTHS["sd1"], down_block_types=("CrossAttnDownBlock2D",),
                up_block_types=("CrossAttnUpBlock2D",), cross_attention_dim=768, attention_head_dim=8),
    "sdxl": dict(sample_size=SIZE, block_out_channels=WIDTHS["sdxl"], cross_attention_dim=2048,
                 down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                 up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                 attention_head_dim=(5, 5, 5), transformer_layers_per_block=(1, 2, 10), use_linear_projection=True,
                 addition_embed_type="text_time", addition_time_embed_dim=256,
                 projection_class_embeddings_input_dim=2816),
}


class Reference:
    """diffusers' UNet, three style prompts and a style MLP."""

    def __init__(self, unet, family):
        self.unet, self.family = unet, family
        self.codes = torch.randn(len(NAMES), 1280)
        self.first, self.second = torch.nn.Linear(1280, 1280), torch.nn.Linear(1280, 1280)
        self.context = torch.randn(1, 77, SETTINGS[family]["cross_attention_dim"])
        self.text, self.ids = torch.randn(1, 1280), torch.tensor([[512.0, 512, 0, 0, 512, 512]])

    def __call__(self, x, added):
        """The predicted noise with ``added`` [1280] on the time embedding."""
        hook = self.unet.time_embedding.register_forward_hook(lambda _, __, emb: emb + added)
        more = {"added_cond_kwargs": {"text_embeds": self.text, "time_ids": self.ids}} if self.family == "sdxl" else {}
        try:
            return self.unet(x, torch.tensor([TIME]), self.context, **more).sample
        finally:
            hook.remove()

    def mlp(self, code):
        return self.second(torch.nn.functional.silu(self.first(code)))

    @property
    def label(self):
        """What SDXL's label embedding takes: pooled text and the Fourier features of six sizes."""
        sizes = self.unet.add_time_proj(self.ids.flatten()).reshape(1, -1)
        return torch.cat((self.text, sizes), dim=1)

    def save(self, folder: Path) -> Path:
        mlp = "add_embedding2" if self.family == "sdxl" else "add_embedding"
        styles = {"model_embedding.weight": self.codes, f"{mlp}.linear_1.weight": self.first.weight,
                  f"{mlp}.linear_1.bias": self.first.bias, f"{mlp}.linear_2.weight": self.second.weight,
                  f"{mlp}.linear_2.bias": self.second.bias}
        tensors = {**self.unet.state_dict(), **styles}
        (folder / "unet").mkdir(parents=True)
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()},
                  folder / "unet" / "diffusion_pytorch_model.safetensors")
        return folder


def compare(reference: Reference, scratch: Path) -> dict[str, float]:
    import comfy.conds
    import comfy.sampler_helpers
    import comfy.samplers
    import comfy.sd
    import comfy.utils

    from demo.inside import pack
    styling, dmm = pack("nodes.styling", "diffusion_soup.dmm")
    with dmm.open_student(reference.save(scratch / "folder"), NAMES) as student:
        student.save(scratch / "student.safetensors")
    again = dmm.open_student(scratch / "student.safetensors")
    assert again.codebook.names == NAMES and again.family == reference.family and not student.unknown
    plain, *_ = comfy.sd.load_state_dict_guess_config(  # ComfyUI's own loader, which leaves the styles out
        comfy.utils.load_torch_file(str(scratch / "student.safetensors")), output_vae=False, output_clip=False)

    sigma = plain.model.model_sampling.sigma(torch.tensor([float(TIME)]))
    x = torch.randn(1, 4, SIZE, SIZE) * (sigma**2 + 1) ** 0.5
    conds = {"c_crossattn": comfy.conds.CONDCrossAttn(reference.context)}
    if reference.family == "sdxl":
        conds["y"] = comfy.conds.CONDRegular(reference.label)

    def ours(model, style=None):
        """The predicted noise through ComfyUI; with ``style`` on the conditioning."""
        values = {"model_conds": dict(conds), "uuid": 0}
        if style is not None:
            values = {**styling.condition([[None, values]], style, 0.0, 1.0)[0][1], "uuid": 0}
        options = {**model.model_options, "transformer_options": dict(model.model_options["transformer_options"])}
        comfy.sampler_helpers.prepare_model_patcher(model, {"positive": [values]}, options)
        model.pre_run()
        denoised, = comfy.samplers.calc_cond_batch(model.model, [[values]], x, sigma, options)
        return (x - denoised) / sigma

    comfy.model_management.load_models_gpu([plain])
    codes, mlp = reference.codes, reference.mlp
    mixed = (0.25 * codes[0] + 0.75 * codes[1])
    length = 0.25 * codes[0].norm() + 0.75 * codes[1].norm()
    cases = {
        "no style": (None, torch.zeros(1280)),
        **{name: ({name: 1.0}, mlp(code)) for name, code in zip(NAMES, codes)},
        "paper mix": (dict(anime=1.0, comic=3.0), mlp(mixed)),
        "three": (dict(anime=1.0, comic=1.0, photo=1.0), mlp(codes.mean(0))),
        "norm-preserving": (dict(anime=1.0, comic=3.0), mlp(mixed * length / mixed.norm())),
        "after MLP": (dict(anime=1.0, comic=3.0), 0.25 * mlp(codes[0]) + 0.75 * mlp(codes[1])),
    }
    found: dict[str, float] = {}
    for name, (weights, added) in cases.items():
        wanted = reference(x / (sigma**2 + 1) ** 0.5, added)
        if weights is None:
            results = {"": ours(plain), " listening": ours(styling.listening(plain))}
        else:
            mode = name if name in dmm.MODES else "paper"
            style = dmm.Style.of(again.codebook, dmm.StyleMix(weights, mode))
            results = {" model-wide": ours(styling.apply(plain, style, 0.0, 1.0)),
                       " on conditioning": ours(styling.listening(plain), style)}
        found |= {name + way: ((got - wanted).abs().max() / wanted.abs().max()).item() for way, got in results.items()}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
