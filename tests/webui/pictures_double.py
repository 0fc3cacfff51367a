"""How A1111 and Forge make a picture that a program asks for: the names, arguments and order of events.

A picture is one colour, made of the weights in memory, the prompt and the seed.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace

from PIL import Image

KEY = "model.diffusion_model.out.2.weight"


class State(SimpleNamespace):
    """modules.shared_state.State."""

    def begin(self, job="(unknown)"):
        self.job, self.interrupted, self.skipped, self.stopping_generation = job, False, False, False
        self.sampling_step = self.sampling_steps = 0

    def end(self):
        self.job = ""

    def interrupt(self):
        self.interrupted = True


class Pictures:
    """What was asked for. ``steps`` seconds a step, and an event that says when a picture has begun."""

    def __init__(self, webui):
        self.webui, self.made, self.pause, self.begun = webui, [], 0.0, threading.Event()
        self.closed = 0
        owner = self

        class StableDiffusionProcessingTxt2Img(SimpleNamespace):
            scripts = None

            def __init__(self, sd_model=None, **given):
                known = {"prompt", "negative_prompt", "seed", "width", "height", "batch_size", "n_iter", "steps",
                         "do_not_save_samples", "do_not_save_grid", "restore_faces", "tiling", "cfg_scale",
                         "sampler_name", *(["scheduler"] if webui.flavour == "forge" else [])}
                assert given.keys() == known, given.keys() ^ known
                super().__init__(**given)

            def close(self):
                owner.closed += 1

        shared = webui.shared
        shared.state = State(**vars(shared.state), sampling_step=0, sampling_steps=0, job="")
        shared.total_tqdm = SimpleNamespace(clear=lambda: None)
        shared.sd_model = None
        webui._module("modules.processing", process_images=self.process,
                      StableDiffusionProcessingTxt2Img=StableDiffusionProcessingTxt2Img)
        webui._module("modules.sd_samplers", samplers=[SimpleNamespace(name=name) for name in ("Euler", "DPM++ 2M")])
        if webui.flavour == "forge":
            webui._module("modules.sd_schedulers", schedulers=[SimpleNamespace(label=name) for name in
                                                               ("Automatic", "Karras")])

    def process(self, p):
        webui = self.webui
        assert webui.queue_lock.locked() and p.do_not_save_samples and p.do_not_save_grid
        webui._before_batch()
        (webui.folder / "params.txt").write_text(p.prompt)
        state, soup = webui.shared.state, webui.sd_models.model_data.sd_model.sd_checkpoint_info.name_for_extra
        state.sampling_steps = p.steps
        self.begun.set()
        for _ in range(p.steps):
            if state.interrupted:
                break
            state.sampling_step += 1
            threading.Event().wait(self.pause)
        self.made.append((soup, p.prompt, p.negative_prompt, p.seed))
        worth = float(webui.weights()[KEY].float().abs().mean())
        colour = int(1e6 * worth) % 200, sum(map(ord, p.prompt)) % 256, p.seed % 256
        return SimpleNamespace(images=[Image.new("RGB", (p.width, p.height), colour)])
