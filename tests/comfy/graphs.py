"""Prompts for ComfyUI's API, built node by node, and pictures as numbers."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from demo.client import Client, Result
from demo.workflows import Prompt

SETTINGS = {"method": "soup", "normalise": True, "base": "none", "text_encoder": "none", "vae": "auto", "dtype": "auto"}
LORAS = ("comic", "other-base")


class Node(NamedTuple):
    """A node in a graph; `node[1]` is a link to its second output."""

    id: str

    def __getitem__(self, output: Any) -> Any:
        return [self.id, output]


class Graph(dict[str, Any]):
    """A prompt. `graph("KSampler", steps=2, ...)` adds a node.

    Text comes from the base's own text encoder, so that most soups need none and cook fast; the models
    it needs and the prompts' conditioning stay in the server's cache over all tests.
    """

    def __call__(self, class_type: str, **inputs: Any) -> Node:
        node = Node(str(len(self) + 1))
        self[node.id] = {"class_type": class_type, "inputs": inputs}
        return node

    def checkpoint(self, file: str = "demo-base") -> Node:
        return self("CheckpointLoaderSimple", ckpt_name=f"{file}.safetensors")

    def chain(self, *ingredients: Any) -> Any:
        """A link to a chain of ingredients, each a name, (name, share), or (name, share, other inputs)."""
        before: dict[str, Any] = {}
        for each in ingredients:
            name, share, more = (each, 1.0, {}) if isinstance(each, str) else (*each, {})[:3]
            kind, strength = ("DSoupLoRAIngredient", {"strength": 1.0}) if name in LORAS else ("DSoupIngredient", {})
            node = self(kind, **{"file": f"{name}.safetensors", "share": share, **strength, **more, **before})
            before = {"ingredients": node[0]}
        return before["ingredients"]

    def cook(self, *ingredients: Any, **settings: Any) -> Node:
        """A Cook Soup with its ingredients."""
        return self("DSoupCook", ingredients=self.chain(*ingredients), **{**SETTINGS, **settings})

    def cook_recipe(self, recipe: Any) -> Node:
        return self("DSoupCook", recipe=recipe, **SETTINGS)

    def blocks(self, text: str, family: str = "SD 1 / SD 2") -> dict[str, Any]:
        """Block weights by text, as an input of an ingredient."""
        node = self("DSoupBlockWeights", family=family, meaning="times the share", preset="none", mbw=text,
                    dialect="supermerger")
        return {"block_weights": node[0]}

    def prompts(self, clip: Any = None) -> tuple[Any, Any]:
        """Positive and negative conditioning."""
        clip = clip or self.checkpoint()[1]
        return tuple(self("CLIPTextEncode", clip=clip, text=text)[0] for text in ("hills, sun", ""))

    def sample(self, model: Any, vae: Any, prompts: Any = None, latent: Any = None, *, seed: int = 1,
               steps: int = 2) -> Node:
        """Sample, decode and save a picture of 64 x 64."""
        positive, negative = prompts or self.prompts()
        latent = latent or self("EmptyLatentImage", width=64, height=64, batch_size=1)[0]
        samples = self("KSampler", model=model, positive=positive, negative=negative, latent_image=latent, seed=seed,
                       steps=steps, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0)
        return self("SaveImage", images=self("VAEDecode", samples=samples[0], vae=vae)[0], filename_prefix="test")

    def picture(self, *ingredients: Any, seed: int = 1, **settings: Any) -> Node:
        """Cook a soup and sample it; returns the Cook Soup."""
        soup = self.cook(*ingredients, **settings)
        self.sample(soup[0], soup[2], seed=seed)
        return soup


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def pictures(result: Result) -> list[np.ndarray]:
    """A prompt's pictures in the order of their nodes; each must show something (NaN is saved as black)."""
    outputs = sorted(result.succeeded().outputs.items(), key=lambda item: (len(item[0]), item[0]))
    found = [pixels(result.view(image["filename"], image["subfolder"], image["type"]))
             for _, output in outputs for image in output.get("images", [])]
    assert found
    for each in found:
        assert each.std() > 2, "the picture is uniform"
    return found


def shown(client: Client, prompt: Prompt, **options: Any) -> np.ndarray:
    """Run a prompt that makes one picture."""
    (picture,) = pictures(client.run(prompt, **options))
    return picture


def soup_picture(client: Client, *ingredients: Any, **options: Any) -> np.ndarray:
    """Cook, sample and look."""
    graph = Graph()
    graph.picture(*ingredients, **options)
    return shown(client, graph)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other)


def ran(result: Result, graph: Prompt, class_type: str) -> bool:
    """Whether a node of this class was executed and did not come from the cache."""
    return any(graph[node]["class_type"] == class_type for node in result.executed)
