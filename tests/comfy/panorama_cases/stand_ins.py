"""Small stand-ins for what other packs hang on MODELs and ControlNets, by the protocols they follow."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from comfy.controlnet import ControlNet
from comfy.ldm.modules.attention import optimized_attention

BLOCKS = (("input", 1), ("input", 2), ("middle", 0), ("output", 0), ("output", 1), ("output", 2))


class PictureAttention:
    """Attends to tokens of a picture besides the text's, as IP-Adapter does.

    Rows are chunk-major: all rows of one conditioning, then all of the next; ``cond_or_uncond`` names the chunks.
    ``kwargs``: for each picture cond and uncond [1 or pictures, tokens, 768], weight, mask [N, H, W] of any size, and
    unfold_batch: whether its rows are one for each picture of the batch. ``masks``: an older form, of masks alone.
    """

    def __init__(self, *pictures, masks=()) -> None:
        if masks:
            self.masks, self.pictures = [*masks], [{**each, "mask": None} for each in pictures]
        else:
            self.kwargs = [*pictures]

    def __call__(self, q, k, v, extra_options):
        out = optimized_attention(q, k, v, extra_options["n_heads"])
        pictures = getattr(self, "kwargs", None) or [
            {**each, "mask": mask} for each, mask in zip(self.pictures, self.masks)]
        for each in pictures:
            out = out + self._added(q, extra_options, **each)
        return out

    def _added(self, q, extra_options, cond, uncond, weight=1.0, mask=None, unfold_batch=False):
        chunks = extra_options["cond_or_uncond"]
        batch = len(q) // len(chunks)  # batch_prompt, with IP-Adapter
        sides = [_fitted(side, batch) if unfold_batch else side.repeat(batch, 1, 1) for side in (cond, uncond)]
        tokens = torch.cat([sides[chunk] for chunk in chunks])
        project = torch.randn(768, q.shape[-1], generator=torch.Generator().manual_seed(5)) * 768**-.5
        found = optimized_attention(q, tokens @ project, tokens @ project.flip(0), extra_options["n_heads"])
        if mask is not None:
            height, width = extra_options["original_shape"][-2:]
            scale = (height * width / q.shape[1]) ** .5
            size = round(height / scale), round(width / scale)
            layer = torch.nn.functional.interpolate(mask[:, None], size, mode="bilinear")[:, 0]
            found = found * _fitted(layer, batch).repeat(len(chunks), 1, 1).flatten(1)[..., None]
        if torch.is_tensor(weight):
            weight = _fitted(weight, batch).repeat(len(chunks))[:, None, None]
        return found * weight


class MaskedControl(ControlNet):
    """A ControlNet with masks of where it counts, put together as Advanced-ControlNet's are.

    One mask [N, h, w] of its own and one for each keyframe; both are scaled to pixels, repeated to the pictures of the
    batch, and kept. ``get_control`` is an attribute that holds a bound method, ``base`` a super object.
    """

    def __init__(self, plain: ControlNet, mask=None, frames=()) -> None:
        super().__init__(None, load_device=plain.load_device, manual_cast_dtype=plain.manual_cast_dtype)
        self.control_model, self.control_model_wrapped = plain.control_model, plain.control_model_wrapped
        plain.copy_to(self)
        self.base = super(type(self), self)
        self.get_control = self.get_control_inject
        self.mask_cond_hint_original, self.mask_cond_hint = mask, None
        self.tk_mask_cond_hint = None
        self.timestep_keyframes = SimpleNamespace(
            keyframes=[SimpleNamespace(mask_hint_orig=frame, strength=1.0) for frame in frames])

    def get_control_inject(self, x, t, cond, batched_number, transformer_options):
        self.mask_cond_hint = self._pixels(self.mask_cond_hint, self.mask_cond_hint_original, x, batched_number)
        for frame in self.timestep_keyframes.keyframes:
            self.tk_mask_cond_hint = self._pixels(self.tk_mask_cond_hint, frame.mask_hint_orig, x, batched_number)
        return self.base.get_control(x, t, cond, batched_number, transformer_options)

    def control_merge(self, control, control_prev, output_dtype):
        for outputs in control.values():
            for number, output in enumerate(outputs):
                for mask in (self.mask_cond_hint, self.tk_mask_cond_hint):
                    if mask is not None and output is not None:
                        output = output * torch.nn.functional.interpolate(mask[:, None], output.shape[-2:], mode="area")
                outputs[number] = output
        return super().control_merge(control, control_prev, output_dtype)

    def _pixels(self, made, mask, x, batched_number):
        size = x.shape[-2] * 8, x.shape[-1] * 8
        if mask is None or made is not None and (len(made), *made.shape[-2:]) == (len(x), *size):
            return made if mask is not None else None
        pixels = torch.nn.functional.interpolate(mask[:, None], size, mode="bilinear")[:, 0]
        return _fitted(pixels, len(x) // batched_number).repeat(batched_number, 1, 1)


def attending(model, *pictures, masks=()):
    """A clone of a MODEL that looks at pictures in every block."""
    clone = model.clone()
    for block in BLOCKS:
        clone.set_model_attn2_replace(PictureAttention(*pictures, masks=masks), *block)
    return clone


def _fitted(rows: torch.Tensor, count: int) -> torch.Tensor:
    """``count`` rows: the first of them, or all and the last one again."""
    return torch.cat([rows[:count], rows[-1:].repeat(max(count - len(rows), 0), *[1] * (rows.ndim - 1))])
