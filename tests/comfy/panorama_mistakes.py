"""Prompts with a panorama in which one thing is wrong. Each case spoils a graph and returns what the message says."""

from .panorama_graphs import SIDE, Scene


class Wrong(Scene):
    """A canvas of two halves to spoil: the checkpoint, two prompts, and one that is negative."""

    def __init__(self):
        super().__init__()
        self.model, self.clip, self.vae = (self.checkpoint()[output] for output in range(3))
        self.left, self.right = self.prompts(self.clip)
        self.against = self.left.negative

    def two(self, regions=None, left=None, right=None):
        """Both halves as regions, with settings that differ."""
        parts = {"positive": self.left.positive, "name": "the hills"}, {"positive": self.right.positive,
                                                                         "name": "the sea", "x": SIDE}
        for part, more in zip(parts, (left, right)):
            regions = self.region(regions or self.canvas(), **{**part, **(more or {})})
        return regions

    def made(self, regions, latent=None, **more):
        """Sample a panorama of these regions."""
        panorama = self.panorama(more.pop("model", self.model), regions, self.against)
        self.keep(self.sampled(panorama, **({"latent": latent} if latent else {}), **more))
        return panorama


def no_region(graph):
    graph.made(graph.canvas())
    return "has no region"


def uncovered(graph):
    graph.made(graph.region(graph.canvas(192), graph.left.positive, name="the hills"))
    return "belongs to no region", "x = 64", "Region 'the hills'"


def uncovered_for_a_time(graph):
    graph.made(graph.two(right={"start": 0.25}))
    return "from 0% to 25% of the sampling", "x = 64", "Region 'the sea' counts only from 25% to 100%"


def outside(graph):
    graph.made(graph.two(right={"width": 128}))
    return "Region 'the sea'", "from x = 64 to 192", "128 px wide"


def above(graph):
    graph.made(graph.two(right={"y": -8}))
    return "Region 'the sea'", "y = -8"


def too_small(graph):
    graph.made(graph.two(right={"height": 56}))
    return "DSoupRegion", "height", "56 smaller than min of 64"


def no_time(graph):
    graph.made(graph.two(left={"start": 0.5, "end": 0.5}))
    return "Region 'the hills'", "start must be before the end"


def off_the_grid(graph):
    graph.made(graph.two(regions=graph.canvas(1001)))
    return "canvas's width is 1001 px", "1000 px"


def tile_off_the_grid(graph):
    graph.made(graph.two(regions=graph.canvas(tile_width=100)))
    return "tile's width is 100 px",


def wide_overlap(graph):
    graph.made(graph.two(regions=graph.canvas(tile_width=64, overlap_x=64)))
    return "cannot overlap by 64 px",


def grid(graph, **more):
    settings = {"regions": graph.canvas(192), "clip": graph.clip, "prompts": "hills\nsea", "everywhere": "", "rows": 1,
                "columns": 3, "grid_overlap_x": 0, "grid_overlap_y": 0, "weights": "constant", "mask_weight": 1.0}
    graph.made(graph("DSoupRegionGrid", **settings | more)[0])


def lines_of_a_grid(graph):
    grid(graph)
    return "1 x 3 = 3 cells, but 2 lines"


def no_lines_of_a_grid(graph):
    grid(graph, prompts="")
    return "3 cells, but 0 lines",


def narrow_grid(graph):
    grid(graph, prompts="hills", columns=9)
    return "9 columns", "do not fit into 192 px"


def neither_prompt_nor_picture(graph):
    graph.made(graph.region(graph.two(), None, name="nothing"))
    return "Region 'nothing' has neither a prompt nor a picture"


def picture_without_vae(graph):
    graph.made(graph.two(right={"picture": graph.picture()[0]}))
    return "Region 'the sea' has a picture but no VAE"


def black_mask(graph):
    graph.made(graph.two(right={"mask": graph("SolidMask", value=0.0, width=128, height=64)[0]}))
    return "mask of Region 'the sea' is black"


def no_negative(graph):
    panorama = graph.panorama(graph.model, graph.two())
    graph.keep(graph.sampled(panorama))
    return "Region 'the hills' has no negative prompt"


def model_of_another_family(graph):
    graph.made(graph.two(right={"model": graph.checkpoint("xl1")[0]}))
    return "region 'the sea'", "SDXL"


def prompt_of_another_family(graph):
    other = graph.text(graph.checkpoint("xl1")[1], "hills")
    graph.made(graph.two(right={"positive": other}))
    return "region 'the sea'", "2048", "768"


def painted(graph, colours, prompts):
    parts = [graph("EmptyImage", width=64, height=64, batch_size=1, color=colour)[0] for colour in colours]
    image = graph("ImageStitch", image1=parts[0], image2=parts[1], direction="right", match_image_size=False,
                  spacing_width=0, spacing_color="white")[0]
    graph.made(graph("DSoupRegionsFromMask", regions=graph.canvas(), image=image, clip=graph.clip, prompts=prompts,
                     everywhere="", margin=0, soft=0, weights="constant", mask_weight=1.0)[0])


def colour_that_is_not_there(graph):
    painted(graph, (0xFF0000, 0x00FF00), "red: hills\nblue: sea")
    return "colour blue is not in the picture"


def colour_without_a_line(graph):
    painted(graph, (0xFF0000, 0x0000FF), "red: hills")
    return "belongs to no region", "Region 'red'"


def no_colour(graph):
    painted(graph, (0xFF0000, 0x0000FF), "hills")
    return "'hills' is not a colour and its prompt"


def unknown_colour(graph):
    painted(graph, (0xFF0000, 0x0000FF), "rde: hills")
    return "'rde' is not a colour", "orange"


def hint_of_another_aspect(graph):
    held = graph.controlled(graph.right, graph.picture(96, 160)[0])
    graph.made(graph.two(right={"positive": held[0], "negative": held[1]}))
    return "ControlNet picture of region 'the sea' is 96 x 160 px", "128 x 64", "64 x 64"


def text_box(graph):
    boxes = graph("GLIGENLoader", gligen_name="boxes.safetensors")[0]
    held = graph("GLIGENTextBoxApply", conditioning_to=graph.right.positive, clip=graph.clip, text="a boat",
                 gligen_textbox_model=boxes, width=32, height=32, x=64, y=0)[0]
    graph.made(graph.two(right={"positive": held}))
    return "GLIGEN text box is on region 'the sea'"


def latent_of_another_size(graph):
    graph.made(graph.two(), graph("EmptyLatentImage", width=192, height=64, batch_size=1)[0])
    return "192 x 64 px", "canvas is 128 x 64 px"


def prompts_of_another_panorama(graph):
    panorama, other = graph.panorama(graph.model, graph.two(), graph.against), graph.panorama(
        graph.model, graph.two(graph.canvas(overlap_x=64)), graph.against)
    graph.keep(graph.steps(panorama[0], (other[1], other[2]), panorama[3]))
    return "belong to another Panorama node"


def prompts_without_its_model(graph):
    panorama = graph.panorama(graph.model, graph.two(), graph.against)
    graph.keep(graph.steps(graph.model, (panorama[1], panorama[2]), panorama[3]))
    return "not prepared for panoramas"


def panorama_of_a_panorama(graph):
    panorama = graph.panorama(graph.model, graph.two(), graph.against)
    graph.made(graph.two(right={"model": panorama[0]}))
    return "MODEL of region 'the sea' is itself one of a panorama"


def cfg_without_negative(graph):
    panorama = graph.panorama(graph.model, graph.two(right={"cfg": 3.0}), graph.against)
    graph.keep(graph("SamplerCustomAdvanced", noise=graph("RandomNoise", noise_seed=1)[0],
                     guider=graph("BasicGuider", model=panorama[0], conditioning=panorama[1])[0],
                     sampler=graph("KSamplerSelect", sampler_name="euler")[0],
                     sigmas=graph("BasicScheduler", model=panorama[0], scheduler="normal", steps=2, denoise=1.0)[0],
                     latent_image=panorama[3])[0])
    return "Region 'the sea' has its own cfg", "CFGGuider"


def too_large(graph):
    canvas = graph.canvas(16384, 16384, tile_width=0, tile_height=0)
    graph.made(graph.region(canvas, graph.left.positive, name="all", width=16384, height=16384))
    return "Region 'all' needs tiles of 16384 x 16384 px", "GB"


def too_large_to_be_meant(graph):
    graph.made(graph.two(graph.canvas(32768)))
    return "width", "16384"


def style_of_another_student(graph):
    student = graph("DSoupStudent", file="stranger.safetensors")
    style = graph("DSoupStyleMix", styles=student[3], weights="style 1 = 1", mode="paper", strength=1.0)[0]
    model = graph("DSoupStudent", file="student.safetensors")[0]
    graph.made(graph.two(right={"style": style}), model=model)
    return "Region 'the sea'", "trained apart"


def attention_of_the_whole(graph):
    model = graph("SelfAttentionGuidance", model=graph.model, scale=0.5, blur_sigma=2.0)[0]
    graph.made(graph.two(), model=model)
    return "Self-Attention Guidance", "Perturbed-Attention Guidance"


CASES = (no_region, uncovered, uncovered_for_a_time, outside, above, too_small, no_time, off_the_grid,
         tile_off_the_grid, wide_overlap, lines_of_a_grid, no_lines_of_a_grid, narrow_grid, neither_prompt_nor_picture,
         picture_without_vae, black_mask, no_negative, model_of_another_family, prompt_of_another_family,
         colour_that_is_not_there, colour_without_a_line, no_colour, unknown_colour, hint_of_another_aspect, text_box,
         latent_of_another_size, prompts_of_another_panorama, prompts_without_its_model,
         panorama_of_a_panorama, cfg_without_negative, too_large, too_large_to_be_meant, style_of_another_student,
         attention_of_the_whole)
