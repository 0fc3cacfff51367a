"""A host that samples as A1111 and Forge do, with the Panorama script in it."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from . import sampling_double as sampling

OFF = (False, "")


@pytest.fixture(name="host")
def sampling_host(webui):
    return sampling.add_to(webui)


class Students:
    """Of the kitchen; which styles the model in memory has."""

    codebook = None

    def in_memory(self):
        return self.codebook

    def key(self):
        return "the model"


@pytest.fixture(name="kitchen_of_styles")
def style_kitchen(webui):
    """As much of a kitchen as styles ask."""
    host = SimpleNamespace(name="Forge" if webui.flavour == "forge" else "A1111", unet=lambda: None,
                           unet_replaced=lambda: "", interrupted=lambda: False)
    return SimpleNamespace(host=host, students=Students())


@pytest.fixture(name="panorama")
def panorama_script(host, kitchen_of_styles, monkeypatch):
    fake = ModuleType("gradio")
    fake.__version__ = "4.40.0"
    monkeypatch.setitem(sys.modules, "gradio", fake)
    from diffusion_soup_webui.panorama.script import script_classes
    yield script_classes(kitchen_of_styles)["DiffusionSoupPanorama"]()
    for name in ("gradio_compat", "panorama.ui"):
        sys.modules.pop(f"diffusion_soup_webui.{name}", None)


@pytest.fixture(name="paint")
def painter(host, panorama):
    def painted(plan=None, **more):
        args = OFF if plan is None else (True, plan if isinstance(plan, str) else json.dumps(plan))
        return sampling.paint(host, panorama, args, **more)
    return painted


def clean(host, p):
    """Nothing of ours is left on the host, its sampler or the picture."""
    common, samplers = (host.modules[f"modules.{name}"] for name in ("sd_samplers_common", "sd_samplers"))
    return (common.store_latent == host.previews.append and samplers.create_sampler.__module__ == sampling.__name__
            and host.modules["modules.processing"].decode_latent_batch is sampling.decode_latent_batch
            and not {"sample", "init"} & set(vars(p)) and not {"sample", "sample_img2img"} & set(vars(p.sampler))
            and "forward" not in vars(p.sampler.model_wrap_cfg))
