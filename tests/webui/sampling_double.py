"""How A1111 and Forge sample: the names, signatures and order of events of their processing, samplers and denoisers.

The UNet is three lines of arithmetic: it blurs what it sees (so a tile sees less than the canvas), and adds what the
prompt says, a number for each prompt.
"""

from __future__ import annotations

import types
from types import SimpleNamespace
from typing import Any

import torch

from .sampling import Request, calls


class Interrupted(BaseException):
    """modules.sd_samplers_common.InterruptedException."""


class SdConditioning(list):
    def __init__(self, prompts, is_negative_prompt=False, width=None, height=None, copy_from=None,
                 distilled_cfg_scale=None):
        super().__init__(prompts)
        self.is_negative_prompt, self.width, self.height = is_negative_prompt, width, height


class Multicond:
    def __init__(self, shape, batch):
        self.shape, self.batch = shape, batch


def cond_of(prompt):
    """[tokens, 4]: more tokens for longer prompts."""
    value = sum(map(ord, prompt)) % 97 / 97
    return torch.full((2 if len(prompt) < 40 else 4, 4), value)


def schedule(prompt):
    return [SimpleNamespace(end_at_step=99, cond=cond_of(prompt))]


def get_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False):
    model.encoded.append((list(prompts), prompts.width, prompts.height, prompts.is_negative_prompt))
    return [schedule(prompt) for prompt in prompts]


def get_multicond_learned_conditioning(model, prompts, steps, hires_steps=None, use_old_scheduling=False):
    model.encoded.append((list(prompts), prompts.width, prompts.height, False))
    return Multicond((len(prompts),), [[SimpleNamespace(schedules=schedule(part), weight=1.0)
                                        for part in prompt.split(" AND ")] for prompt in prompts])


class Denoiser(torch.nn.Module):
    """CFGDenoiser."""

    def __init__(self, host, sampler):
        super().__init__()
        self.host, self.sampler, self.p = host, sampler, None
        self.mask = self.nmask = self.init_latent = None
        self.step, self.total_steps = 0, None
        self.need_last_noise_uncond, self.last_noise_uncond = host.forge, None

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        host = self.host
        host.calls.append(tuple(x.shape))
        if len(host.calls) == host.interrupt_at:
            raise Interrupted
        if len(host.calls) == host.fail_at:
            raise RuntimeError("out of memory")
        assert x.shape[0] == len(cond.batch) == sigma.shape[0] and image_cond.shape[0] == x.shape[0]
        if self.mask is not None:
            assert self.mask.shape[-2:] == x.shape[-2:] == self.init_latent.shape[-2:]
        if host.forge and self.p.is_hr_pass:
            cond_scale = self.p.hr_cfg
        prompts = torch.stack([sum(each.schedules[0].cond.mean() * each.weight for each in parts)
                               for parts in cond.batch])
        against = prompts if uncond is None else \
            torch.stack([each[0].cond for each in uncond]).mean((1, 2))  # raises for different lengths
        if host.unet is not None:
            prompts, against = self._embedded(x, cond.batch, uncond)
        control = host.control(x) if host.control else 0
        blur = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
        parts = [blur + value[:, None, None, None] + control for value in (prompts, against)]
        denoised = parts[1] + cond_scale * (parts[0] - parts[1])
        if self.mask is not None:
            denoised = denoised * self.nmask + self.init_latent * self.mask
        self.last_noise_uncond = parts[1]
        self.sampler.last_latent = parts[0]
        host.modules["modules.sd_samplers_common"].store_latent(denoised)
        self.step += 1
        return denoised

    def _embedded(self, x, batch, uncond):
        """What the time embedding adds to each picture's prompts and negative prompt, from one call of the UNet."""
        conds = {(number, place): part.schedules[0].cond for number, each in enumerate(batch)
                 for place, part in enumerate(each)}
        conds |= {(number, -1): each[0].cond for number, each in enumerate(uncond or [])}
        time = 999.0 * (1 - self.step / self.total_steps)
        added = {}
        for rows, found in calls(self.host.unet, self.host.callbacks["cfg_denoiser"], self.host.forge, conds, x, time):
            added |= dict(zip(rows, found.mean(1)))
        self.host.added.append([added[row].item() for row in conds])
        prompts = torch.stack([sum(added[number, place] for place in range(len(each))) / len(each)
                               for number, each in enumerate(batch)])
        return prompts, torch.stack([added[number, -1] for number in range(len(uncond))]) if uncond else prompts


class Sampler:
    """KDiffusionSampler with Euler, and launch_sampling's way with an interrupt."""

    def __init__(self, host):
        self.host, self.last_latent = host, None
        self.model_wrap_cfg = Denoiser(host, self)

    def sample(self, p, x, conditioning, unconditional_conditioning, steps=None, image_conditioning=None):
        return self._launch(p, x * 10, conditioning, unconditional_conditioning, image_conditioning)

    def sample_img2img(self, p, x, noise, conditioning, unconditional_conditioning, steps=None,
                       image_conditioning=None):
        self.model_wrap_cfg.init_latent = x
        return self._launch(p, x + noise * 5, conditioning, unconditional_conditioning, image_conditioning)

    def _launch(self, p, x, cond, uncond, image_cond):
        denoiser = self.model_wrap_cfg
        denoiser.p, denoiser.step, denoiser.total_steps = p, 0, p.steps
        denoiser.mask, denoiser.nmask = getattr(p, "mask", None), getattr(p, "nmask", None)
        self.last_latent = x
        given = {"cond": cond, "uncond": uncond, "cond_scale": p.cfg_scale, "s_min_uncond": 0.0,
                 "image_cond": image_cond}
        try:
            for _ in range(p.steps):
                x = x + 0.4 * (denoiser(x, x.new_ones(len(x)), **given) - x)
            return x
        except Interrupted:
            return self.last_latent


class Picture:
    """StableDiffusionProcessing with its sample for both tabs and for hires fix."""

    def __init__(self, host, **more):
        self.host, self.prompt, self.negative_prompt = host, "everything", "nothing"
        self.width, self.height, self.batch_size, self.steps, self.cfg_scale = 256, 128, 1, 3, 4.0
        self.sampler_name, self.hr_sampler_name, self.hr_second_pass_steps = "Euler", None, 0
        self.enable_hr, self.is_hr_pass, self.hires = False, False, (384, 192)
        self.init_image = self.sampler = self.scripts = None
        self.extra_network_data = self.hr_extra_network_data = None
        self.extra_generation_params, self.refiner_checkpoint = {}, None
        self.sd_model = SimpleNamespace(encoded=[])
        if host.forge:
            self.hr_cfg, self.distilled_cfg_scale, self.hr_distilled_cfg = 4.0, 3.5, 3.5
            self.sd_model.forge_objects = SimpleNamespace(unet=Patcher())
        self.comments, self.iteration = [], 0
        vars(self).update(more)
        self.prompts = self.hr_prompts = [self.prompt] * self.batch_size
        self.negative_prompts = self.hr_negative_prompts = [self.negative_prompt] * self.batch_size
        self.all_hr_prompts, self.all_hr_negative_prompts = list(self.hr_prompts), list(self.hr_negative_prompts)

    comment = Request.comment

    def init(self, *args):
        if self.init_image is not None:
            self.sampler = self.host.modules["modules.sd_samplers"].create_sampler(self.sampler_name, self.sd_model)

    def get_conds_with_caching(self, function, required_prompts, steps, caches, extra_network_data, hires_steps=None):
        if caches[0][0] is None:
            caches[0][:] = [True, function(self.sd_model, required_prompts, steps, hires_steps)]
        return caches[0][1]

    def noise(self, width, height):
        return torch.randn(self.batch_size, 4, height // 8, width // 8, generator=torch.Generator().manual_seed(0))

    def sample(self, conditioning, unconditional_conditioning, **given):
        samplers = self.host.modules["modules.sd_samplers"]
        empty = torch.zeros(self.batch_size, 5, 1, 1)
        x = self.noise(self.width, self.height)
        if self.init_image is not None:
            return self.sampler.sample_img2img(self, self.init_image, x, conditioning, unconditional_conditioning,
                                               image_conditioning=empty)
        self.sampler = samplers.create_sampler(self.sampler_name, self.sd_model)
        samples = self.sampler.sample(self, x, conditioning, unconditional_conditioning, image_conditioning=empty)
        if not self.enable_hr:
            return samples
        self.is_hr_pass = True
        self.sampler = samplers.create_sampler(self.sampler_name, self.sd_model)
        x = self.noise(*self.hires)
        samples = torch.nn.functional.interpolate(samples, size=x.shape[-2:])
        return self.sampler.sample_img2img(self, samples, x, conditioning, unconditional_conditioning,
                                           image_conditioning=empty)


class Patcher:
    """Forge's UnetPatcher, as far as it is asked."""

    def __init__(self):
        self.model_options, self.controls, self.extra_concat_condition = {}, [], None

    def clone(self):
        made = Patcher()
        made.model_options, made.controls = dict(self.model_options), self.controls
        return made

    def memory_required(self, shape):
        return shape[0] * shape[2] * shape[3]

    def list_controlnets(self):
        return self.controls


def add_to(webui: Any) -> Any:
    """Give a fake host what sampling needs."""
    webui.calls, webui.previews, webui.control = [], [], None
    webui.unet, webui.added = None, []  # a UNet whose time embedding counts, and what it gave for each row of a call
    webui.interrupt_at = webui.fail_at = -1
    webui.forge = webui.flavour == "forge"
    webui._module("modules.sd_samplers", create_sampler=lambda name, model: Sampler(webui),
                  find_sampler_config=lambda name: SimpleNamespace(total_steps=lambda steps: steps))
    webui._module("modules.sd_samplers_common", store_latent=webui.previews.append)
    webui._module("modules.prompt_parser", SdConditioning=SdConditioning,
                  get_learned_conditioning=get_learned_conditioning,
                  get_multicond_learned_conditioning=get_multicond_learned_conditioning)
    webui._module("modules.processing", decode_latent_batch=decode_latent_batch)
    webui.modules["modules.devices"].cpu = "cpu"
    return webui


class DecodedSamples(list):
    already_decoded = True


def decode_latent_batch(model, batch, target_device=None, check_for_nans=False):
    """Each picture [3, H, W]: bright where its neighbours are, dark beyond its ends."""
    blur = torch.nn.functional.avg_pool2d(batch[:, :3], 5, 1, 2)
    return DecodedSamples(torch.nn.functional.interpolate(blur, scale_factor=8))


def paint(webui: Any, script: Any, args: tuple[Any, ...], styles: Any = None, **more: Any) -> Any:
    """The order of events of process_images with one script, and the styles script where there is one; returns p with
    .samples and .pictures."""
    p = Picture(webui, **more)
    script.before_process(p, *args)
    p.init([], [], [])
    if styles is not None:
        styles.before_process_batch(p, prompts=p.prompts)
        styles.process_batch(p, prompts=p.prompts)
    script.process_batch(p, *args, batch_number=0, prompts=p.prompts, seeds=[], subseeds=[])
    encode = webui.modules["modules.prompt_parser"]
    wanted = SdConditioning(p.prompts, width=p.width, height=p.height)
    against = SdConditioning(p.negative_prompts, True, p.width, p.height)
    cond = encode.get_multicond_learned_conditioning(p.sd_model, wanted, p.steps)
    uncond = encode.get_learned_conditioning(p.sd_model, against, p.steps)
    p.sd_model.encoded.clear()
    p.samples = p.sample(conditioning=cond, unconditional_conditioning=uncond, seeds=[])
    after = types.SimpleNamespace(samples=p.samples)
    script.post_sample(p, after, *args)
    p.pictures = after.samples if getattr(after.samples, "already_decoded", False) else \
        decode_latent_batch(p.sd_model, after.samples)
    return p
