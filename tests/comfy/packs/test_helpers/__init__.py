"""A pack of nodes that tests need and ComfyUI lacks; the tests' server finds it in its custom_nodes."""

import functools
import logging
import math

import comfy.sample
import node_helpers
import torch
from comfy.ldm.modules.attention import optimized_attention


class Picture:
    """Random pixels."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"width": ("INT",), "height": ("INT",), "seed": ("INT",)}}

    def make(self, width, height, seed):
        return (torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(seed)),)


class Brightness:
    """A number of pictures, so that graphs can score."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("FLOAT",), "measure", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"images": ("IMAGE",), "times": ("FLOAT",)}}

    def measure(self, images, times):
        logging.info("tests: measured %d pictures", len(images))
        return (float(images.mean()) * times,)


class LatentRoll:
    """A latent turned by some columns, as if it went all around."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("LATENT",), "roll", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",), "columns": ("INT", {"min": -999})}}

    def roll(self, samples, columns):
        return ({**samples, "samples": samples["samples"].roll(columns, -1)},)


class CropInpainting:
    """What InpaintModelConditioning put on a conditioning, cut to some columns of latents."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "crop", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"conditioning": ("CONDITIONING",), "x": ("INT",), "width": ("INT",)}}

    def crop(self, conditioning, x, width):
        latent, mask = conditioning[0][1]["concat_latent_image"], conditioning[0][1]["concat_mask"]
        return (node_helpers.conditioning_set_values(conditioning, {
            "concat_latent_image": latent[..., x:x + width], "concat_mask": mask[..., x * 8:(x + width) * 8]}),)


class MaskedAttention:
    """Adds to what cross attention gives for the positive prompt, more where a mask is white.

    It follows IP-Adapter's protocol for patches: keyword arguments in a list, rows in the order of cond_or_uncond and
    within each of them in that of the pictures, and a mask that is scaled to the layer and repeated to all rows.
    """

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "patch", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "mask": ("MASK",), "weight": ("FLOAT",), "seed": ("INT",)}}

    def patch(self, model, mask, weight, seed):
        made = model.clone()
        attention = _Attention()
        attention.kwargs.append({"mask": mask, "weight": weight, "seed": seed})
        for block in [("input", number) for number in range(12)] + [("middle", 0)] + \
                [("output", number) for number in range(12)]:
            made.set_model_attn2_replace(attention, *block)
        return (made,)


class _Attention:
    def __init__(self):
        self.kwargs = []

    def __call__(self, q, k, v, extra_options):
        out = optimized_attention(q, k, v, extra_options["n_heads"])
        for each in self.kwargs:
            out = out + self.added(out, extra_options, **each)
        return out

    def added(self, out, extra_options, mask, weight, seed):
        chunks = extra_options["cond_or_uncond"]
        pictures = len(out) // len(chunks)
        rows, columns = extra_options["original_shape"][-2:]
        height = round(rows / math.sqrt(rows * columns / out.shape[1]))
        mask = torch.nn.functional.interpolate(mask[:, None].to(out), (height, out.shape[1] // height),
                                               mode="bilinear")[:, 0]
        mask = torch.cat([mask, mask[-1:].repeat(max(pictures - len(mask), 0), 1, 1)])[:pictures]
        mask = mask.repeat(len(chunks), 1, 1).flatten(1)[:, :, None]
        there = torch.randn(out.shape[-1], generator=torch.Generator().manual_seed(seed)).to(out) * weight
        return mask * there * torch.tensor([1.0 if chunk == 0 else 0.0 for chunk in chunks]
                                           ).to(out).repeat_interleave(pictures)[:, None, None]


NODE_CLASS_MAPPINGS = {f"Test{kind.__name__}": kind for kind in (Picture, Brightness, LatentRoll, CropInpainting,
                                                                 MaskedAttention)}


def _counted(sample):
    @functools.wraps(sample)
    def counting(*args, **kwargs):
        logging.info("tests: sampled")
        return sample(*args, **kwargs)

    return counting


comfy.sample.sample = _counted(comfy.sample.sample)
